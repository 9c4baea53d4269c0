"""A task on which the parameters of the call decide: temperature, top_p, and the model.

    p(right) = floor + (cap - floor) x (quality x bell(temperature) x bell(top_p)) ^ difficulty

Each model has a quality and a place of its own at which it is best; the best model's quality is 1,
so the optimum is ``cap`` on every item, at a place that only a search finds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

from benchmarks.optimizers.simulation.draws import Occurrences, generator, uniform, word
from benchmarks.optimizers.simulation.landscape import Noise
from benchmarks.optimizers.simulation.task import Meter, Prompts, Record

MODELS = ("sim/small", "sim/base", "sim/large")
SPACE: dict[str, dict[str, object]] = {
    "temperature": {"type": "float", "min": 0.0, "max": 1.5},
    "top_p": {"type": "float", "min": 0.1, "max": 1.0},
    "model": {"type": "categorical", "choices": list(MODELS), "target": "model"},
}
"""What is searched, in the form that both libraries read."""

TEST_ITEMS = 400


@dataclass(frozen=True, kw_only=True)
class SurfaceSpec:
    """What makes a task of this family; a seed makes a world of it.

    Attributes:
        widths: Of the bells over temperature and top_p.
        qualities: Of the models, dealt out by the seed.
        narrowing: Factor on the widths of the best model's bells.
    """

    widths: tuple[float, float] = (0.5, 0.4)
    qualities: tuple[float, float, float] = (0.5, 0.75, 1.0)
    narrowing: float = 1.0
    floor: float = 0.1
    cap: float = 0.95
    noise: Noise = "prompt"
    train: int = 60
    validation: int = 40


SURFACES: dict[str, SurfaceSpec] = {
    "surface": SurfaceSpec(),
    "surface-narrow": SurfaceSpec(widths=(0.2, 0.2)),
    "surface-models": SurfaceSpec(qualities=(0.8, 0.85, 1.0), narrowing=0.5),
    "surface-det": SurfaceSpec(noise="det"),
    "surface-noisy": SurfaceSpec(noise="sample", cap=0.85),
}


@dataclass(frozen=True, kw_only=True)
class _Peak:
    quality: float
    place: tuple[float, float]
    widths: tuple[float, float]


class ParameterTask:
    """One world: the same name and seed make the same task in every process.

    Parameters stand for the prompts of other tasks: a text of JSON under the name ``call``.

    Args:
        name: Name of the task.
        spec: What makes it.
        seed: Which world.

    Example:
        >>> task = ParameterTask("surface", SURFACES["surface"], seed=0)
        >>> task.true_score(task.seed_prompts) < task.optimum
        True
    """

    def __init__(self, name: str, spec: SurfaceSpec, *, seed: int) -> None:
        self.name, self.seed, self.spec, self.meter = name, seed, spec, Meter()
        draw = generator("surface", name, seed)
        qualities = draw.sample(spec.qualities, len(MODELS))
        self._peaks = {
            model: _Peak(
                quality=quality,
                place=(draw.uniform(0.0, 0.9), draw.uniform(0.2, 0.9)),
                widths=tuple(w * (spec.narrowing if quality == 1 else 1.0) for w in spec.widths),  # type: ignore[arg-type]
            )
            for model, quality in zip(MODELS, qualities, strict=True)
        }
        self._worst = min(MODELS, key=lambda model: self._peaks[model].quality)
        self.train = [self._record(f"train-{n}") for n in range(spec.train)]
        self.validation = [self._record(f"validation-{n}") for n in range(spec.validation)]
        self._answered = Occurrences()
        self._value = lru_cache(maxsize=4096)(self._value_of)

    @property
    def seed_call(self) -> dict[str, object]:
        """The parameters to start from, the model among them: the worst one, at 1 and 1."""
        return {"model": self._worst, "temperature": 1.0, "top_p": 1.0}

    @property
    def seed_prompts(self) -> dict[str, str]:
        """The same as a text."""
        return as_prompts(self.seed_call)

    @property
    def optimum(self) -> float:
        """The highest true score that there is."""
        return self.spec.cap

    def answer(
        self, prompts: Prompts, item: Mapping[str, object], repeat: int | None = None
    ) -> str:
        """Return the simulated model's output."""
        self.meter.add("answers")
        text, item_id = _text(prompts), str(item["id"])
        key: tuple[object, ...] = (self.name, self.seed, item_id)
        if self.spec.noise != "det":
            key = (*key, text)
        if self.spec.noise == "sample":
            key = (*key, self._answered.next((text, item_id)) if repeat is None else repeat)
        right = uniform("surface", *key) < self._chance(self._value(text), item_id)
        return str(item["answer"]) if right else "unknown"

    def metric(self, item: Mapping[str, object], output: object) -> tuple[float, str]:
        """Return the score (0 or 1) of an output and the reason for it."""
        self.meter.add("scores")
        return (1.0, "Correct.") if str(output) == item["answer"] else (0.0, "Wrong.")

    def true_score(self, prompts: Prompts) -> float:
        """Return the expected score on 400 test items: exact, free of noise."""
        value = self._value(_text(prompts))
        return sum(self._chance(value, f"test-{n}") for n in range(TEST_ITEMS)) / TEST_ITEMS

    def ratio(self, prompts: Prompts) -> float:
        """Return the share of the possible gain."""
        start = self.true_score(self.seed_prompts)
        return (self.true_score(prompts) - start) / (self.optimum - start)

    def is_seed(self, prompts: Prompts) -> bool:
        """Tell whether parameters are the ones to start from."""
        return _text(prompts) == _text(self.seed_prompts)

    def _chance(self, value: float, item_id: str) -> float:
        difficulty = 0.5 + uniform("difficulty", self.name, self.seed, item_id)
        return self.spec.floor + (self.spec.cap - self.spec.floor) * value**difficulty

    def _value_of(self, text: str) -> float:
        call = json.loads(text)
        peak = self._peaks[call["model"]]
        at = (float(call.get("temperature", 1.0)), float(call.get("top_p", 1.0)))
        distance = sum(
            ((x - centre) / width) ** 2
            for x, centre, width in zip(at, peak.place, peak.widths, strict=True)
        )
        return peak.quality * math.exp(-distance)

    def _record(self, item_id: str) -> Record:
        code = word("code", self.name, self.seed, item_id)
        question = f"Case {word('case', self.name, self.seed, item_id)}: what is its code?"
        return {"id": item_id, "question": question, "answer": code}


def as_prompts(call: Mapping[str, object]) -> dict[str, str]:
    """Return parameters as the text that stands for them; others than those searched are left out.

    Example:
        >>> as_prompts({"model": "sim/base", "temperature": 0.5, "stream": False})
        {'call': '{"model": "sim/base", "temperature": 0.5}'}
    """
    return {"call": json.dumps({k: v for k, v in sorted(call.items()) if k in SPACE})}


def _text(prompts: Prompts) -> str:
    return prompts if isinstance(prompts, str) else prompts["call"]
