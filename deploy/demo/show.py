"""The demo's build, traffic and proof, on the installed tools. Started by run.py with the words that build the binary."""

import asyncio
import json
import os
import shutil
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import nats
import openai

from steward_testkit.building import build
from steward_testkit.running import ROOT, Model, Steward, free_port, wait_for

COMPANY = """
[provider.local]
kind = "openai"
url  = "{url}"
{key}
[model.small]
route = ["local/{name}"]
price = {{ from = 2026-11-01, input = "$1.00/M", output = "$1.00/M" }}
output_max = 64

[tenant.acme]
timezone = "Europe/Berlin"

[tenant.acme.agent.researcher]
model = "small"
instructions = "You answer briefly."
output_max = 24

[tenant.acme.project.support]
budget = {{ limit = "$5.00", per = "day", hard = true, warn = ["80%"] }}
grant  = [{{ to = "support-bot", role = "agent" }}, {{ to = "mail-bot", role = "agent" }}, {{ to = "night-bot", role = "agent" }}]

[tenant.globex.project.shop]
budget = {{ limit = "$1.00", per = "month", hard = true }}
grant  = [{{ to = "shop-bot", role = "agent" }}, {{ to = "stock-bot", role = "agent" }}, {{ to = "price-bot", role = "agent" }}]
"""
ACCOUNTS = {"acme": ("support", ["support-bot", "mail-bot", "night-bot"]), "globex": ("shop", ["shop-bot", "stock-bot", "price-bot"])}
CALLS_PER_KEY = 20
TASKS = [f"one fact about {topic}" for topic in ("NATS", "budgets", "logs")]


class Proof:
    """What was shown and whether it held."""

    def __init__(self):
        self.failed = 0

    def show(self, what: str, held: bool, detail: str = ""):
        self.failed += not held
        print(f"      {'ok  ' if held else 'FAIL'} {what}{'  ' + detail if detail else ''}", flush=True)


def call(client: openai.OpenAI, number: int) -> tuple[int, int]:
    """One call by the unmodified client, every third one streamed; input and output tokens as the reply says."""
    question = [{"role": "user", "content": f"Say the number {number}."}]
    if number % 3:
        reply = client.chat.completions.create(model="small", messages=question, max_tokens=6)
        return reply.usage.prompt_tokens, reply.usage.completion_tokens
    stream = client.chat.completions.create(
        model="small", messages=question, max_tokens=6, stream=True, stream_options={"include_usage": True}
    )
    usage = [chunk.usage for chunk in stream if chunk.usage]
    return usage[-1].prompt_tokens, usage[-1].completion_tokens


def traffic(steward: Steward, keys: dict[str, list[dict]]) -> dict[str, list[tuple[int, int]]]:
    """All calls of all keys, four at a time; what the replies said, a tenant."""
    jobs = []
    for tenant, issued in keys.items():
        for key in issued:
            client = openai.OpenAI(base_url=f"{steward.url}/v1", api_key=key["secret"], max_retries=4)
            jobs += [(tenant, client, number) for number in range(CALLS_PER_KEY)]
    said = {tenant: [] for tenant in keys}
    with ThreadPoolExecutor(4) as pool:
        for tenant, usage in pool.map(lambda job: (job[0], call(job[1], job[2])), jobs):
            said[tenant].append(usage)
            if sys.stdout.isatty():
                count = sum(map(len, said.values()))
                print(f"\r[3/4] traffic  {count}/{len(jobs)} calls", end="", flush=True)
    return said


def tasks(steward: Steward) -> list[dict]:
    ended = []
    for prompt in TASKS:
        words = ["task", "submit", "researcher", prompt, "--tenant", "acme", "--on", "acme/support", "--limit", "$0.01"]
        task = steward.json(*words)["answer"]["task"]
        over = lambda: (t := steward.json("task", "show", task, "--tenant", "acme", check=False)) and t["state"] not in ("waiting", "running") and t
        ended.append({**wait_for(f"task {task}", lambda: shown(over), 300), "prompt": prompt})
    return ended


def shown(check):
    try:
        return check()
    except (json.JSONDecodeError, KeyError):  # not in the view yet
        return None


async def over_the_bus(steward: Steward, key: str, principal: str) -> dict:
    """A command published by a plain NATS client, in JSON."""
    bus = await nats.connect(steward.bus_url, token=key, inbox_prefix=f"_INBOX.acme.{principal}".encode(), max_reconnect_attempts=0)
    try:
        body = {"scope": "acme/support", "limit": "$0", "per": "day"}
        reply = await bus.request(f"cmd.acme.{principal}.budget.set", json.dumps(body).encode(), timeout=10)
        return json.loads(reply.data)
    finally:
        await bus.close()


def prove(steward: Steward, keys, said, ended) -> int:
    proof = Proof()
    for tenant, usages in said.items():
        calls, tokens_in, tokens_out = len(usages), sum(u[0] for u in usages), sum(u[1] for u in usages)
        of_tasks = [s for t in ended for s in t["steps"]] if tenant == "acme" else []
        calls, tokens_in = calls + len(of_tasks), tokens_in + sum(s["tokens"]["input"] for s in of_tasks)
        tokens_out += sum(s["tokens"]["output"] for s in of_tasks)
        events = [f for f in steward.replay(tenant, "--kind", "usage") if f["name"] == "usage.call_finished"]
        log_in = sum(f["data"]["tokens"]["input"] for f in events)
        log_out = sum(f["data"]["tokens"]["output"] for f in events)
        total = lambda: steward.json("cost", "--tenant", tenant)["total"]
        report = wait_for("the report", lambda: (t := total())["calls"] >= calls and t, 30)
        held = (calls, tokens_in, tokens_out) == (len(events), log_in, log_out) == (report["calls"], report["input"], report["output"])
        detail = f"{calls} calls = {len(events)} in the log = {report['calls']} in the report; {tokens_in}+{tokens_out} tokens in all three; {report['cost']}"
        proof.show(f"{tenant}: replies = log = report", held, detail)
    proof.show("3 tasks finished, step by step", all(t["state"] == "finished" and len(t["steps"]) == 2 for t in ended))
    print(indent(cost_by_key(steward, keys["acme"], ended)))

    bot = openai.OpenAI(base_url=f"{steward.url}/v1", api_key=keys["acme"][0]["secret"], max_retries=0)
    refused = outcome(lambda: openai.OpenAI(base_url=f"{steward.url}/v1", api_key="stw_acme_wrong", max_retries=0).models.list())
    proof.show("a wrong key is an AuthenticationError", isinstance(refused, openai.AuthenticationError))
    refused = outcome(lambda: bot.chat.completions.create(model="huge", messages=[{"role": "user", "content": "x"}]))
    proof.show("an unknown model is a NotFoundError", isinstance(refused, openai.NotFoundError), str(refused)[:80])
    principal = steward.json("access", "who-can", "model:invoke", "acme/support")["principals"]
    bot_id = next(p["principal"] for p in principal if p.get("name") == "support-bot")
    denied = steward.cli("access", "explain", bot_id, "budget:set", "acme/support", check=False)
    proof.show("support-bot may not set budgets, and is told what would allow it", "would be allowed by" in denied.stdout and denied.returncode == 1)
    print(indent(denied.stdout))

    steward.cli("account", "create", "budget-tool", "--tenant", "acme")
    steward.cli("grant", "give", "budget-tool", "admin", "--on", "acme")
    tool = steward.json("key", "issue", "budget-tool", "--tenant", "acme")["answer"]
    reply = asyncio.run(over_the_bus(steward, tool["secret"], tool["principal"]))
    proof.show("a NATS client sets the budget to $0", reply.get("accepted") is True, json.dumps(reply)[:100])
    refused = outcome(lambda: bot.chat.completions.create(model="small", messages=[{"role": "user", "content": "x"}], max_tokens=4))
    spent = isinstance(refused, openai.APIStatusError) and refused.status_code == 402
    proof.show("a spent budget is a 402 insufficient_quota", spent, str(refused)[:160])
    print(indent(steward.cli("replay", "--tenant", "acme", "--last", "3").stdout))
    for tenant in said:
        audit = steward.cli("audit", "verify", "--tenant", tenant, check=False)
        proof.show(f"{tenant}: every hash chain is whole", audit.returncode == 0, audit.stdout.strip())
    return proof.failed


def cost_by_key(steward: Steward, keys: list[dict], ended: list[dict]) -> str:
    """The cost report, a row a key: named by its account, or by agent and task where a task called with a key of its own."""
    accounts = {key["key"]: account for key, account in zip(keys, ACCOUNTS["acme"][1])}
    prompts = {task["task"]: task["prompt"] for task in ended}
    report = steward.json("cost", "--tenant", "acme", "--by", "key", "--by", "agent", "--by", "task", "--since", "today")
    lines = [f"{'KEY OF':<40}{'CALLS':>6}{'INPUT':>8}{'OUTPUT':>8}  COST"]
    for row in report["rows"]:
        by = row["by"]
        name = f"{by['agent']}: {prompts[by['task']]}" if by["task"] in prompts else accounts.get(by["key"], by["key"])
        lines.append(f"{name:<40}{row['calls']:>6}{row['input']:>8}{row['output']:>8}  {row['cost']}")
    return "\n".join(lines)


def outcome(attempt):
    try:
        return attempt()
    except openai.OpenAIError as error:
        return error


def indent(text: str) -> str:
    return "\n".join("        " + line for line in text.rstrip().splitlines())


def build_binary(words: list[str]):
    began = time.monotonic()
    if build(ROOT, words):
        sys.exit("demo: the build failed; the lines above say why")
    print(f"[2/4] build    {'steward, as the tests use it':<58}{time.monotonic() - began:5.0f} s", flush=True)


def main() -> int:
    build_binary(sys.argv[1:])
    folder = ROOT / ".tools" / "demo"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    print("[3/4] traffic  ", end="", flush=True)
    began = time.monotonic()
    model = Model(folder)
    steward = Steward(folder, free_port(8080), free_port(4222))
    try:
        steward.up()
        company = folder / "company.toml"
        secret = 'key = "env:MODEL_KEY"\n' if model.key else ""
        company.write_text(COMPANY.format(url=model.url, name=model.name, key=secret))
        steward.cli("apply", company)
        issue = lambda account, tenant, project: steward.json(
            "key", "issue", account, "--tenant", tenant, "--on", f"{tenant}/{project}", "--expires", "30d"
        )["answer"]
        keys = {tenant: [issue(account, tenant, project) for account in accounts] for tenant, (project, accounts) in ACCOUNTS.items()}
        said = traffic(steward, keys)
        ended = tasks(steward)
        count = sum(map(len, said.values()))
        line = f"2 tenants, {sum(map(len, keys.values()))} keys, {count} calls, {len(ended)} tasks on the real model"
        print(f"{chr(13) + '[3/4] traffic  ' if sys.stdout.isatty() else ''}{line:<58}{time.monotonic() - began:5.0f} s")
        print("[4/4] proof", flush=True)
        failed = prove(steward, keys, said, ended)
        if failed:
            print(f"demo: {failed} of the shown things did not hold; logs are in {folder.relative_to(ROOT)}", file=sys.stderr)
            return 1
        if os.environ.get("DEMO_EXIT") != "1":
            print(f"Still running: gateway {steward.url}  bus {steward.bus_url}.  Ctrl-C stops it.", flush=True)
            print(f"  try: {os.path.relpath(steward.folder)}$ steward --config steward.toml task list --tenant acme")
            signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
            try:
                signal.pause()
            except KeyboardInterrupt:
                print()
        return 0
    finally:
        steward.stop()
        model.stop()


if __name__ == "__main__":
    sys.exit(main())
