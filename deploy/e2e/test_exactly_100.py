"""The last-token race: two gateways and two deciders on one bus, a budget worth exactly 100 calls."""

from concurrent.futures import ThreadPoolExecutor

import openai

from conftest import apply_company
from promise import Cluster
from running import free_port, wait_for

HELLO = [{"role": "user", "content": "Say hello."}]


def test_1000_calls_from_64_at_once_on_a_budget_of_100(steward, upstream):
    Cluster.wait_said(steward.start("bus", name="bus"))
    other = free_port(steward.bus_port + 10)
    deciders = [steward.start("aggregates", name=f"aggregates-{n}") for n in (1, 2)]
    for process in [*deciders, steward.start("workers", name="workers"), steward.start("projectors", name="projectors")]:
        Cluster.wait_said(process)
    urls = [steward.url, f"http://127.0.0.1:{other}"]
    gateways = [steward.start("gateway", name="gateway-1"), steward.start("gateway", "--listen", f"127.0.0.1:{other}", name="gateway-2")]
    for process, url in zip(gateways, urls):
        steward.wait_ready(process, url)
    apply_company(steward, upstream.url, budget='budget = { limit = "100 calls" }')
    key = steward.key("support-bot", "acme", "--on", "acme/support")
    clients = [openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=0, timeout=60) for url in urls]

    def one(number: int) -> int:
        try:
            clients[number % 2].chat.completions.create(model="small", messages=HELLO, max_tokens=5, stream=number % 4 > 1)
            return 200
        except openai.APIStatusError as refused:
            return refused.status_code

    with ThreadPoolExecutor(64) as pool:
        statuses = list(pool.map(one, range(1000)))
    admitted = statuses.count(200)
    assert admitted == 100, {status: statuses.count(status) for status in set(statuses)}
    assert set(statuses) <= {200, 402, 429}
    assert len(upstream.calls) == 100
    total = wait_for("the report", lambda: (t := steward.json("cost", "--tenant", "acme")["total"])["calls"] == 100 and t)
    assert total["input"] == 700 and total["output"] == 500
    assert len(deciders) == 2 and all(process.child.poll() is None for process in steward.processes)
