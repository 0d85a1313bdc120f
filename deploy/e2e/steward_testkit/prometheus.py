"""A real Prometheus with the shipped rules over running processes. Its minutes pass faster, so that a test can wait for them."""

import json
import pathlib
import re
import urllib.parse
import urllib.request

from steward_testkit.running import ROOT, Process, free_port, wait_for

PROMETHEUS = ROOT / ".tools" / "bin" / "prometheus"
SHIPPED = ROOT / "observability" / "prometheus"
# So many times faster: a quarter of an hour is half a minute.
FASTER = 30
SCRAPE = "500ms"


def faster(text: str) -> str:
    """Every span of time in rules, or in an expression, made shorter."""
    seconds = {"s": 1, "m": 60, "h": 3600}
    return re.sub(r"\b(\d+)([smh])\b", lambda span: f"{max(1, int(span[1]) * seconds[span[2]] // FASTER)}s", text)


class Prometheus:
    """Scrapes `targets`, which are roles with their addresses, as the shipped configuration does."""

    def __init__(self, folder: pathlib.Path, targets: dict[str, str]):
        folder.mkdir()
        (folder / "alerts.yml").write_text(faster((SHIPPED / "alerts.yml").read_text()))
        shipped = (SHIPPED / "prometheus.yml").read_text()
        (folder / "prometheus.yml").write_text(re.sub(r"(_interval): \w+", rf"\1: {SCRAPE}", shipped))
        listed = [{"targets": [address], "labels": {"role": role}} for role, address in targets.items()]
        (folder / "targets.yml").write_text(json.dumps(listed))  # JSON is YAML
        self.url = f"http://127.0.0.1:{free_port()}"
        address = self.url.removeprefix("http://")
        self.process = Process([PROMETHEUS, f"--config.file={folder / 'prometheus.yml'}", f"--storage.tsdb.path={folder / 'data'}",
                                f"--web.listen-address={address}", "--log.level=warn"], folder / "prometheus.log")
        wait_for("Prometheus", self._ready)
        wait_for("all targets are scraped", lambda: len(self.query("up == 1")) == len(targets), 30)

    def _ready(self) -> bool:
        self.process.check_alive()
        try:
            return urllib.request.urlopen(f"{self.url}/-/ready", timeout=2).status == 200
        except OSError:
            return False

    def query(self, expression: str) -> list[dict]:
        """The series of an expression; an error if Prometheus does not take it."""
        with urllib.request.urlopen(f"{self.url}/api/v1/query?{urllib.parse.urlencode({'query': expression})}", timeout=10) as reply:
            return json.load(reply)["data"]["result"]

    def firing(self) -> dict[str, list[dict]]:
        """What fires: by alert, the labels of each."""
        found: dict[str, list[dict]] = {}
        with urllib.request.urlopen(f"{self.url}/api/v1/alerts", timeout=10) as reply:
            for alert in json.load(reply)["data"]["alerts"]:
                if alert["state"] == "firing":
                    found.setdefault(alert["labels"]["alertname"], []).append(alert["labels"])
        return found

    def wait_firing(self, alert: str, seconds: float = 90) -> dict:
        return wait_for(f"{alert} fires", lambda: self.firing().get(alert), seconds)[0]

    def wait_calm(self, alert: str, seconds: float = 120):
        wait_for(f"{alert} ends", lambda: alert not in self.firing(), seconds)

    def stop(self):
        self.process.stop()
