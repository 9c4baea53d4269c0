"""Requests that schemathesis makes up, and bodies that are broken on purpose: never a 5xx."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from contextlib import closing, suppress

import httpx
import hypothesis
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.generation import GenerationMode
from server_client import start
from server_routes import Route, fill, routes

from opik_eval.server.app import create_app
from opik_eval.server.settings import ServerSettings
from opik_eval.storage.workspaces import open_workspaces

EXAMPLES = 5
LIMIT = 1 << 16
SCHEMA = schemathesis.openapi.from_dict(create_app(open_workspaces("memory:")).openapi())
OPERATIONS = {
    f"{found.ok().method.upper()} {found.ok().path}": found.ok()
    for found in SCHEMA.get_all_operations()
}
TAKING_JSON = [
    route
    for route in routes()
    if "application/json" in route.operation.get("requestBody", {}).get("content", {})
]
BROKEN = {
    "no JSON": b"{",
    "not UTF-8": b'{"name": "\xff"}',
    "too deep": b"[" * 200_000,
    "too deep inside": b'{"metadata": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "no object": b"[1]",
    "a number": b"7",
    "null": b"null",
    "empty": b"",
    "too large": b'"' + b"x" * LIMIT * 2 + b'"',
    "two values": b"{} {}",
    "NaN alone": b"NaN",
}
"""Bodies that no route takes."""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server over a file, with a small limit for bodies."""
    path = tmp_path_factory.mktemp("fuzz") / "opik.db"
    with closing(open_workspaces(f"file:{path}")) as workspaces:
        yield from start(workspaces, ServerSettings(max_body_bytes=LIMIT))


@pytest.fixture(scope="module")
def fuzzed(url: str) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=url, trust_env=False) as client:
        yield client


@pytest.fixture(scope="module")
def known(fuzzed: httpx.Client) -> dict[str, str]:
    """The ids of a record of each kind, by the names of parameters."""
    return fill(fuzzed)


@pytest.fixture(scope="module")
def session() -> Iterator[requests.Session]:
    """Connections that are kept."""
    with requests.Session() as opened:
        opened.trust_env = False
        yield opened


@pytest.mark.slow
@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("name", OPERATIONS)
def test_made_up_requests_are_no_failures(
    name: str, mode: GenerationMode, url: str, known: dict[str, str], session: requests.Session
) -> None:
    """Whatever fits a route's schema, or breaks it, is answered without a 5xx."""

    @hypothesis.settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(OPERATIONS[name].as_strategy(generation_mode=mode), st.booleans())
    def check(case: schemathesis.Case, is_about_known: bool) -> None:
        if is_about_known:
            aim(case, known)
        reply = case.call(base_url=url, session=session)
        # Attachments and spans are deleted with their trace, and a 501 says so.
        assert reply.status_code < 500 or reply.status_code == 501, reply.text

    with suppress(Unsatisfiable):  # a route without parameters and body has nothing to break
        check()


def aim(case: schemathesis.Case, known: dict[str, str]) -> None:
    """Let a request be about records that are there."""
    for part in (case.path_parameters, case.query, case.body):
        if isinstance(part, dict):
            for name in part.keys() & known.keys():
                part[name] = [known[name]] if name == "ids" else known[name]


@pytest.mark.parametrize("route", TAKING_JSON, ids=str)
def test_broken_bodies_are_explained(fuzzed: httpx.Client, route: Route) -> None:
    """A body that cannot be read is a 4xx that says why."""
    sent = route.request({})
    for what, content in BROKEN.items():
        for encoding, data in (("identity", content), ("gzip", gzip.compress(content))):
            headers = {"content-type": "application/json", "content-encoding": encoding}
            reply = fuzzed.request(
                sent["method"], sent["url"], params=sent["params"], content=data, headers=headers
            )
            assert 400 <= reply.status_code < 500, (what, encoding, reply.status_code)
            said = reply.json()
            assert said.get("message") or said.get("errors"), what
            if what == "too large":
                assert reply.status_code in (413, 404)  # or what it is about is not there


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999", "-1e-999"])
def test_numbers_that_are_none(fuzzed: httpx.Client, number: str) -> None:
    """NaN and infinities are refused where a number counts, and kept where users may put them."""
    trace = '{"traces": [{"start_time": "2026-01-01T00:00:00Z", "input": {"x": NUMBER}}]}'
    free = fuzzed.post("/v1/private/traces/batch", content=trace.replace("NUMBER", number))
    assert free.status_code in (204, 400), free.text
    score = '{"name": "s", "value": NUMBER, "source": "sdk"}'.replace("NUMBER", number)
    entity = "01a201cc-e074-7c80-98f7-e15ed4ebec8b"
    refused = fuzzed.put(f"/v1/private/traces/{entity}/feedback-scores", content=score)
    assert refused.status_code in ((204,) if "1e-999" in number else (400, 422)), refused.text
    assert refused.status_code == 204 or json.loads(refused.content)


@pytest.mark.parametrize(
    "path", ["traces", "spans", "projects", "prompts", "datasets", "experiments"]
)
@pytest.mark.parametrize(
    "query",
    [
        *("page=0", "page=-1", "page=x", "page=99999999999999999999", "size=0", "size=100000"),
        *("filters=x", "filters=[1]", "filters=%5B%5B%5B", "sorting=x", "sorting=[{}]"),
        *("project_id=x", "from_time=x&project_name=p", "search=%00", "project_name=%ff"),
    ],
)
def test_queries_that_make_no_sense(fuzzed: httpx.Client, path: str, query: str) -> None:
    """A query that makes no sense is a 4xx, or is not looked at by that route."""
    reply = fuzzed.get(f"/v1/private/{path}?{query}")
    assert reply.status_code < 500, reply.text
