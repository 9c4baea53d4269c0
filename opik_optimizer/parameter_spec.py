"""One parameter of a search space: what values it may have, where it goes, when it exists."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import InitVar, dataclass, field, replace
from dataclasses import fields as dataclass_fields
from typing import Literal, Protocol, cast

from opik_eval.serialization import dumps
from opik_optimizer.errors import SettingsError
from opik_optimizer.prompt import describe_model

ParameterType = Literal["float", "int", "categorical", "bool"]
Scale = Literal["linear", "log"]
_ALIASES = {
    "min": "low",
    "max": "high",
    "values": "choices",
    "selection": "choices",
    "path": "target",
}
_PRIMITIVES = (str, int, float, bool, type(None))
_ROUNDING = 1e-9
_DECIMALS = 12  # Optuna adds steps in decimals, where 3 x 0.1 is 0.3


class Trial(Protocol):
    """What is used of an Optuna trial."""

    def suggest_float(
        self, name: str, low: float, high: float, *, step: float | None = None, log: bool = False
    ) -> float:
        """Return a float of the range."""
        ...

    def suggest_int(
        self, name: str, low: int, high: int, *, step: int = 1, log: bool = False
    ) -> int:
        """Return an integer of the range."""
        ...

    def suggest_categorical(
        self, name: str, choices: Sequence[str | float | bool | None]
    ) -> object:
        """Return one of the choices."""
        ...


@dataclass(frozen=True, kw_only=True)
class ParameterSpec:
    """One parameter.

    Args:
        name: Name in the search and in reports.
        type: ``float``, ``int``, ``categorical`` or ``bool``.
        low: Lowest value of a number.
        high: Highest value of a number, included; lowered to where the last step leads.
        step: Distance between possible values.
        scale: ``log`` to search evenly over magnitudes.
        choices: Possible values of a categorical one, such as names of models.
        target: Where it goes: ``model``, or a path in the model parameters such as
            ``extra.reasoning``; the name if absent.
        prompt: Name of the prompt it belongs to; all prompts if absent.
        per_prompt: Each prompt of a bundle gets a value of its own.
        when: Values of earlier parameters under which this one exists: a value or a list of them.
        default: Value to start with where the prompt says none.
        description: What it does, for reports.
        min: Opik's name of ``low``.
        max: Opik's name of ``high``.

    Raises:
        SettingsError: The values make no sense.

    Example:
        >>> ParameterSpec(name="temperature", type="float", low=0, high=2).contains(0.7)
        True
    """

    name: str
    type: ParameterType
    low: float | None = None
    high: float | None = None
    step: float | None = None
    scale: Scale = "linear"
    choices: tuple[object, ...] = ()
    target: str = ""
    prompt: str | None = None
    per_prompt: bool = False
    when: Mapping[str, object] = field(default_factory=dict)
    default: object = None
    description: str = ""
    min: InitVar[float | None] = None
    max: InitVar[float | None] = None

    def __post_init__(self, min: float | None, max: float | None) -> None:
        for name, value in (("low", min), ("high", max)):
            if value is not None:
                object.__setattr__(self, name, value)
        object.__setattr__(self, "choices", tuple(self.choices))
        object.__setattr__(self, "target", self.target or self.name)
        problem = self._range_problem() if self.is_number else self._choices_problem()
        if problem or not self.name:
            raise SettingsError(
                f"parameter {self.name!r} {problem or 'needs a name'}",
                remedy="for example ParameterSpec(name='temperature', type='float', low=0, high=2)",
            )
        if self.is_number and self.step is not None:
            last = math.floor(self._steps_to(cast("float", self.high), self.step) + _ROUNDING)
            object.__setattr__(self, "high", self._after(last, self.step))

    @classmethod
    def of(cls, name: str, spec: ParameterSpec | Mapping[str, object]) -> ParameterSpec:
        """Return the spec that a mapping stands for; Opik's names of the fields are understood.

        Raises:
            SettingsError: It has an unknown field, or its values make no sense.

        Example:
            >>> ParameterSpec.of("top_p", {"type": "float", "min": 0.1, "max": 1}).high
            1
        """
        if isinstance(spec, ParameterSpec):
            return spec
        fields = {_ALIASES.get(key, key): value for key, value in spec.items()}
        fields = {"name": name, "type": "categorical" if "choices" in fields else "float", **fields}
        known = [each.name for each in dataclass_fields(cls)]
        if unknown := sorted(set(fields) - set(known)):
            raise SettingsError(
                f"parameter {name!r} has unknown fields {unknown}",
                remedy=f"there are {', '.join(known)}",
            )
        return cls(**cast("Mapping[str, str]", fields))  # type: ignore[arg-type]

    @property
    def is_number(self) -> bool:
        """True for floats and integers."""
        return self.type in ("float", "int")

    @property
    def options(self) -> tuple[object, ...]:
        """Values of a categorical or boolean parameter."""
        return (False, True) if self.type == "bool" else self.choices

    def suggest(self, trial: Trial) -> object:
        """Return a value that a trial chooses."""
        low, high = cast("float", self.low), cast("float", self.high)
        is_log = self.scale == "log"
        if self.type == "float":
            return trial.suggest_float(self.name, low, high, step=self.step, log=is_log)
        if self.type == "int":
            return trial.suggest_int(
                self.name, int(low), int(high), step=int(self.step or 1), log=is_log
            )
        labels = [label_of(option) for option in self.options]
        return self.options[labels.index(trial.suggest_categorical(self.name, labels))]  # type: ignore[arg-type]

    def spread(self, count: int, rng: random.Random) -> list[object]:
        """Return ``count`` values, one from each of as many equal parts of the range, shuffled.

        Of choices, each comes as often as any other, but for the rest of the division.
        """
        order = list(range(count))
        rng.shuffle(order)
        if not self.is_number:
            options = list(self.options)
            rng.shuffle(options)
            return [options[place % len(options)] for place in order]
        return [self._at((place + rng.random()) / count) for place in order]

    def contains(self, value: object) -> bool:
        """Tell whether a value is one of the possible ones."""
        if not self.is_number:
            return any(label_of(value) == label_of(option) for option in self.options)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        if not cast("float", self.low) <= value <= cast("float", self.high):
            return False
        if self.type == "int" and value != int(value):
            return False
        steps = 0.0 if self.step is None else self._steps_to(value, self.step)
        return abs(steps - round(steps)) < _ROUNDING

    def is_active(self, values: Mapping[str, object]) -> bool:
        """Tell whether it exists beside these values of earlier parameters."""
        return all(
            name in values and label_of(values[name]) in [label_of(v) for v in _listed(wanted)]
            for name, wanted in self.when.items()
        )

    def around(self, value: object, scale: float) -> ParameterSpec:
        """Return it with a narrower range around a value; in magnitudes if its scale is ``log``.

        Args:
            value: The middle.
            scale: Width of the new range, as a share of the old one.
        """
        if not self.is_number or not self.contains(value):
            return self
        low, high, middle = (float(cast("float", v)) for v in (self.low, self.high, value))
        if self.scale == "log":
            half = scale * math.log(high / low) / 2
            ends = (middle * math.exp(-half), middle * math.exp(half))
        else:
            half = scale * (high - low) / 2
            ends = (middle - half, middle + half)
        return self._with_range(max(low, ends[0]), min(high, ends[1]))

    def describe(self) -> str:
        """Return it in words."""
        if not self.is_number:
            text = f"one of {', '.join(str(label_of(option)) for option in self.options)}"
        else:
            text = f"{self.type} from {self.low:g} to {self.high:g}"
            text += f" in steps of {self.step:g}" if self.step else ""
            text += ", on a log scale" if self.scale == "log" else ""
        for name, wanted in self.when.items():
            text += f", if {name} is {' or '.join(str(label_of(v)) for v in _listed(wanted))}"
        return text

    def _with_range(self, low: float, high: float) -> ParameterSpec:
        """Return it with a range inside its own, widened to the nearest possible values."""
        step = self.step or (1 if self.type == "int" else None)
        if step is None:
            return replace(self, low=low, high=high)
        most = round(self._steps_to(cast("float", self.high), step))
        first = min(math.floor(self._steps_to(low, step) + _ROUNDING), most - 1)
        last = min(max(math.ceil(self._steps_to(high, step) - _ROUNDING), first + 1), most)
        return replace(self, low=self._after(first, step), high=self._after(last, step))

    def _at(self, share: float) -> float:
        """Return the possible value nearest to a place in the range: 0 = low, 1 = high."""
        low, high = cast("float", self.low), cast("float", self.high)
        is_log = self.scale == "log"
        value = low * (high / low) ** share if is_log else low + share * (high - low)
        step = self.step or (1 if self.type == "int" else None)
        if step is not None:
            value = self._after(round(self._steps_to(value, step)), step)
        return int(value) if self.type == "int" else value

    def _steps_to(self, value: float, step: float) -> float:
        return (value - cast("float", self.low)) / step

    def _after(self, steps: int, step: float) -> float:
        return round(cast("float", self.low) + steps * step, _DECIMALS)

    def _range_problem(self) -> str | None:
        low, high = self.low, self.high
        if low is None or high is None or not -math.inf < low < high < math.inf:
            return f"needs finite low < high, not {low} and {high}"
        if self.type == "int" and not all(
            float(v).is_integer() for v in (low, high, self.step or 1)
        ):
            return f"is an integer, and its range is {low} to {high}, its step {self.step}"
        if self.step is not None and not 0 < self.step <= high - low:
            return f"has the step {self.step}, which does not fit its range"
        if self.scale == "log" and (low <= 0 or self.step is not None):
            return "has a log scale, which needs low > 0 and no step"
        return None

    def _choices_problem(self) -> str | None:
        labels = [label_of(option) for option in self.options]
        if self.type not in ("categorical", "bool"):
            return f"has the unknown type {self.type!r}"
        if not labels or len({*map(repr, labels)}) < len(labels):
            return f"needs different choices, not {labels}"
        return None


def label_of(value: object) -> object:
    """Return a value as Optuna can store it: models by name, other objects as JSON."""
    if isinstance(value, _PRIMITIVES):
        return value
    if hasattr(value, "generate"):
        described = describe_model(value)  # type: ignore[arg-type]  # it is a model
        return described if isinstance(described, str) else dumps(described).decode()
    return dumps(value).decode()


def _listed(wanted: object) -> Sequence[object]:
    return wanted if isinstance(wanted, list | tuple) else [wanted]


__all__ = ["ParameterSpec", "ParameterType", "Scale", "Trial", "label_of"]
