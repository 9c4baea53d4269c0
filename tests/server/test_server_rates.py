"""Rate limits: buckets, headers, and when to come back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from server_client import START, Api, start

from opik_eval.ids import new_id
from opik_eval.server.access import KeyAccess
from opik_eval.server.failures import FrameworkError
from opik_eval.server.keys import Keys
from opik_eval.server.limits import WINDOW_SECONDS, Bucket, RateLimits
from opik_eval.server.settings import ServerSettings
from opik_eval.storage.workspaces import open_workspaces


class Clock:
    """A clock that stands still until told."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def batch(count: int) -> dict[str, object]:
    """Return the body of a batch of traces."""
    return {"traces": [{"id": new_id(), "start_time": START} for _ in range(count)]}


@pytest.fixture(scope="module")
def limited() -> Iterator[tuple[Api, Api]]:
    """Two keys of one workspace on a server that takes 10 records a minute of each, 15 of both."""
    settings = ServerSettings(key_events_per_minute=10, workspace_events_per_minute=15)
    with closing(open_workspaces("memory:")) as workspaces:
        keys = Keys(workspaces.control)
        texts = [keys.create(n, workspace="default", role="editor")[0] for n in "ab"]
        for url in start(workspaces, settings, identify=KeyAccess(workspaces)):
            clients = [
                httpx.Client(
                    base_url=url,
                    trust_env=False,
                    headers={"Authorization": text, "Comet-Workspace": "default"},
                )
                for text in texts
            ]
            yield Api(clients[0]), Api(clients[1])
            for client in clients:
                client.close()


def test_batches_count_by_their_records(limited: tuple[Api, Api]) -> None:
    """Each record of a batch is an event; reads are free; answers tell what is left."""
    first, second = limited
    taken = first.send("POST", "traces/batch", batch(8))
    assert taken.status_code == 204
    assert taken.headers["opik-user-limit"] == "10"
    assert taken.headers["opik-user-remaining-limit"] == "2"
    assert taken.headers["opik-workspace-remaining-limit"] == "7"
    assert 0 < int(taken.headers["opik-user-remaining-limit-ttl-millis"]) <= 60_000
    read = first.send("GET", "projects")
    assert read.status_code == 200
    assert "opik-user-limit" not in read.headers
    refused = first.send("POST", "traces/batch", batch(3))
    assert refused.status_code == 429
    assert refused.json()["code"] == 429
    assert 1 <= int(refused.headers["ratelimit-reset"]) <= 60
    assert refused.headers["retry-after"] == refused.headers["ratelimit-reset"]
    assert refused.headers["opik-user-remaining-limit"] == "2"
    single = {"id": new_id(), "start_time": START}
    assert first.send("POST", "traces", single).headers["opik-user-remaining-limit"] == "1"
    other = second.send("POST", "traces/batch", batch(7))
    assert other.status_code == 429, "the workspace has room for six"
    assert other.headers["opik-workspace-limit"] == "15"
    assert second.send("POST", "traces/batch", batch(6)).status_code == 204


def test_windows_end() -> None:
    """After a minute there is room again, and the headers say how long that takes."""
    clock = Clock()
    limits = RateLimits(key_limit=2, clock=clock)
    limits.charge("k", "w", 2)
    clock.now += WINDOW_SECONDS - 0.5
    with pytest.raises(FrameworkError) as refused:
        limits.charge("k", "w", 1)
    assert refused.value.headers is not None
    assert refused.value.headers["RateLimit-Reset"] == "1"
    assert limits.charge("other", "w", 1)["Opik-User-Remaining-Limit"] == "1"
    clock.now += 0.5
    assert limits.charge("k", "w", 1)["Opik-User-Remaining-Limit"] == "1"


def test_a_batch_beyond_the_limit_passes_alone() -> None:
    """A batch that no window could hold takes a whole one."""
    bucket = Bucket("User", 5, Clock())
    assert bucket.has_room("k", 9)
    assert bucket.take("k", 9).remaining == 0
    assert not bucket.has_room("k", 1)


def test_no_limits() -> None:
    """Without limits nothing is counted."""
    assert RateLimits().charge("k", "w", 10**9) == {}


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(1, 4), st.sampled_from("ab"))))
def test_no_window_holds_more_than_the_limit(steps: list[tuple[int, int, str]]) -> None:
    """However events come, a window that begins with an event has no more than the limit."""
    clock, passed = Clock(), []
    bucket = Bucket("User", 5, clock)
    for wait, events, holder in steps:
        clock.now += wait
        if bucket.has_room(holder, events):
            standing = bucket.take(holder, events)
            passed.append((clock.now, events, holder))
            assert 0 < standing.seconds <= WINDOW_SECONDS
            since = clock.now + standing.seconds - WINDOW_SECONDS
            inside = [e for at, e, h in passed if h == holder and at >= since - 1e-6]
            assert sum(inside) + standing.remaining == 5
