"""A server on a loopback port, and a plain client for it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from server_client import Api, start

from opik_eval.storage.workspaces import open_workspaces


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a server over a memory store that all tests share."""
    workspaces = open_workspaces("memory:")
    workspaces.create("other")  # which nobody may reach without keys
    try:
        yield from start(workspaces)
    finally:
        workspaces.close()


@pytest.fixture(scope="session")
def client(server_url: str) -> Iterator[httpx.Client]:
    """A client of that server."""
    with httpx.Client(base_url=server_url, trust_env=False) as opened:
        yield opened


@pytest.fixture
def api(client: httpx.Client) -> Api:
    """That client, with a fresh project."""
    return Api(client)
