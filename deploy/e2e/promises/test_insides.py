"""Nothing of the inside is shown outside, and what others wrote cannot pass for ours."""

import json
import pathlib
import subprocess
import urllib.error
import urllib.request

import pytest

from steward_testkit.company import apply_company
from steward_testkit.running import BINARY, Steward, free_port
from steward_testkit.upstream import Upstream


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    steward, upstream = Steward(tmp_path_factory.mktemp("insides") / "steward"), Upstream()
    steward.watch_port = free_port(steward.bus_port + 1)
    steward.config.write_text(f'{steward.config.read_text()}[telemetry]\nlisten = "127.0.0.1:{steward.watch_port}"\n')
    try:
        steward.up()
        apply_company(steward, upstream.url)
        yield steward
    finally:
        steward.stop()
        upstream.close()


def get(url: str, key: str | None = None) -> tuple[int, str]:
    request = urllib.request.Request(url, headers={"authorization": f"Bearer {key}"} if key else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        return refused.code, refused.read().decode()


def test_metrics_need_an_operators_key_or_the_watchers_address(house):
    house.cli("account", "create", "boss", "--tenant", "acme")
    house.cli("grant", "give", "boss", "owner", "--on", "acme", "--tenant", "acme")
    assert get(f"{house.url}/metrics")[0] == 401
    assert get(f"{house.url}/metrics", house.key("boss", "acme"))[0] == 403
    status, page = get(f"{house.url}/metrics", house.operator_key)
    assert status == 200 and "steward_gateway_requests" in page
    status, page = get(f"http://127.0.0.1:{house.watch_port}/metrics")
    assert status == 200 and "steward_gateway_requests" in page


def test_no_secret_is_printed_where_it_is_kept(house):
    said = house.processes[0].log.read_text()
    assert "operator key in" in said and house.operator_key not in said


def test_the_process_leaves_no_core_and_lets_nobody_look(house):
    proc = pathlib.Path(f"/proc/{house.processes[0].child.pid}")
    limits = next(line for line in (proc / "limits").read_text().splitlines() if line.startswith("Max core file size"))
    assert limits.split()[4:6] == ["0", "0"], limits


def test_what_others_wrote_cannot_steer_a_terminal(house):
    secret = house.json("key", "issue", "support-bot", "--tenant", "acme", "--on", "acme/support")["answer"]
    reason = "lost\n2026-01-01 00:00:00 op_root tenant.resumed FORGED"
    house.cli("key", "revoke", secret["key"], "--reason", reason, "--tenant", "acme")
    shown = house.cli("replay", "--tenant", "acme", "--kind", "identity").stdout
    assert "lost\\n2026" in shown and not any(line.startswith("2026-01-01") for line in shown.splitlines())
    for hidden in ["\x1b[2J", "turned \u202eround", "no\u200bwidth"]:
        another = house.json("key", "issue", "support-bot", "--tenant", "acme", "--on", "acme/support")["answer"]
        refused = house.cli("key", "revoke", another["key"], "--reason", hidden, "--tenant", "acme", check=False)
        assert refused.returncode and "not seen" in refused.stderr, refused.stderr


def test_a_closed_pipe_ends_quietly(house):
    for words in ["replay --tenant acme --json", "replay --tenant acme", "docs openapi", "docs commands", "config show", "key list --tenant acme"]:
        command = f"{BINARY} --config {house.config} {words} | head -1"
        ran = subprocess.run(["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, timeout=60)
        assert ran.returncode == 0 and "panic" not in ran.stderr, f"{words}: {ran.returncode} {ran.stderr}"


def test_refusals_and_looks_are_on_record(house):
    """As the operator sees them: in history, and counted by kind."""
    for key in ["stw_acme_0", "stw_acme_1"]:
        assert get(f"{house.url}/v1/models", key)[0] == 401
    house.cli("replay", "--tenant", "acme", "--last", "1")

    def on_record():
        denied = house.replay("steward", "--kind", "denials")
        read = house.replay("acme", "--kind", "reads")
        wrong = [event for event in denied if event["data"].get("kind") == "wrong_key"]
        return wrong and read and wrong[0]["data"]["address"] == "127.0.0.1"

    from steward_testkit.running import wait_for

    wait_for("both on record", on_record, 20)
    counted = lambda: 'kind="wrong_key"' in get(f"{house.url}/metrics", house.operator_key)[1]
    wait_for("counted", counted, 20)
    assert json.dumps(house.replay("steward", "--kind", "denials")).count("stw_acme_") == 0
