"""Requests made from the OpenAPI document, right and wrong ones, with keys of several rights: each answer is one that the document
knows, in the form of its face, and none is a fault."""

import json
import urllib.request
import zlib

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from steward_testkit.company import apply_company
from steward_testkit.openai_operations import OperationsUpstream
from steward_testkit.running import Steward
from steward_testkit.surface import document

# The tests here share one gateway, so one process runs them all.
pytestmark = pytest.mark.xdist_group("hostile-schema")

# Who sends what; those who may do most come often, so that what is behind a permission is reached.
MANAGERS = ["operator", "operator", "operator", "owner", "auditor", "idle", "nobody"]
MODEL_CALLERS = ["bot", "bot", "bot", "bot", "idle", "auditor", "nobody"]
# Azure's names of the same paths, which the same code answers.
SAME_AGAIN = r"^/openai/v1/"


def errors_in_the_form_of_the_face(_context, response, case):
    """An error is told as clients of that API read it, and every answer says which request it answers."""
    assert response.headers.get("x-request-id"), "no x-request-id"
    if response.status_code < 400:
        return
    said, kind = json.loads(response.content), response.headers["content-type"][0]
    if case.path.startswith("/api/"):
        assert kind.startswith("application/problem+json"), kind
        assert said["type"] == f"urn:steward:problem:{said['code']}" and said["status"] == response.status_code, said
        return
    assert kind.startswith("application/json"), kind
    error = said["error"]
    assert all(isinstance(error[field], str) and error[field] for field in ("type", "message")), said
    assert {"code", "param"} <= error.keys(), said
    if case.path.startswith("/v1/messages"):
        assert said["type"] == "error" and said["request_id"], said


CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance, errors_in_the_form_of_the_face]


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    steward, upstream = Steward(tmp_path_factory.mktemp("schema") / "steward"), OperationsUpstream()
    try:
        steward.up()
        apply_company(steward, upstream.url, budget='budget = { limit = "100000 calls" }')
        steward.keys = {"operator": steward.operator_key, "bot": steward.key("support-bot", "acme", "--on", "acme/support"), "nobody": None}
        for account, role in (("owner", "owner"), ("auditor", "auditor"), ("idle", None)):
            steward.cli("account", "create", account, "--tenant", "acme")
            if role:
                steward.cli("grant", "give", account, role, "--on", "acme", "--tenant", "acme")
            steward.keys[account] = steward.key(account, "acme")
        yield steward
    finally:
        steward.stop()
        upstream.close()


def send(steward: Steward, case):
    """The same case is always sent by the same sender."""
    face = not case.path.startswith("/api/")
    senders = MODEL_CALLERS if face else MANAGERS
    who = senders[zlib.crc32(repr((case.method, case.path, case.body, case.query)).encode()) % len(senders)]
    if "tenant" in (case.path_parameters or {}):
        case.path_parameters["tenant"] = "acme"
    for fields in (case.query, case.body):
        if not face and isinstance(fields, dict) and str(fields.get("min_position", "")).isdigit():
            fields["min_position"] = min(int(fields["min_position"]), 50)  # one that is not there yet is waited for
    if face and isinstance(case.body, dict):
        case.body["model"] = "small"
    headers = {"authorization": f"Bearer {steward.keys[who]}"} if steward.keys[who] else {}
    answer = case.call(base_url=steward.url, headers=headers, timeout=30)
    if case.path.endswith("tenants:suspend") and answer.status_code == 200:
        steward.cli("tenant", "resume", "--tenant", "acme")
    case.validate_response(answer, checks=CHECKS)


def requests(phases: dict):
    return schemathesis.openapi.from_dict(document(), config=SchemathesisConfig.from_dict({"phases": phases}))


def examples(count: int) -> hypothesis.settings:
    return hypothesis.settings(max_examples=count, deadline=None, derandomize=True, database=None,
                               suppress_health_check=list(hypothesis.HealthCheck))


def test_the_gateway_serves_the_document(company):
    assert json.load(urllib.request.urlopen(f"{company.url}/openapi.json", timeout=10)) == document()


FEW = requests({"coverage": {"enabled": False}})


@FEW.exclude(path_regex=SAME_AGAIN).parametrize()
@examples(4)
def test_every_answer_is_documented(company, case):
    send(company, case)


MANY = requests({})


@pytest.mark.storm
@MANY.parametrize()
@examples(20)
def test_every_answer_of_many_is_documented(company, case):
    """Also all combinations of present, absent and wrong fields that the schemas make."""
    send(company, case)
