"""A machine's clock that jumps: nothing is decided by it and nothing recorded with its time; and who looks is told."""

import datetime
import json
import subprocess
import time
import urllib.error
import urllib.request

import pytest

from steward_testkit.callers import Caller
from steward_testkit.company import apply_company
from steward_testkit.running import wait_for

# What a process is told of the wall clock is moved by as many seconds as a file says. The monotonic clock is not, and
# nats-server asks the kernel by itself.
WALL_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
int clock_gettime(clockid_t clock, struct timespec *time) {
    static int (*real)(clockid_t, struct timespec *);
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int outcome = real(clock, time);
    const char *path = getenv("WALL_CLOCK_AHEAD");
    FILE *file = clock == CLOCK_REALTIME && path ? fopen(path, "r") : NULL;
    long ahead = 0;
    if (file && fscanf(file, "%ld", &ahead) == 1) time->tv_sec += ahead;
    if (file) fclose(file);
    return outcome;
}
"""
DAY = 25 * 3_600


@pytest.fixture
def wall_clock(steward, tmp_path, monkeypatch):
    """Sets the wall clock of the processes that are started from now on."""
    source, library, ahead = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "ahead"
    source.write_text(WALL_CLOCK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    ahead.write_text("0")
    monkeypatch.setenv("LD_PRELOAD", str(library))
    monkeypatch.setenv("WALL_CLOCK_AHEAD", str(ahead))
    return lambda seconds: ahead.write_text(str(seconds))


def not_ready(steward) -> list[dict]:
    try:
        return json.loads(urllib.request.urlopen(f"{steward.url}/readyz", timeout=5).read())["not_ready"]
    except urllib.error.HTTPError as unready:
        return json.loads(unready.read())["not_ready"]


@pytest.mark.parametrize("jump", [DAY, -DAY])
def test_a_clock_that_jumps_decides_nothing(steward, upstream, wall_clock, monkeypatch, jump):
    began = time.time()
    steward.up()
    monkeypatch.delenv("LD_PRELOAD")
    apply_company(steward, upstream.url, budget='budget = { limit = "3 calls", per = "day" }')
    caller = Caller(steward.gateway_port, steward.key("support-bot", "acme", "--on", "acme/support"), 30)
    assert [caller.until_decided() for _ in range(4)] == [200, 200, 200, 402]

    wall_clock(jump)
    for _ in range(5):
        time.sleep(1)
        assert caller.call()[0] in (402, 503)
        (clock,) = not_ready(steward)
        assert (clock["check"], "set it right" in clock["reason"]) == ("clock", True), clock
    # Whatever is recorded meanwhile has the right time.
    steward.cli("account", "create", "meanwhile", "--tenant", "acme", check=False)

    wall_clock(0)
    wait_for("ready again", lambda: not_ready(steward) == [])
    assert caller.until_decided() == 402
    steward.cli("budget", "set", "acme/support", "4 calls", "--per", "day", "--tenant", "acme")
    assert [caller.until_decided() for _ in range(2)] == [200, 402]
    assert len(upstream.calls) == 4
    moments = [moment.timestamp() for moment in recorded(steward)]
    assert began - 2 < min(moments) and max(moments) < time.time() + 2


def recorded(steward) -> list[datetime.datetime]:
    return [datetime.datetime.fromisoformat(event["at"][:19] + "+00:00") for event in steward.replay("acme")]
