"""The feed of units."""

from __future__ import annotations

import threading
from collections.abc import Iterator

from engine_fakes import units
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.engine.units import Feed, WorkUnit


@given(count=st.integers(0, 200), chunk=st.integers(1, 70), threads=st.integers(1, 4))
def test_every_unit_goes_to_one_thread(count: int, chunk: int, threads: int) -> None:
    """However many threads take units, each unit is handed out exactly once and in order."""
    feed = Feed(units(count), chunk=chunk)
    taken: list[list[int]] = [[] for _ in range(threads)]

    def take(mine: list[int]) -> None:
        while (unit := feed.next()) is not None:
            mine.append(unit.index)

    workers = [threading.Thread(target=take, args=(mine,)) for mine in taken]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(20)
    assert sorted(index for mine in taken for index in mine) == list(range(count))
    assert all(mine == sorted(mine) for mine in taken)
    assert not feed.is_open


def test_units_are_made_lazily() -> None:
    """No more units are made ahead than one chunk."""
    made: list[int] = []

    def source() -> Iterator[WorkUnit]:
        for unit in units(100):
            made.append(unit.index)
            yield unit

    feed = Feed(source(), chunk=10)
    assert feed.next() is not None
    assert len(made) == 10


def test_a_shut_feed_gives_nothing_more() -> None:
    """After ``shut`` even units that were made already are not handed out."""
    feed = Feed(units(10))
    assert [unit.index for unit in feed.take(2)] == [0, 1]
    assert feed.is_open
    feed.shut()
    assert feed.next() is None
    assert feed.take(3) == []


def test_take_gives_what_is_left() -> None:
    """``take`` returns fewer units at the end."""
    feed = Feed(units(3))
    assert len(feed.take(2)) == 2
    assert len(feed.take(2)) == 1
    assert feed.take(2) == []
