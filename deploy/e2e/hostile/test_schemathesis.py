"""Requests made from the OpenAPI document, right and wrong ones: each answer is one that the document knows, none a fault."""

import hypothesis
import pytest
import schemathesis
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from steward_testkit.company import apply_company
from steward_testkit.running import Steward
from steward_testkit.surface import document
from steward_testkit.upstream import Upstream

# The tests here share one gateway, so one process runs them all.
pytestmark = pytest.mark.xdist_group("hostile-schema")

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    steward, upstream = Steward(tmp_path_factory.mktemp("schema") / "steward"), Upstream()
    try:
        steward.up()
        apply_company(steward, upstream.url, budget='budget = { limit = "100000 calls" }')
        steward.bot = steward.key("support-bot", "acme", "--on", "acme/support")
        yield steward
    finally:
        steward.stop()
        upstream.close()


@schemathesis.openapi.from_dict(document()).parametrize()
@hypothesis.settings(max_examples=15, deadline=None, derandomize=True, database=None,
                     suppress_health_check=list(hypothesis.HealthCheck))
def test_every_answer_is_documented(company, case):
    face = not case.path.startswith("/api/")
    # As somebody who may do everything there, so that what is behind the permission is reached.
    if "tenant" in (case.path_parameters or {}):
        case.path_parameters["tenant"] = "acme"
    if face and isinstance(case.body, dict):
        case.body["model"] = "small"
    key = company.bot if face else company.operator_key
    case.call_and_validate(base_url=company.url, headers={"authorization": f"Bearer {key}"}, checks=CHECKS, timeout=30)
    if case.path.endswith("tenants:suspend"):
        company.cli("tenant", "resume", "--tenant", "acme")
