"""A task on which the demonstrations in a prompt decide: which, how many, and how varied.

    p(right) = floor + (cap - floor) x knows x spoil ^ misleading x length ^ shown

An item is of one of several kinds: a class, told in one of several manners. ``knows`` is 1 if an
item of its kind is shown, less if only its class is, and little if not even that. Some items
mislead: shown, they hurt all answers. Each demonstration makes the prompt longer, so that a second
one of the same kind does nothing but harm.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from benchmarks.optimizers.simulation.draws import Occurrences, generator, uniform, word
from benchmarks.optimizers.simulation.landscape import Noise
from benchmarks.optimizers.simulation.task import Meter, Prompts, Record

MOST_SHOWN = 8
TEST_ITEMS = 400
_CASE = re.compile(r"Case (\w+):")
_ANSWER_WITHIN = 160
Kind = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class ShotSpec:
    """What makes a task of this family; a seed makes a world of it.

    Attributes:
        classes: How many.
        manners: Of each class.
        skew: How unevenly kinds occur: the chance of the next one, relative to the one before.
        near: What is known of an item if only its class is shown.
        far: And if not even that.
        harm: Share of items that mislead when shown.
        spoil: Factor for each of them.
        length: Factor for each demonstration.
    """

    classes: int = 6
    manners: int = 3
    skew: float = 0.85
    near: float = 0.45
    far: float = 0.1
    harm: float = 0.2
    spoil: float = 0.7
    length: float = 0.985
    floor: float = 0.05
    cap: float = 0.95
    noise: Noise = "prompt"
    train: int = 80
    validation: int = 40


SHOTS: dict[str, ShotSpec] = {
    "shots": ShotSpec(),
    "shots-harm": ShotSpec(harm=0.45),
    "shots-long": ShotSpec(classes=3, manners=2, near=0.6, length=0.93),
    "shots-det": ShotSpec(noise="det"),
    "shots-noisy": ShotSpec(noise="sample", cap=0.85),
}


@dataclass(frozen=True, kw_only=True)
class _Shot:
    id: str
    kind: Kind
    misleads: bool


class DemonstrationTask:
    """One world: the same name and seed make the same task in every process.

    Args:
        name: Name of the task.
        spec: What makes it.
        seed: Which world.

    Example:
        >>> task = DemonstrationTask("shots", SHOTS["shots"], seed=0)
        >>> task.true_score(task.seed_prompts) < task.optimum
        True
    """

    def __init__(self, name: str, spec: ShotSpec, *, seed: int) -> None:
        self.name, self.seed, self.spec, self.meter = name, seed, spec, Meter()
        draw = generator("shots", name, seed)
        kinds = [(c, m) for c in range(spec.classes) for m in range(spec.manners)]
        draw.shuffle(kinds)
        self._weights = {kind: spec.skew**rank for rank, kind in enumerate(kinds)}
        sizes = {"train": spec.train, "validation": spec.validation, "test": TEST_ITEMS}
        items = {
            split: [self._item(f"{split}-{n}", draw) for n in range(size)]
            for split, size in sizes.items()
        }
        self._test = Counter(item.kind for item in items["test"])
        self._items = {item.id: item for split in items.values() for item in split}
        self.train = [self._record(item) for item in items["train"]]
        self.validation = [self._record(item) for item in items["validation"]]
        self._cases = {self._code(r["id"]): r for r in self.train}
        self._answered = Occurrences()
        self._shown = lru_cache(maxsize=4096)(self._read)

    @property
    def seed_prompts(self) -> dict[str, str]:
        """The prompt to start from: no demonstrations."""
        return {"answer": "Say which class the case belongs to."}

    @cached_property
    def optimum(self) -> float:
        """The highest true score of up to ``MOST_SHOWN`` demonstrations, none misleading."""
        best = {0: self.spec.far * TEST_ITEMS}  # by number of demonstrations: items known
        for name in range(self.spec.classes):
            counts = sorted((n for (c, _), n in self._test.items() if c == name), reverse=True)
            kinds = [0.0] + [
                sum(counts[:k]) + self.spec.near * sum(counts[k:]) - self.spec.far * sum(counts)
                for k in range(1, len(counts) + 1)
            ]
            sums = [(n + k, gain + kinds[k]) for n, gain in best.items() for k in range(len(kinds))]
            best = {n: max(gain for m, gain in sums if m == n) for n, _ in sums if n <= MOST_SHOWN}
        known = max(gain * self.spec.length**n for n, gain in best.items()) / TEST_ITEMS
        return self.spec.floor + (self.spec.cap - self.spec.floor) * known

    def answer(
        self, prompts: Prompts, item: Mapping[str, object], repeat: int | None = None
    ) -> str:
        """Return the simulated model's output."""
        self.meter.add("answers")
        text = _text(prompts)
        asked = self._items[str(item["id"])]
        key: tuple[object, ...] = (self.name, self.seed, asked.id)
        if self.spec.noise != "det":
            key = (*key, text)
        if self.spec.noise == "sample":
            key = (*key, self._answered.next((text, asked.id)) if repeat is None else repeat)
        right = uniform("shot", *key) < self._chance(self._shown(text), asked.kind)
        return self._label(asked.kind) if right else "unknown"

    def metric(self, item: Mapping[str, object], output: object) -> tuple[float, str]:
        """Return the score (0 or 1) of an output and the reason for it."""
        self.meter.add("scores")
        right = str(output).strip() == item["answer"]
        return (1.0, "Correct.") if right else (0.0, f"Wrong: it is {item['answer']}.")

    def true_score(self, prompts: Prompts) -> float:
        """Return the expected score on the 400 test items: exact, free of noise."""
        shown = self._shown(_text(prompts))
        return sum(n * self._chance(shown, kind) for kind, n in self._test.items()) / TEST_ITEMS

    def ratio(self, prompts: Prompts) -> float:
        """Return the share of the possible gain."""
        start = self.true_score(self.seed_prompts)
        return (self.true_score(prompts) - start) / (self.optimum - start)

    def is_seed(self, prompts: Prompts) -> bool:
        """Tell whether prompts are the ones to start from."""
        return _text(prompts) == _text(self.seed_prompts)

    def _chance(self, shown: Sequence[_Shot], kind: Kind) -> float:
        spec = self.spec
        kinds = {shot.kind for shot in shown}
        known = spec.near if kind[0] in {c for c, _ in kinds} else spec.far
        value = 1.0 if kind in kinds else known
        value *= spec.spoil ** sum(shot.misleads for shot in shown) * spec.length ** len(shown)
        return spec.floor + (spec.cap - spec.floor) * value

    def _read(self, text: str) -> tuple[_Shot, ...]:
        """Return the train items that a text shows together with their answers."""
        found = []
        for match in _CASE.finditer(text):
            record = self._cases.get(match[1])
            after = text[match.end() : match.end() + _ANSWER_WITHIN]
            if record is not None and record["answer"] in after:
                found.append(self._items[record["id"]])
        return tuple(found)

    def _item(self, item_id: str, draw: random.Random) -> _Shot:
        [kind] = draw.choices(list(self._weights), weights=list(self._weights.values()))
        return _Shot(id=item_id, kind=kind, misleads=draw.random() < self.spec.harm)

    def _record(self, item: _Shot) -> Record:
        draw = generator("words", self.name, self.seed, item.id)
        topic = [word("topic", self.name, self.seed, item.kind[0], n) for n in range(4)]
        manner = [word("manner", self.name, self.seed, item.kind, n) for n in range(4)]
        words = draw.sample(topic, 2) + draw.sample(manner, 3)
        question = f"Case {self._code(item.id)}: {' '.join(words)}"
        return {"id": item.id, "question": question, "answer": self._label(item.kind)}

    def _code(self, item_id: str) -> str:
        return word("case", self.name, self.seed, item_id)

    def _label(self, kind: Kind) -> str:
        return f"class-{word('class', self.name, self.seed, kind[0])[:5]}"


def _text(prompts: Prompts) -> str:
    return prompts if isinstance(prompts, str) else "\n".join(prompts.values())
