"""The unmodified openai client: files and batches. Kill -9 of the worker in the middle of a batch, and another goes on."""

import io
import json

import openai
import pytest

from steward_testkit.cluster import Cluster
from steward_testkit.company import apply_company
from steward_testkit.running import wait_for
from steward_testkit.upstream import Upstream

CHAT = "/v1/chat/completions"
OVER = ("completed", "failed", "cancelled", "expired")


def client(steward, key):
    return openai.OpenAI(base_url=f"{steward.url}/v1", api_key=key, max_retries=0)


def developer(steward, name="dev", scope="acme/support"):
    """The client of a key that may keep files and submit batches."""
    key = steward.key(name, "acme", "--on", scope)
    account = next(row for row in steward.json("account", "list", "--tenant", "acme")["rows"] if row["name"] == name)
    steward.cli("grant", "give", account["principal"], "developer", "--on", scope, "--tenant", "acme")
    return client(steward, key)


def line(number, model="small", url=CHAT, **body):
    asked = {"model": model, "max_tokens": 8, "messages": [{"role": "user", "content": f"line {number}"}]} | body
    return json.dumps({"custom_id": f"call-{number}", "method": "POST", "url": url, "body": asked})


def keep(api, lines):
    return api.files.create(file=("calls.jsonl", io.BytesIO("\n".join(lines).encode())), purpose="batch")


def submit(api, lines, **more):
    return api.batches.create(input_file_id=keep(api, lines).id, endpoint=CHAT, completion_window="24h", **more)


def over(api, batch, seconds=90):
    return wait_for("the end", lambda: (b := api.batches.retrieve(batch.id)).status in OVER and b, seconds)


def rows(api, file):
    return [json.loads(text) for text in api.files.content(file).text.splitlines()]


def asked_of(upstream):
    """How often each line reached the provider."""
    texts = [call["messages"][0]["content"] for call in upstream.calls]
    return {text: texts.count(text) for text in texts}


def test_files_are_kept_listed_and_removed(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    api = developer(steward)
    kept = [keep(api, [line(number)]) for number in range(3)]
    assert (kept[0].filename, kept[0].purpose, kept[0].bytes) == ("calls.jsonl", "batch", len(line(0)))
    assert [file.id for file in api.files.list(limit=1)] == [file.id for file in reversed(kept)], "page by page"
    assert api.files.retrieve(kept[1].id).id == kept[1].id
    assert api.files.content(kept[1].id).text == line(1)
    short = api.files.create(file=b"x", purpose="user_data", expires_after={"anchor": "created_at", "seconds": 3600})
    assert short.expires_at - short.created_at == 3600
    assert [file.id for file in api.files.list(purpose="user_data")] == [short.id]
    assert api.files.delete(kept[1].id).deleted
    with pytest.raises(openai.NotFoundError):
        api.files.content(kept[1].id)
    with pytest.raises(openai.BadRequestError) as wrong:
        api.files.create(file=b"x", purpose="fine-tune")
    assert wrong.value.param == "purpose"
    steward.cli("project", "create", "sales", "--tenant", "acme")
    sales = developer(steward, "sales", "acme/sales")
    assert list(sales.files.list()) == []
    for forbidden in (sales.files.retrieve, sales.files.content, sales.files.delete):
        with pytest.raises(openai.NotFoundError):
            forbidden(kept[0].id)
    listed = steward.json("file", "list", "--tenant", "acme")["rows"]
    assert {row["file"] for row in listed} == {kept[0].id, kept[2].id, short.id}


def test_a_batch_answers_each_line_and_says_which_failed(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    api = developer(steward)
    lines = [line(1), line(2, model="huge"), line(3), line(4, messages="no list")]
    batch = submit(api, lines, metadata={"run": "nightly"})
    assert batch.status == "validating" and batch.metadata == {"run": "nightly"}
    ended = over(api, batch)
    assert ended.status == "completed" and ended.completed_at >= ended.in_progress_at >= ended.created_at
    assert (ended.request_counts.total, ended.request_counts.completed, ended.request_counts.failed) == (4, 2, 2)
    answers = rows(api, ended.output_file_id)
    assert [row["custom_id"] for row in answers] == ["call-1", "call-3"]
    for row in answers:
        assert row["error"] is None and row["response"]["status_code"] == 200 and row["response"]["request_id"]
        assert row["response"]["body"]["choices"][0]["message"]["content"]
    failures = {row["custom_id"]: row["response"] for row in rows(api, ended.error_file_id)}
    assert failures["call-2"]["status_code"] == 404 and failures["call-2"]["body"]["error"]["code"] == "model_not_found"
    assert failures["call-4"]["status_code"] == 400
    assert asked_of(upstream) == {"line 1": 1, "line 3": 1}
    # its calls are on record as the batch's
    report = lambda: (r := steward.json("cost", "--tenant", "acme", "--by", "task")["rows"]) and r
    assert [(row["by"]["task"], row["calls"]) for row in wait_for("the report", report)] == [(batch.id, 2)]
    keys = steward.json("key", "list", "--task", batch.id, "--tenant", "acme")["rows"]
    wait_for("the end of its key", lambda: all(
        row["state"] == "revoked" for row in steward.json("key", "list", "--task", batch.id, "--tenant", "acme")["rows"]))
    assert len(keys) == 1
    with pytest.raises(openai.ConflictError):
        api.batches.cancel(batch.id)
    shown = json.loads(steward.cli("batch", "show", batch.id, "--tenant", "acme", "--json").stdout)
    assert (shown["state"], shown["counts"]) == ("completed", {"completed": 2, "failed": 2})


def test_a_file_that_is_no_batch_fails_it_and_says_why(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url)
    api = developer(steward)
    wrong = submit(api, [line(1), "no json", line(1), line(3, url="/v1/embeddings")])
    ended = over(api, wrong)
    assert ended.status == "failed" and ended.failed_at
    assert [(error.code, error.line) for error in ended.errors.data] == [
        ("invalid_json_line", 2), ("duplicate_custom_id", 3), ("mismatched_url", 4)]
    assert upstream.calls == []
    pages = list(api.batches.list(limit=1))
    assert [batch.id for batch in pages] == [wrong.id]


def test_lines_over_the_budget_fail_and_the_batch_completes(steward, upstream):
    steward.up()
    apply_company(steward, upstream.url, budget='budget = { limit = "1 calls", per = "total", hard = true }')
    api = developer(steward)
    ended = over(api, submit(api, [line(number) for number in range(3)]))
    assert (ended.status, ended.request_counts.completed, ended.request_counts.failed) == ("completed", 1, 2)
    codes = [row["response"]["body"]["error"]["code"] for row in rows(api, ended.error_file_id)]
    assert codes == ["insufficient_quota"] * 2
    assert len(upstream.calls) == 1


def test_a_cancelled_batch_keeps_what_was_answered(steward):
    upstream = Upstream(delay=0.3)
    steward.config.write_text(f"{steward.config.read_text()}batch_calls_max = 2\n")
    steward.up()
    apply_company(steward, upstream.url)
    api = developer(steward)
    batch = submit(api, [line(number) for number in range(200)])
    wait_for("some calls", lambda: len(upstream.calls) >= 3)
    assert api.batches.cancel(batch.id).status == "cancelling"
    ended = over(api, batch)
    assert ended.status == "cancelled" and ended.cancelled_at >= ended.cancelling_at
    counts = ended.request_counts
    assert counts.completed + counts.failed == counts.total == 200 and 0 < counts.completed < 200
    assert len(rows(api, ended.output_file_id)) == counts.completed == len(upstream.calls)
    assert {row["error"]["code"] for row in rows(api, ended.error_file_id)} == {"batch_cancelled"}
    upstream.close()


def test_another_worker_goes_on_after_kill_9_and_no_line_is_paid_twice(steward):
    upstream = Upstream(delay=0.2)
    steward.config.write_text(f"{steward.config.read_text()}batch_calls_max = 4\n")
    Cluster.wait_said(steward.start("bus", name="bus"))
    first = steward.start("workers", name="workers-1")
    for process in [first, *(steward.start(role, name=role) for role in ["aggregates", "projectors"])]:
        Cluster.wait_said(process)
    steward.wait_ready(steward.start("gateway", name="gateway"))
    apply_company(steward, upstream.url)
    api = developer(steward)
    batch = submit(api, [line(number) for number in range(60)])
    wait_for("the middle of it", lambda: len(upstream.calls) >= 20)
    first.kill()
    steward.start("workers", name="workers-2")
    ended = over(api, batch, 180)
    assert (ended.status, ended.request_counts.completed) == ("completed", 60), ended
    assert asked_of(upstream) == {f"line {number}": 1 for number in range(60)}, "each line once in the provider's books"
    assert [row["custom_id"] for row in rows(api, ended.output_file_id)] == [f"call-{number}" for number in range(60)]
    shown = json.loads(steward.cli("batch", "show", batch.id, "--tenant", "acme", "--json").stdout)
    assert shown["epoch"] == 2
    upstream.close()
