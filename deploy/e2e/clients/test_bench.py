"""`steward bench` measures what it says: every promised figure is there, and the calls add up. How fast is not asked."""

import json
import os
import pathlib
import signal
import subprocess

from steward_testkit.running import BINARY, NATS_SERVER, wait_for

PROMISED = {
    "gateway": ["direct_per_s", "calls_per_s", "cpu_us_per_call", "added_p50_us", "added_p99_us", "streams_per_s", "added_first_byte_p50_us",
                "system_cpu_us_per_call", "log_bytes_per_call", "added_paced_first_byte_p50_us"],
    "commands": ["per_s", "hot_ledger_per_s"],
    "log": ["append_per_s", "raw_append_per_s"],
    "replay": ["events_per_s", "raw_events_per_s"],
    "authorise": ["p50_us"],
    "revocation": ["p99_ms"],
    "process": ["rss_idle_mib", "rss_loaded_mib", "ready_ms"],
    "projectors": ["lag_ms"],
}
# What is added at one connection is a difference, and a revocation may be known elsewhere before it is acknowledged.
MAY_BE_NOTHING = {"added_p50_us", "added_p99_us", "added_first_byte_p50_us", "added_paced_first_byte_p50_us", "p99_ms"}
ENVIRONMENT = {**{k: v for k, v in os.environ.items() if not k.startswith("STEWARD_")}, "STEWARD_NATS_SERVER": NATS_SERVER}


def processes_of(folder: pathlib.Path) -> list[int]:
    """Processes whose command line names the folder."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and str(folder).encode() in (entry / "cmdline").read_bytes():
                found.append(int(entry.name))
        except OSError:
            pass  # it ended meanwhile
    return found


def test_every_promised_figure_is_measured_and_the_calls_add_up(tmp_path):
    folder, page = tmp_path / "files", tmp_path / "PERFORMANCE.md"
    parts = "gateway,commands,revocation,log,replay,authorise,process"
    words = [BINARY, "bench", "--quick", "--json", "--only", parts, "--out", folder, "--write", page]
    ran = subprocess.run(words, capture_output=True, text=True, timeout=300, env=ENVIRONMENT, cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    report = json.loads(ran.stdout)
    for part, figures in PROMISED.items():
        for figure in figures:
            value = report[part][figure]
            assert value > 0 or figure in MAY_BE_NOTHING, f"{part}.{figure} is {value}"
    checks = report["checks"]
    assert checks["generator_calls"] == checks["upstream_calls"] > checks["gateway_calls"] > 0
    assert checks["gateway_calls"] == checks["reported_calls"]
    ratio = report["gateway"]["calls_per_s"] / report["gateway"]["direct_per_s"]
    assert abs(report["of_baseline"]["gateway.calls_per_s"] - ratio) < 0.01 * ratio
    assert report["quick"] is True and report["machine"]["cores"] > 0 and "gateway.cpu_us_per_call" in report["target_met"]
    assert "| calls through the gateway, 32 connections |" in page.read_text()
    assert processes_of(folder) == []


def test_nothing_is_left_when_it_is_stopped_or_killed(tmp_path):
    for number, how in enumerate([signal.SIGINT, signal.SIGKILL]):
        folder = tmp_path / f"files-{number}"
        with subprocess.Popen([BINARY, "bench", "--only", "gateway", "--out", folder], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env=ENVIRONMENT, cwd=tmp_path) as bench:
            wait_for("its processes", lambda: bench.poll() is not None or len(processes_of(folder)) >= 5)
            assert bench.poll() is None
            bench.send_signal(how)
            assert bench.wait(60) != 0
        wait_for("all its processes to end", lambda: not processes_of(folder))
