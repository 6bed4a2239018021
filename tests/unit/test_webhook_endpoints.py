"""Who is told of what: endpoints as the operator writes them down."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from agent.webhooks.endpoints import EVENTS, Endpoint, Endpoints
from agent.webhooks.signing import new_secret
from service.settings import Settings

SECRET = new_secret()


def endpoint(url: str = "https://hooks.example.org/cairn", **given: Any) -> Endpoint:
    return Endpoint(url=url, **{"secret": SECRET, **given})


def test_endpoints_are_read_from_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rotated = new_secret()
    (tmp_path / "cairn.toml").write_text(
        f'[[webhooks]]\nurl = "https://a.example/"\nsecret = "{SECRET}"\nevents = ["run.failed"]\n'
        f'[[webhooks]]\nurl = "http://10.0.0.7/hook"\nsecret = ["{rotated}", "{SECRET}"]\n'
        'tenant = "acme"\nprivate = true\n'
    )
    monkeypatch.chdir(tmp_path)
    first, second = Settings().webhooks
    assert (first.events, first.tenant, len(first.secrets)) == (("run.failed",), "default", 1)
    assert (second.events, second.tenant, len(second.secrets)) == (EVENTS, "acme", 2)
    assert SECRET not in repr(Settings())


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"url": "http://hooks.example.org/"}, "https"),
        ({"url": "https://127.0.0.1/"}, "private"),
        ({"url": "https://[::1]/"}, "private"),
        ({"url": "https://[::ffff:10.0.0.1]/"}, "private"),
        ({"url": "https://169.254.169.254/latest"}, "private"),
        ({"url": "ftp://hooks.example.org/", "private": True}, "https"),
        ({"url": "https://user:pass@hooks.example.org/"}, "no user"),
        ({"url": "https://hooks.example.org/#there"}, "fragment"),
        ({"url": "https://hooks.example.org:port/"}, "Port|port"),
        ({"url": "https://hooks.example.org/ü"}, "ASCII"),
        ({"url": "https:///path"}, "host"),
        ({"url": "https://hooks.example.org/" + "x" * 2000}, "2000"),
        ({"secret": "hunter2hunter2"}, "24 to 64"),
        ({"secret": []}, "at least 1"),
        ({"events": []}, "at least 1"),
        ({"events": ["run.exploded"]}, "run.completed"),
        ({"timeout": 31}, "30"),
    ],
)
def test_what_cannot_be_meant_is_refused_without_showing_a_secret(given: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why) as refused:
        endpoint(**given)
    assert SECRET not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_an_endpoint_is_told_of_its_tenants_runs_and_of_what_it_wants() -> None:
    endpoints = Endpoints(
        [
            endpoint("https://all.example/", tenant="*"),
            endpoint("https://acme.example/", tenant="acme"),
            endpoint("https://failures.example/", tenant="acme", events=("run.failed",)),
        ]
    )
    assert endpoints.wanting("acme", "run.completed") == ("https://acme.example/", "https://all.example/")
    assert len(endpoints.wanting("acme", "run.failed")) == 3
    assert endpoints.wanting("other", "run.failed") == ("https://all.example/",)
    assert endpoints.find("other", "https://acme.example/") is None


def test_a_run_may_name_a_url_only_where_the_operator_allows_its_host_to_its_tenant() -> None:
    hosts = endpoint("https://hooks.example.org", tenant="acme", for_runs=True, events=("run.completed",))
    endpoints = Endpoints([endpoint("https://standing.example/", tenant="acme"), hosts])
    named = "https://hooks.example.org/jobs/17?x=1"
    assert endpoints.find("acme", named) == hosts
    assert endpoints.wanting("acme", "run.completed") == ("https://standing.example/",)
    assert endpoints.wanting("acme", "run.completed", named) == ("https://standing.example/", named)
    assert endpoints.wanting("acme", "run.failed", named) == ("https://standing.example/",)
    assert endpoints.find("other", named) is None
    assert endpoints.wanting("other", "run.completed", named) == ()
    for elsewhere in (
        "http://hooks.example.org/jobs/17",
        "https://hooks.example.org:8443/jobs/17",
        "https://hooks.example.org.evil.example/",
        "https://hooks.example.org@evil.example/",
        "https://evil.example/?hooks.example.org",
        "https://user@hooks.example.org/",
        "https://hooks.example.org\\@evil.example/",
        "https://evil.example\\.hooks.example.org/",
        "https://hooks.example.org/\\evil.example/",
        "https://hooks.example.org/\r\nx: y",
        "https://standing.example/elsewhere",
        "//hooks.example.org/",
        "https://[hooks.example.org/",
        "",
    ):
        assert endpoints.find("acme", elsewhere) is None, elsewhere


def test_a_url_that_is_told_anyway_is_told_once() -> None:
    endpoints = Endpoints([endpoint("https://a.example/"), endpoint("https://a.example/", tenant="*")])
    assert endpoints.wanting("default", "run.completed", "https://a.example/") == ("https://a.example/",)


def test_a_tenants_own_secret_goes_before_one_of_all_tenants() -> None:
    own = endpoint("https://a.example/", tenant="acme", secret=new_secret())
    endpoints = Endpoints([endpoint("https://a.example/", tenant="*"), own])
    assert endpoints.find("acme", "https://a.example/") == own
