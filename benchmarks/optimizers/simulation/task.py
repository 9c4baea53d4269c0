"""A simulated task: answers, metric, reflection, and the truth that optimizers do not see."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from threading import Lock

from benchmarks.optimizers.simulation.draws import Occurrences, uniform, word
from benchmarks.optimizers.simulation.landscape import Item, Landscape, Traits
from benchmarks.optimizers.simulation.reflector import REASON, Reflector
from benchmarks.optimizers.simulation.vocabulary import IDLE, rule_sentence

Record = dict[str, str]
"""What an optimizer sees of an item: ``id``, ``question``, ``answer``."""

Prompts = str | Mapping[str, str]
"""A text, or one text for each component."""

_FILE = re.compile(r"file (\S+): what is its code\?")
_WRONG = -1
_RIGHT = -2


@dataclass(kw_only=True)
class Meter:
    """Counts what a run uses, whatever the optimizer says."""

    answers: int = 0
    scores: int = 0
    reflections: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def add(self, name: str) -> None:
        """Count one call."""
        with self._lock:
            setattr(self, name, getattr(self, name) + 1)


class SimulatedTask:
    """One world: the same name and seed make the same task in every process.

    An item's output is a code word. The metric knows which words stand for which missing rule, as
    a person who checks an answer sees what went wrong with it; the optimizer sees the metric's
    score and reason alone.

    Attributes:
        train: Items for feedback.
        validation: Items for selection.
        meter: Calls so far.

    Example:
        >>> from benchmarks.optimizers.simulation.catalogue import make_task
        >>> task = make_task("rules", seed=0)
        >>> item = task.train[0]
        >>> score, reason = task.metric(item, task.answer(task.seed_prompt, item))
        >>> score in (0.0, 1.0) and task.true_score(task.seed_prompt) < task.optimum
        True
    """

    def __init__(
        self,
        name: str,
        seed: int,
        landscape: Landscape,
        items: Mapping[str, Sequence[Item]],
        *,
        reflector: Reflector,
    ) -> None:
        self.name = name
        self.seed = seed
        self.landscape = landscape
        self.meter = Meter()
        self.train = [self._record(item) for item in items["train"]]
        self.validation = [self._record(item) for item in items["validation"]]
        self._items = {item.id: item for split in items.values() for item in split}
        self._test = tuple(items["test"])
        self._reflector = reflector
        self._answered = Occurrences()
        self._traits = lru_cache(maxsize=4096)(self._read)
        self._causes = lru_cache(maxsize=None)(self._meanings)
        self._true = lru_cache(maxsize=4096)(self._expected)

    @property
    def seed_prompts(self) -> dict[str, str]:
        """The prompts to start from, one for each component."""
        return {name: f"You handle the {name} of each case." for name in self.landscape.components}

    @property
    def seed_prompt(self) -> Prompts:
        """The prompt to start from: a text, or texts by component if there are several."""
        prompts = self.seed_prompts
        return prompts if len(prompts) > 1 else next(iter(prompts.values()))

    @property
    def best_prompts(self) -> dict[str, str]:
        """Prompts whose true score is the optimum."""
        return {
            name: " ".join(
                [text]
                + [rule_sentence(r.phrase) for r in self.landscape.rules if r.component == name]
            )
            for name, text in self.seed_prompts.items()
        }

    @property
    def optimum(self) -> float:
        """The highest true score that any prompt has."""
        return self.landscape.cap

    def answer(
        self, prompts: Prompts, item: Mapping[str, object], repeat: int | None = None
    ) -> str:
        """Return the simulated model's output.

        Args:
            prompts: The prompt or prompts to try.
            item: One of ``train`` or ``validation``.
            repeat: Which of several equal calls this is; counted here if absent.
        """
        self.meter.add("answers")
        return self._answer(self._texts(prompts), self._items[str(item["id"])], repeat)

    def metric(self, item: Mapping[str, object], output: object) -> tuple[float, str]:
        """Return the score (0 or 1) of an output and the reason for it."""
        self.meter.add("scores")
        cause = self._causes(str(item["id"])).get(str(output).strip(), _WRONG)
        if cause == _RIGHT:
            return 1.0, "Correct."
        if cause == _WRONG:
            return 0.0, "Wrong."
        return 0.0, f"{REASON}{self.landscape.rules[cause].hint}."

    def reflect(self, text: str) -> str:
        """Return a new prompt, made of nothing but a text that was handed over."""
        self.meter.add("reflections")
        return self._reflector.rewrite(text)

    def analyse(self, text: str) -> str:
        """Return what the feedback in a text has in common; a step of some reflections."""
        return self._reflector.analyse(text)

    def true_score(self, prompts: Prompts) -> float:
        """Return the expected score on the 400 test items: exact, free of noise."""
        return self._true(self.traits(prompts))

    def ratio(self, prompts: Prompts) -> float:
        """Return the share of the possible gain: 0 = as good as the seed prompt, 1 = optimum."""
        start = self.true_score(self.seed_prompts)
        if self.optimum - start < 1e-9:
            return 0.0
        return (self.true_score(prompts) - start) / (self.optimum - start)

    def is_seed(self, prompts: Prompts) -> bool:
        """Tell whether prompts are the ones to start from."""
        return self._texts(prompts) == self.seed_prompts

    def traits(self, prompts: Prompts) -> Traits:
        """Return what decides about the effect of prompts."""
        return self._traits(tuple(self._texts(prompts).items()))

    def find_item(self, text: str) -> Record | None:
        """Return the item that the last question in a text is about."""
        found = _FILE.findall(text)
        return self._records.get(found[-1]) if found else None

    @cached_property
    def _records(self) -> dict[str, Record]:
        return {record["id"]: record for record in (*self.train, *self.validation)}

    def _texts(self, prompts: Prompts) -> dict[str, str]:
        return (
            {self.landscape.components[0]: prompts} if isinstance(prompts, str) else dict(prompts)
        )

    def _read(self, texts: tuple[tuple[str, str], ...]) -> Traits:
        whole = " ".join(text for _, text in texts)
        words = sum(len(text.split()) for text in self.best_prompts.values())
        return Traits(
            present=self.landscape.present(dict(texts)),
            idle=sum(whole.count(sentence) for sentence in IDLE),
            surplus_words=max(0, len(whole.split()) - words),
        )

    def _expected(self, traits: Traits) -> float:
        chances = [self.landscape.probability(traits, item) for item in self._test]
        return sum(chances) / len(chances)

    def _answer(self, texts: dict[str, str], item: Item, repeat: int | None) -> str:
        prompt = tuple(sorted(texts.items()))
        key: tuple[object, ...] = (self.name, self.seed, item.id)
        if self.landscape.noise != "det":
            key = (*key, prompt)
        if self.landscape.noise == "sample":
            key = (*key, self._answered.next((prompt, item.id)) if repeat is None else repeat)
        traits = self._traits(tuple(texts.items()))
        if uniform("answer", *key) < self.landscape.probability(traits, item):
            return self._word(item.id, _RIGHT)
        causes = self.landscape.blamable(traits, item)
        if not causes or uniform("hint", *key) >= self.landscape.hint_rate:
            return self._word(item.id, _WRONG)
        return self._word(item.id, causes[int(uniform("cause", *key) * len(causes))])

    def _record(self, item: Item) -> Record:
        return {
            "id": item.id,
            "question": f"Case {self._word(item.id, 'case')}, file {item.id}: what is its code?",
            "answer": self._word(item.id, _RIGHT),
        }

    def _meanings(self, item_id: str) -> dict[str, int]:
        return {
            self._word(item_id, cause): cause
            for cause in (*range(len(self.landscape.rules)), _RIGHT)
        }

    def _word(self, item_id: str, meaning: object) -> str:
        return word("word", self.name, self.seed, item_id, meaning)
