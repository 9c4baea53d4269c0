"""The space a parameter search goes through, and how its points become prompts."""

from __future__ import annotations

import copy
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from opik_eval.models.base import Model
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import SettingsError
from opik_optimizer.parameter_spec import ParameterSpec, ParameterType, Scale, Trial, label_of
from opik_optimizer.prompt import ChatPrompt, describe_model

Values = Mapping[str, object]


@dataclass(frozen=True)
class ParameterSearchSpace:
    """Parameters of the model calls to search over.

    Args:
        parameters: Specs, or mappings of their fields by name (Opik's form). One that exists only
            ``when`` others have certain values comes after them.

    Raises:
        SettingsError: A spec makes no sense, two share a name, or a condition cannot be met.

    Example:
        >>> space = ParameterSearchSpace({"temperature": {"type": "float", "min": 0, "max": 2}})
        >>> seed = Candidate.of(ChatPrompt(user="{q}", model_parameters={"temperature": 0.7}))
        >>> space.defaults(seed)
        {'temperature': 0.7}
        >>> space.apply(seed, {"temperature": 0.1}).prompts["chat-prompt"].model_parameters
        {'temperature': 0.1}
    """

    parameters: Sequence[ParameterSpec] | Mapping[str, ParameterSpec | Mapping[str, object]]

    def __post_init__(self) -> None:
        given = self.parameters
        specs = (
            tuple(ParameterSpec.of(name, spec) for name, spec in given.items())
            if isinstance(given, Mapping)
            else tuple(_from_list(spec) for spec in given)
        )
        object.__setattr__(self, "parameters", specs)
        _check(specs)

    @property
    def specs(self) -> tuple[ParameterSpec, ...]:
        """The parameters, in order."""
        return cast("tuple[ParameterSpec, ...]", self.parameters)

    def suggest(self, trial: Trial) -> dict[str, object]:
        """Return the values that a trial chooses, without parameters that do not exist for them."""
        values: dict[str, object] = {}
        for spec in self.specs:
            if spec.is_active(values):
                values[spec.name] = spec.suggest(trial)
        return values

    def spread(self, count: int, rng: random.Random) -> list[dict[str, object]]:
        """Return points that cover the space evenly; parameters with conditions are left open.

        Source: McKay, Beckman and Conover 1979 (Latin hypercube sampling).
        """
        columns = {s.name: s.spread(count, rng) for s in self.specs if not s.when}
        return [{name: values[row] for name, values in columns.items()} for row in range(count)]

    def labels(self, values: Values) -> dict[str, object]:
        """Return values as Optuna stores them, to enqueue a trial."""
        numbers = {spec.name for spec in self.specs if spec.is_number}
        return {name: v if name in numbers else label_of(v) for name, v in values.items()}

    def apply(
        self,
        candidate: Candidate,
        values: Values,
        *,
        operator: str = "parameters",
        note: str | None = None,
    ) -> Candidate:
        """Return a candidate with these values; whatever else its prompts have is kept.

        Args:
            candidate: What to change.
            values: Values by name; parameters without one stay as the prompts have them.
            operator: How the values were found.
            note: Why.

        Raises:
            SettingsError: There is no such parameter or no such prompt.
        """
        specs = {spec.name: spec for spec in self.specs}
        if unknown := [name for name in values if name not in specs]:
            raise SettingsError(
                f"there are no parameters {unknown}", remedy=f"there are {sorted(specs)}"
            )
        prompts = {name: prompt.copy() for name, prompt in candidate.prompts.items()}
        for name, value in values.items():
            for prompt in _targets(specs[name], prompts):
                _put(prompt, specs[name].target, value)
        return candidate.with_prompts(prompts, operator=operator, note=note)

    def defaults(self, candidate: Candidate) -> dict[str, object]:
        """Return the current values: what the prompts say, else ``default``, where it is possible.

        Raises:
            SettingsError: A parameter belongs to a prompt that is not there.
        """
        values: dict[str, object] = {}
        for spec in self.specs:
            if not spec.is_active(values):
                continue
            current = _get(_targets(spec, candidate.prompts)[0], spec.target)
            for value in (current, spec.default):
                if spec.contains(value):
                    values[spec.name] = value
                    break
        return values

    def expand_for_prompts(self, names: Sequence[str]) -> ParameterSearchSpace:
        """Return the space with a ``prompt.name`` of each prompt for each ``per_prompt`` parameter.

        Conditions among such parameters hold within a prompt.
        """
        own = {spec.name for spec in self.specs if spec.per_prompt}
        expanded: list[ParameterSpec] = []
        for spec in self.specs:
            for prompt in names if spec.per_prompt else [None]:
                if prompt is None:
                    expanded.append(spec)
                    continue
                when = {f"{prompt}.{n}" if n in own else n: v for n, v in spec.when.items()}
                expanded.append(
                    replace(
                        spec,
                        name=f"{prompt}.{spec.name}",
                        prompt=prompt,
                        per_prompt=False,
                        when=when,
                    )
                )
        return ParameterSearchSpace(expanded)

    def narrow_around(self, values: Values, scale: float = 0.2) -> ParameterSearchSpace:
        """Return the space with narrower ranges of numbers around values; choices stay.

        Args:
            values: The middle of the new ranges.
            scale: Their width, as a share of the old ones, in (0, 1].
        """
        if not 0 < scale <= 1:
            raise SettingsError(f"scale must lie in (0, 1], not {scale:g}")
        return ParameterSearchSpace(
            [
                spec.around(values[spec.name], scale) if spec.name in values else spec
                for spec in self.specs
            ]
        )

    def describe(self) -> dict[str, str]:
        """Return the parameters in words, by name."""
        return {spec.name: spec.describe() for spec in self.specs}


def _from_list(spec: ParameterSpec | Mapping[str, object]) -> ParameterSpec:
    if isinstance(spec, ParameterSpec):
        return spec
    return ParameterSpec.of(str(spec.get("name", "")), spec)


def _check(specs: Sequence[ParameterSpec]) -> None:
    if not specs:
        raise SettingsError("the search space has no parameters", remedy="add at least one")
    earlier: dict[str, ParameterSpec] = {}
    for spec in specs:
        if spec.name in earlier:
            raise SettingsError(f"two parameters are called {spec.name!r}", remedy="rename one")
        for name in spec.when:
            if name not in earlier:
                raise SettingsError(
                    f"parameter {spec.name!r} depends on {name!r}, which does not come before it",
                    remedy=f"there are {sorted(earlier)} before it",
                )
        earlier[spec.name] = spec


def _targets(spec: ParameterSpec, prompts: Mapping[str, ChatPrompt]) -> list[ChatPrompt]:
    if spec.prompt is None:
        return [*prompts.values()]
    if spec.prompt not in prompts:
        raise SettingsError(
            f"parameter {spec.name!r} belongs to the prompt {spec.prompt!r}",
            remedy=f"there are the prompts {sorted(prompts)}",
        )
    return [prompts[spec.prompt]]


def _get(prompt: ChatPrompt, target: str) -> object:
    if target == "model":
        return describe_model(prompt.model)
    current: object = prompt.model_parameters
    for step in target.split("."):
        current = current.get(step) if isinstance(current, Mapping) else None
    return current


def _put(prompt: ChatPrompt, target: str, value: object) -> None:
    if target == "model":
        prompt.model = cast("str | Model", value)
        return
    *steps, last = target.split(".")
    current: dict[str, object] = prompt.model_parameters
    for step in steps:
        inner = current.get(step)
        if not isinstance(inner, dict):
            inner = current[step] = {}
        current = inner
    current[last] = copy.deepcopy(value)


__all__ = [
    "ParameterSearchSpace",
    "ParameterSpec",
    "ParameterType",
    "Scale",
    "Trial",
    "Values",
]
