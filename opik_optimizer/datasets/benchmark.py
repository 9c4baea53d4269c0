"""A benchmark data set: declared in a few lines, loaded on one path.

Rows come from the first of these that there is: the file or folder that ``path`` names, the folder
that the setting ``OPIK_EVAL_DATA_DIR`` names, the Hugging Face hub (or its cache on this machine).
Nothing is read before a loader is called.
"""

from __future__ import annotations

import json
import logging
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Unpack

from opik_eval.config import settings
from opik_eval.datasets.dataset import Dataset, from_items, get_or_create_dataset
from opik_eval.datasets.hugging_face import read_split
from opik_eval.datasets.loaders import read_file
from opik_eval.errors import DatasetError
from opik_eval.serialization import content_hash
from opik_eval.storage.opening import open_storage
from opik_optimizer.datasets.options import LoadKeywords, LoadOptions

Row = Mapping[str, object]
Convert = Callable[[Iterable[Row]], Iterable[Row]]

logger = logging.getLogger("opik_optimizer")

_SAMPLES = 5
_ENDINGS = (".jsonl", ".json", ".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Hub:
    """Where rows are on the Hugging Face hub.

    Attributes:
        repository: ``OWNER/NAME``.
        config: Configuration of the data set, where it has several.
    """

    repository: str
    config: str | None = None


@dataclass(frozen=True)
class Part:
    """Which items of a source are a split.

    Attributes:
        source: Split of the source.
        start: The first of its items.
        count: How many, where the user does not say.
        hub: Where they are, if not where the other splits are.
    """

    source: str
    start: int
    count: int
    hub: Hub | None = None

    @property
    def stop(self) -> int:
        """The item after the last one."""
        return self.start + self.count


@dataclass(frozen=True, kw_only=True)
class Benchmark:
    """A loader of a benchmark data set; call it to get a dataset.

    Splits are disjoint. One that is asked for more items than its own passes over those of the
    others.

    Args:
        name: Its name, and that of its folder of local files.
        hub: Where its rows are; ``None`` = with the package.
        parts: Its splits.
        about: What an item is, in one sentence.
        convert: Makes items of the source's rows.

    Example:
        >>> from opik_optimizer.datasets import gsm8k
        >>> items = gsm8k(test_mode=True, storage="memory:")
        >>> items.name, sorted(items.get_items()[0])
        ('gsm8k_train_sample', ['answer', 'id', 'question'])
    """

    name: str
    hub: Hub | None
    parts: Mapping[str, Part]
    about: str
    convert: Convert = field(default=iter, repr=False)

    def __call__(self, **options: Unpack[LoadKeywords]) -> Dataset:
        """Load items and return them as a dataset in the store.

        Args:
            **options: See ``LoadOptions``.

        Raises:
            TypeError: An option is unknown.
            DatasetError: The split does not exist, there are not as many items as asked for, or the
                rows are nowhere to be found; the text says what to do.
        """
        asked = LoadOptions(**options)
        part = self._part(asked.named_split)
        items = self._samples(asked) if asked.test_mode else self._items(part, asked)
        storage = open_storage(asked.storage)
        name = asked.dataset_name or self._dataset_name(part, asked)
        get_or_create_dataset(storage, name, description=self._description(asked))
        return from_items(items, storage=storage, name=name)

    def sample_rows(self) -> list[Row]:
        """Return the rows that come with the package, in the form of the source."""
        place = files("opik_optimizer.datasets") / "tiny" / f"{self.name}.jsonl"
        return [json.loads(line) for line in place.read_text(encoding="utf-8").splitlines()]

    def _part(self, split: str) -> Part:
        if split not in self.parts:
            raise DatasetError(
                f"{self.name} has no split {split!r}",
                remedy=f"use one of {', '.join(self.parts)}",
            )
        return self.parts[split]

    def _samples(self, asked: LoadOptions) -> list[Row]:
        items = list(filter(asked.keeps, self.convert(self.sample_rows())))
        count = (
            min(_SAMPLES, len(items)) if asked.test_mode_count is None else asked.test_mode_count
        )
        if not 0 < count <= len(items):
            raise DatasetError(f"{self.name} comes with {len(items)} such items to try out")
        logger.warning(
            "%s: these %d items are made up, to try a script out; they measure nothing",
            self.name,
            count,
        )
        return items[:count]

    def _items(self, part: Part, asked: LoadOptions) -> list[Row]:
        start, count = asked.start or 0, asked.count or part.count
        own = filter(asked.keeps, self._own(part, self.convert(self._rows(part, asked))))
        found = list(islice(own, max(part.count, start + count)))
        if asked.seed is not None:
            random.Random(asked.seed).shuffle(found)
        items = found[start : start + count]
        if not items or (asked.count is not None and len(items) < count):
            raise DatasetError(
                f"{self.name}: there are {len(items)} such items from {start} on, and {count} were "
                "asked for",
                remedy="lower count or start, or widen filter_by",
            )
        return items

    def _own(self, part: Part, items: Iterable[Row]) -> Iterator[Row]:
        """Yield the items from the split's first on, without those of other splits."""
        others = [o for o in self.parts.values() if o != part and o.source == part.source]
        taken = {n for o in others if o.hub == part.hub for n in range(o.start, o.stop)}
        return (item for n, item in enumerate(items) if n >= part.start and n not in taken)

    def _rows(self, part: Part, asked: LoadOptions) -> Iterable[Row]:
        file = f"{self.name}/{part.source if part.hub is None else asked.named_split}"
        if asked.path is not None:
            return read_file(_required(Path(asked.path), file))
        folder = settings().data_dir
        local = None if folder is None else find_file(Path(folder), file)
        if local is not None:
            return read_file(local)
        hub = part.hub or self.hub
        return self.sample_rows() if hub is None else _from_hub(hub, part.source, file)

    def _dataset_name(self, part: Part, asked: LoadOptions) -> str:
        parts = [self.name, asked.named_split]
        if asked.start:
            parts.append(f"from{asked.start}")
        if asked.count not in (None, part.count):
            parts.append(str(asked.count))
        if asked.seed is not None:
            parts.append(f"seed{asked.seed}")
        if asked.filter_by:
            from opik_eval.engine.fingerprint import fingerprint

            parts.append(f"filtered_{content_hash(fingerprint(asked.filter_by))[:8]}")
        return "_".join([*parts, "sample"] if asked.test_mode else parts)

    def _description(self, asked: LoadOptions) -> str:
        if asked.test_mode:
            return f"Made up in the form of {self.name}, to try scripts out. {self.about}"
        source = "" if self.hub is None else f" Source: {self.hub.repository}."
        return self.about + source


def find_file(folder: Path, file: str) -> Path | None:
    """Return the file of a folder that has the rows of a split, or ``None``.

    Args:
        folder: The folder.
        file: ``NAME/SPLIT`` of the source; ``.jsonl``, ``.json``, ``.csv`` or ``.parquet`` follows.
            In a folder of that one data set it may lie at the top.
    """
    stems = (folder / file, folder / Path(file).name)
    places = (stem.with_name(stem.name + ending) for stem in stems for ending in _ENDINGS)
    return next((place for place in places if place.is_file()), None)


def _required(path: Path, file: str) -> Path:
    found = find_file(path, file) if path.is_dir() else path
    if found is None:
        raise DatasetError(
            f"{path} has no rows of {file}", remedy=f"put them into {path / file}.jsonl"
        )
    return found


def _from_hub(hub: Hub, source: str, file: str) -> Iterator[Row]:
    try:
        yield from read_split(hub.repository, config=hub.config, split=source)
    except DatasetError as error:
        error.remedy = (
            f"connect to the network; or put the rows into {file}.jsonl in a folder, and name that "
            "by path= or OPIK_EVAL_DATA_DIR; or try the script out with test_mode=True"
        )
        raise


__all__ = ["Benchmark", "Hub", "Part", "find_file"]
