"""Ids: valid UUIDv7, sorted by age, never twice; derived ones belong to their parts."""

from __future__ import annotations

import datetime as dt
import os
import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval import ids
from opik_eval.errors import ConfigError
from opik_eval.ids import derived_id, new_id, time_of

parts = st.lists(st.text(st.characters(exclude_categories=()), max_size=4), max_size=4)
moments = st.integers(0, 253402300799).map(
    lambda seconds: dt.datetime.fromtimestamp(seconds, dt.UTC)
)


def test_fresh_ids_are_sorted_and_tell_the_time():
    """Ids are UUIDv7 in canonical text, strictly increasing, and their times do not run ahead."""
    before = dt.datetime.now(dt.UTC)
    fresh = [new_id() for _ in range(20_000)]
    after = dt.datetime.now(dt.UTC)
    assert fresh == sorted(set(fresh))
    parsed = uuid.UUID(fresh[-1])
    assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, fresh[-1])
    millisecond = dt.timedelta(milliseconds=1)
    assert before - millisecond <= time_of(fresh[0]) <= time_of(fresh[-1]) <= after + millisecond


def test_ids_are_unique_across_threads():
    """Threads that make ids at once never get the same, and each sees its own increase."""
    barrier = threading.Barrier(8)

    def many(_: int) -> list[str]:
        barrier.wait()
        return [new_id() for _ in range(500)]

    with ThreadPoolExecutor(8) as pool:
        batches = list(pool.map(many, range(8)))
    assert all(batch == sorted(batch) for batch in batches)
    assert len({identifier for batch in batches for identifier in batch}) == 4000


def test_ids_increase_when_the_clock_is_set_back(monkeypatch):
    """Within a process ids increase even if the clock does not."""
    first = new_id()
    monkeypatch.setattr("time.time_ns", lambda: 1_000_000_000)
    assert first < new_id() < new_id()


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_a_forked_child_makes_ids_while_its_parent_holds_the_lock():
    """A fork at a bad moment neither blocks the child nor makes it repeat ids."""
    held, release = threading.Event(), threading.Event()

    def hold() -> None:
        with ids._clock._lock:
            held.set()
            release.wait()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait()
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(writer, new_id().encode())
        os._exit(0)
    release.set()
    thread.join()
    os.close(writer)
    with os.fdopen(reader) as pipe:
        made = pipe.read()
    os.waitpid(child, 0)
    assert uuid.UUID(made).version == 7
    assert made != new_id()


@given(parts, parts, st.none() | moments)
def test_derived_ids_belong_to_their_parts(some, others, at):
    """Equal parts give equal ids, different parts different ones, however they are cut."""
    identifier = derived_id(*some, at=at)
    assert uuid.UUID(identifier).version == 7
    assert str(uuid.UUID(identifier)) == identifier
    assert (derived_id(*others, at=at) == identifier) == (some == others)
    expected = at or dt.datetime.fromtimestamp(0, dt.UTC)
    assert abs(time_of(identifier) - expected) < dt.timedelta(milliseconds=2)


def test_derived_ids_are_frozen():
    """The derivation never changes: stored ids must be found again."""
    # printf 5:trace5:score | sha256sum, with version and variant set
    assert derived_id("trace", "score") == "00000000-0000-77c1-8ce0-24e605b8ec40"
    assert derived_id(at=dt.datetime(1969, 1, 1, tzinfo=dt.UTC))[:13] == "00000000-0000"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("no id", "is not a UUID"),
        (str(uuid.UUID(int=0, version=4)), "of version 4, not 7"),
        ("ffffffff-ffff-7fff-8fff-ffffffffffff", "after the year 9999"),
    ],
)
def test_what_holds_no_time(text, problem):
    """Only a UUIDv7 of this era has a time."""
    with pytest.raises(ConfigError, match=problem):
        time_of(text)
