"""Datasets of the Hugging Face hub, by name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

from opik_eval.errors import DatasetError

PREFIX = "hf:"
_PROBE_SECONDS = 5.0


class _Switch(Protocol):
    HF_HUB_OFFLINE: bool


def load_hugging_face(name: str) -> Iterable[Mapping[str, object]]:
    """Load a dataset by ``hf:NAME[:SPLIT]``, split ``test`` by default.

    Without network it is taken from the library's cache.

    Raises:
        DatasetError: It cannot be loaded (unknown name or split, neither network nor cache).
    """
    import datasets

    repository, _, split = name.removeprefix(PREFIX).partition(":")
    try:
        with _cache_only_if_unreachable():
            loaded = datasets.load_dataset(repository, split=split or "test")
    except Exception as error:  # the library raises errors of many kinds, its own and others'
        raise DatasetError(
            f"cannot load {name!r} from the Hugging Face hub: {error}",
            remedy="check name, split and network; a local copy can be passed as an object or file",
        ) from error
    return cast("Iterable[Mapping[str, object]]", loaded)


def read_split(
    repository: str, *, split: str, config: str | None = None
) -> Iterator[Mapping[str, object]]:
    """Yield the rows of a split as they come, without loading the whole of it.

    Where the hub is out of reach they are taken from the library's cache.

    Args:
        repository: ``OWNER/NAME``.
        split: Name of the split.
        config: Configuration of the dataset, where it has several.

    Raises:
        DatasetError: They cannot be loaded (unknown name or split, neither network nor cache).
    """
    import datasets

    try:
        with _cache_only_if_unreachable() as is_offline:
            rows = datasets.load_dataset(repository, config, split=split, streaming=not is_offline)
        yield from cast("Iterable[Mapping[str, object]]", rows)
    except Exception as error:  # the library raises errors of many kinds, its own and others'
        raise DatasetError(
            f"cannot load the split {split!r} of {repository!r} from the Hugging Face hub: {error}",
            remedy="check name, split and network",
        ) from error


@contextmanager
def _cache_only_if_unreachable() -> Iterator[bool]:
    """Ask the library for cached data only where the hub is out of reach; tell whether it is.

    Left alone it tries again and again for more than 20 seconds.
    """
    from datasets import config
    from huggingface_hub import constants

    places = cast("Sequence[_Switch]", (constants, config))
    before = [place.HF_HUB_OFFLINE for place in places]
    is_offline = any(before) or not _can_reach(constants.ENDPOINT)
    try:
        for place in places:
            place.HF_HUB_OFFLINE = is_offline
        yield is_offline
    finally:
        for place, value in zip(places, before, strict=True):
            place.HF_HUB_OFFLINE = value


def _can_reach(url: str) -> bool:
    from huggingface_hub import get_session

    try:
        get_session().head(url, timeout=_PROBE_SECONDS)
    except Exception:  # noqa: BLE001 - the HTTP library differs between versions, and its errors too
        return False
    return True
