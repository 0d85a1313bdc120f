"""kill -9 in the middle of traffic: nothing acknowledged is lost, and the report is the events."""

from steward_testkit.books import Books
from steward_testkit.callers import Caller, Traffic
from steward_testkit.company import apply_company
from steward_testkit.upstream import Upstream


def test_kill_9_of_everything_and_restart(steward):
    upstream = Upstream(delay=0.01)
    process = steward.up()
    apply_company(steward, upstream.url)
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    with Traffic([Caller(steward.gateway_port, key, 20) for _ in range(8)]) as traffic:
        for _ in range(2):
            traffic.wait_more(40)
            process.kill()
            process = steward.up()
        traffic.wait_more(40)
    Books(steward, upstream, traffic.answered, [Caller(steward.gateway_port, key, 20)])
    upstream.close()
