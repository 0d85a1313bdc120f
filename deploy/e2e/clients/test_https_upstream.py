"""Providers behind TLS: with certificates that the machine trusts, over either client; with others never."""

import ssl

import pytest
import trustme

from steward_testkit.callers import Caller
from steward_testkit.company import apply_company
from steward_testkit.running import Steward
from steward_testkit.upstream import Upstream


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    authority = trustme.CA()
    file = tmp_path_factory.mktemp("authority") / "trusted.pem"
    authority.cert_pem.write_to_path(file)
    authority.file = str(file)
    return authority


def upstream_of(authority: trustme.CA, name: str = "localhost") -> Upstream:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return Upstream(tls=context)


def called(folder, upstream: Upstream, trusted: str, more: str = "") -> list[tuple[int, dict, str]]:
    """A whole answer, two streams and a whole one again, over one connection of the caller."""
    steward = Steward(folder)
    try:
        steward.config.write_text(steward.config.read_text() + more)
        process = steward.start(settings={"SSL_CERT_FILE": trusted})
        steward.wait_ready(process)
        apply_company(steward, upstream.url)
        caller = Caller(steward.gateway_port, steward.key("support-bot", "acme", "--on", "acme/support"), 30)
        answers = [caller.call(stream=stream) for stream in (False, True, True, False)]
        caller.close()
        return answers
    finally:
        steward.stop()
        upstream.close()


@pytest.mark.parametrize("http2", ["false", "true"])
def test_a_provider_that_is_trusted_answers(tmp_path, authority, http2):
    upstream = upstream_of(authority)
    answers = called(tmp_path, upstream, authority.file, f"[providers]\nhttp2 = {http2}\n")
    assert [status for status, _, _ in answers] == [200] * 4, answers
    assert len(upstream.calls) == 4


@pytest.mark.parametrize("wrong", ["another authority", "another name"])
def test_a_provider_that_is_not_trusted_hears_nothing(tmp_path, authority, wrong):
    upstream = upstream_of(trustme.CA()) if wrong == "another authority" else upstream_of(authority, "elsewhere.example")
    answers = called(tmp_path, upstream, authority.file)
    assert [status for status, _, _ in answers] == [502] * 4, answers
    assert "cannot be reached" in answers[0][2], answers[0]
    assert upstream.calls == []
