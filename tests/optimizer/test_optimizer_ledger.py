"""The ledger: who made a value, who may use it, and what survives."""

from __future__ import annotations

import asyncio

import pytest

from opik_eval.errors import UnavailableError
from opik_eval.storage.opening import open_storage
from opik_optimizer.ledger import Codec, Ledger, ledger_key
from opik_optimizer.testing.mortal_storage import Killed, MortalStorage

CODEC = Codec(encode=lambda v: {"v": v}, decode=lambda d: d["v"], is_shared=lambda v: v != "bad")


class SlowStore:
    """A store that is no memory storage by its name, so that writes go through a thread."""

    def __init__(self) -> None:
        self.location = "file:somewhere.db"
        self.values: dict[str, bytes] = {}
        self.is_full = False

    def read_cached(self, key: str) -> bytes | None:
        return self.values.get(key)

    def write_cached(self, key: str, value: bytes) -> None:
        if self.is_full:
            raise UnavailableError("the disk is full")
        self.values[key] = value


def made(value: object):
    async def make() -> object:
        return value

    return make


def get(ledger: Ledger, key: str, value: object = None):
    async def main():
        found = await ledger.get(key, made(value))
        await ledger.flush()
        return found

    return asyncio.run(main())


def test_origin_tells_who_made_a_value() -> None:
    """New, then known; own for a later attempt of the run, foreign for another run."""
    store = open_storage("memory:")
    first = Ledger(store, "a", CODEC)
    assert get(first, "k", 1).origin == "new"
    assert get(first, "k", 2).value == 1
    assert get(Ledger(store, "a", CODEC), "k", 3).origin == "own"
    foreign = get(Ledger(store, "b", CODEC), "k", 4)
    assert (foreign.origin, foreign.value) == ("foreign", 1)


def test_failures_are_nobody_elses() -> None:
    """A value that is not shared is replayed for its run and made anew by others."""
    store = open_storage("memory:")
    get(Ledger(store, "a", CODEC), "k", "bad")
    assert get(Ledger(store, "a", CODEC), "k", 1).value == "bad"
    assert get(Ledger(store, "b", CODEC), "k", 2).origin == "new"


def test_a_run_that_shall_not_resume_keeps_values_of_its_own() -> None:
    """It makes everything anew, and nobody's replay changes."""
    store = open_storage("memory:")
    get(Ledger(store, "a", CODEC), "k", 1)
    assert get(Ledger(store, "b", CODEC, resume=False), "k", 2).origin == "new"
    assert get(Ledger(store, "a", CODEC), "k").value == 1
    again = get(Ledger(store, "b", CODEC), "k")
    assert (again.value, again.origin) == (2, "own")
    assert get(Ledger(store, "c", CODEC), "k").value == 1


def test_equal_keys_in_flight_are_made_once() -> None:
    """Callers that come while a value is being made share it."""
    ledger, calls = Ledger(open_storage("memory:"), "a", CODEC), []

    async def make() -> int:
        calls.append(1)
        await asyncio.sleep(0)
        return 7

    async def main() -> list[object]:
        return [f.value for f in await asyncio.gather(*(ledger.get("k", make) for _ in range(9)))]

    assert asyncio.run(main()) == [7] * 9
    assert len(calls) == 1
    assert (ledger.counts.new, ledger.counts.joined) == (1, 8)


def test_a_cancelled_maker_leaves_the_work_to_the_next() -> None:
    """Who waits for a value is not cancelled with whoever made it."""
    ledger = Ledger(open_storage("memory:"), "a", CODEC)

    async def never() -> object:
        await asyncio.Event().wait()

    async def main() -> object:
        first = asyncio.create_task(ledger.get("k", never))
        await asyncio.sleep(0)
        second = asyncio.create_task(ledger.get("k", made(5)))
        await asyncio.sleep(0)
        first.cancel()
        with pytest.raises(asyncio.CancelledError):
            await first
        return (await second).value

    assert asyncio.run(main()) == 5


def test_an_error_reaches_all_who_wait_and_is_not_kept() -> None:
    """The next caller tries again."""
    ledger = Ledger(open_storage("memory:"), "a", CODEC)

    async def fails() -> object:
        await asyncio.sleep(0)
        raise LookupError("no")

    async def main() -> list[object]:
        both = (ledger.get("k", fails), ledger.get("k", fails))
        return await asyncio.gather(*both, return_exceptions=True)

    assert [type(error) for error in asyncio.run(main())] == [LookupError, LookupError]
    assert get(ledger, "k", 1).value == 1


def test_writes_go_in_batches_and_flush_waits_for_them() -> None:
    """After a flush everything is in the store."""
    store = SlowStore()
    ledger = Ledger(store, "a", CODEC)

    async def main() -> None:
        await asyncio.gather(*(ledger.get(str(n), made(n)) for n in range(20)))
        await ledger.flush()
        assert len(store.values) == 20
        await ledger.get("late", made(1))
        await ledger.flush()
        await ledger.flush()

    asyncio.run(main())
    assert len(store.values) == 21


def test_a_store_that_refuses_ends_the_flush() -> None:
    """What could not be stored is an error of the run."""
    store = SlowStore()
    store.is_full = True
    with pytest.raises(UnavailableError, match="disk is full"):
        get(Ledger(store, "a", CODEC), "k", 1)


def test_a_kill_loses_only_what_was_not_written() -> None:
    """What was written before the end is found again."""
    store = MortalStorage()
    store.dies_at = 3
    ledger = Ledger(store, "a", CODEC)
    get(ledger, "x", 1)
    get(ledger, "y", 2)
    with pytest.raises(Killed):
        get(ledger, "z", 3)
    store = store.revived()
    again = Ledger(store, "a", CODEC)
    assert [again.find(key) is not None for key in "xyz"] == [True, True, False]


def test_forgotten_failures_are_made_anew() -> None:
    """A run whose very first step failed can be tried again."""
    store = open_storage("memory:")
    ledger = Ledger(store, "a", CODEC)
    get(ledger, "k", "bad")
    ledger.forget(["k", "unknown"])
    assert get(Ledger(store, "a", CODEC), "k", 1).origin == "new"


def test_a_new_run_does_not_look_for_its_own() -> None:
    """Where no earlier attempt is known, one read tells all."""
    store = open_storage("memory:")
    get(Ledger(store, "a", CODEC), "k", "bad")
    assert Ledger(store, "a", CODEC, is_new=True).find("k") is None


def test_keys_depend_on_content() -> None:
    """Equal parts, equal key."""
    assert ledger_key("a", {"b": 1}) == ledger_key("a", {"b": 1}) != ledger_key("a", {"b": 2})
