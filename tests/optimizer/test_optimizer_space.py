"""Search spaces: values a trial may choose, where they go, what they start from."""

from __future__ import annotations

import math
import random

import optuna
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.models.client import get_model
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import SettingsError
from opik_optimizer.parameter_spec import ParameterSpec, label_of
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.space import ParameterSearchSpace

optuna.logging.set_verbosity(optuna.logging.WARNING)
SEED = Candidate.of(
    ChatPrompt(
        name="p", user="{q}", model="fake/echo", model_parameters={"temperature": 0.5, "x": 1}
    )
)
SPACE = ParameterSearchSpace(
    {
        "model": {"type": "categorical", "choices": ["fake/echo", "fake/fixed"]},
        "temperature": {"type": "float", "min": 0, "max": 2, "step": 0.25},
        "max_tokens": {"type": "int", "low": 16, "high": 4096, "scale": "log"},
        "stream": {"type": "bool", "target": "extra.stream"},
        "effort": {
            "choices": ["low", "high"],
            "path": "extra.effort",
            "when": {"model": "fake/fixed"},
        },
    }
)

BOUNDS = st.tuples(st.integers(-50, 50), st.integers(1, 50))
SPECS = st.one_of(
    BOUNDS.map(lambda b: ParameterSpec(name="v", type="float", low=b[0], high=b[0] + b[1])),
    BOUNDS.map(lambda b: ParameterSpec(name="v", type="int", low=b[0], high=b[0] + b[1])),
    st.tuples(BOUNDS, st.sampled_from([0.1, 0.25, 0.3, 1])).map(
        lambda b: ParameterSpec(
            name="v", type="float", low=b[0][0], high=b[0][0] + b[0][1], step=b[1]
        )
    ),
    BOUNDS.map(
        lambda b: ParameterSpec(name="v", type="float", low=b[1], high=b[1] * 9, scale="log")
    ),
    BOUNDS.map(lambda b: ParameterSpec(name="v", type="int", low=b[1], high=b[1] * 9, scale="log")),
)


def ask(spec: ParameterSpec, seed: int) -> object:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    return spec.suggest(study.ask())


@given(SPECS, st.integers(0, 5))
def test_what_optuna_suggests_is_in_the_space(spec: ParameterSpec, seed: int) -> None:
    """Every suggested value is a possible one."""
    assert spec.contains(ask(spec, seed))


@given(SPECS, st.integers(0, 5), st.floats(0.05, 1))
def test_narrow_spaces_lie_inside_around_their_middle(
    spec: ParameterSpec, seed: int, scale: float
) -> None:
    """A narrower space contains the middle, and nothing that the wide one does not."""
    middle = ask(spec, seed)
    narrow = spec.around(middle, scale)
    low, high = float(narrow.low), float(narrow.high)  # type: ignore[arg-type]
    assert spec.low - 1e-9 <= low < high <= spec.high + 1e-9  # type: ignore[operator]
    assert low - 1e-9 <= middle <= high + 1e-9  # type: ignore[operator]
    assert spec.contains(ask(narrow, seed))


def test_log_spaces_are_narrowed_in_magnitudes() -> None:
    """A log range keeps the same number of magnitudes on both sides of its middle."""
    narrow = ParameterSpec(name="v", type="float", low=1e-4, high=1, scale="log").around(1e-2, 0.5)
    assert math.isclose(narrow.low, 1e-3)  # type: ignore[arg-type]
    assert math.isclose(narrow.high, 1e-1)  # type: ignore[arg-type]


def test_suggestions_respect_conditions() -> None:
    """A conditional parameter exists only where its condition holds, and both cases occur."""
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    seen = [SPACE.suggest(study.ask()) for _ in range(20)]
    assert {values["model"] for values in seen} == {"fake/echo", "fake/fixed"}
    assert all(("effort" in values) == (values["model"] == "fake/fixed") for values in seen)


def test_values_go_where_they_belong() -> None:
    """Model, parameters and nested parameters are set in a child; everything else is kept."""
    values = {"model": "fake/fixed", "temperature": 1.0, "stream": True, "effort": "low"}
    child = SPACE.apply(SEED, values, note="trial 1")
    prompt = child.prompts["p"]
    assert prompt.model == "fake/fixed"
    assert prompt.model_parameters == {
        "temperature": 1.0,
        "x": 1,
        "extra": {"stream": True, "effort": "low"},
    }
    assert (child.parents, child.operator, child.note) == ((SEED.id,), "parameters", "trial 1")
    assert SEED.prompts["p"].model_parameters == {"temperature": 0.5, "x": 1}
    with pytest.raises(SettingsError, match="'top_k'"):
        SPACE.apply(SEED, {"top_k": 1})


def test_the_search_starts_from_what_the_prompt_says() -> None:
    """Current values come first, then defaults; values outside the space are left out."""
    space = ParameterSearchSpace(
        [
            ParameterSpec(name="model", type="categorical", choices=("fake/echo", "fake/fixed")),
            ParameterSpec(name="temperature", type="float", low=0, high=1),
            {"name": "top_p", "low": 0, "high": 1, "default": 0.9},
            {"name": "x", "type": "int", "low": 5, "high": 9},
            {
                "name": "effort",
                "choices": ["low"],
                "default": "low",
                "when": {"model": "fake/fixed"},
            },
        ]
    )
    assert space.defaults(SEED) == {"model": "fake/echo", "temperature": 0.5, "top_p": 0.9}
    again = space.apply(SEED, space.defaults(SEED))
    assert space.defaults(again) == space.defaults(SEED)


def test_defaults_can_be_enqueued() -> None:
    """Optuna takes the labels of the defaults and gives the values back."""
    models = (get_model("fake/echo", temperature=0), "fake/fixed", {"nested": 1})
    space = ParameterSearchSpace({"model": {"choices": models}, "t": {"low": 0, "high": 1}})
    study = optuna.create_study()
    study.enqueue_trial(space.labels({"model": models[0], "t": 0.25}))
    assert space.suggest(study.ask()) == {"model": models[0], "t": 0.25}
    assert label_of(models[2]) == '{"nested":1}'


def test_each_prompt_may_have_values_of_its_own() -> None:
    """A parameter of each prompt is one parameter a prompt; conditions stay within a prompt."""
    space = ParameterSearchSpace(
        {
            "seed": {"type": "int", "low": 0, "high": 9},
            "model": {"choices": ["fake/echo", "fake/fixed"], "per_prompt": True},
            "top_p": {
                "low": 0,
                "high": 1,
                "per_prompt": True,
                "when": {"model": ["fake/fixed"], "seed": 1},
            },
        }
    ).expand_for_prompts(["p", "r"])
    assert list(space.describe()) == ["seed", "p.model", "r.model", "p.top_p", "r.top_p"]
    bundle = Candidate.of({"p": SEED.prompts["p"], "r": ChatPrompt(user="{q}")})
    values = {"seed": 1, "p.model": "fake/fixed", "r.model": "fake/echo"}
    assert [spec.is_active(values) for spec in space.specs[3:]] == [True, False]
    child = space.apply(bundle, {**values, "p.top_p": 0.5})
    assert [prompt.model for prompt in child.prompts.values()] == ["fake/fixed", "fake/echo"]
    assert [prompt.model_parameters.get("seed") for prompt in child.prompts.values()] == [1, 1]
    assert "top_p" not in child.prompts["r"].model_parameters
    with pytest.raises(SettingsError, match=r"prompts \['p'\]"):
        space.defaults(SEED)


def test_narrowing_keeps_choices() -> None:
    """Choices and parameters without a value stay as they are."""
    narrow = SPACE.narrow_around({"temperature": 1.0, "model": "fake/echo"})
    assert narrow.specs[0] == SPACE.specs[0]
    assert (narrow.specs[1].low, narrow.specs[1].high) == (0.75, 1.25)
    assert narrow.specs[2] == SPACE.specs[2]
    with pytest.raises(SettingsError, match="scale"):
        SPACE.narrow_around({}, 0)


def test_descriptions() -> None:
    """A space can be shown in words."""
    assert SPACE.describe() == {
        "model": "one of fake/echo, fake/fixed",
        "temperature": "float from 0 to 2 in steps of 0.25",
        "max_tokens": "int from 16 to 4096, on a log scale",
        "stream": "one of False, True",
        "effort": "one of low, high, if model is fake/fixed",
    }


def test_what_a_spec_contains() -> None:
    """Types, ranges and steps all count."""
    number = ParameterSpec(name="n", type="int", low=0, high=10, step=5)
    assert [number.contains(v) for v in (0, 5, 10, 3, 15, 5.5, True, "5")] == [True] * 3 + [
        False
    ] * 5
    assert ParameterSpec(name="n", type="int", min=0, max=10, step=5) == number
    assert ParameterSpec(name="b", type="bool").contains(False)
    assert not ParameterSpec(name="b", type="bool").contains(None)


@pytest.mark.parametrize(
    "spec",
    [
        {"type": "float"},
        {"type": "float", "low": 1, "high": 1},
        {"type": "float", "low": 0, "high": math.inf},
        {"type": "float", "low": 0, "high": 1, "scale": "log"},
        {"type": "float", "low": 1, "high": 2, "scale": "log", "step": 0.5},
        {"type": "float", "low": 1, "high": 2, "step": 5},
        {"type": "int", "low": 0.5, "high": 2},
        {"type": "int", "low": 0, "high": 2.5},
        {"type": "int", "low": 0, "high": 2, "step": 0.5},
        {"type": "categorical"},
        {"choices": ["a", "a"]},
        {"type": "text", "choices": ["a"]},
        {"low": 0, "high": 1, "maximum": 1},
        {"low": 0, "high": 1, "when": {"unknown": 1}},
    ],
)
def test_specs_that_make_no_sense_are_refused(spec: dict[str, object]) -> None:
    """Each mistake is an error that names the parameter."""
    with pytest.raises(SettingsError, match="'v'"):
        ParameterSearchSpace({"v": spec})


def test_spaces_that_make_no_sense_are_refused() -> None:
    """A space needs parameters, with names, all different."""
    spec = ParameterSpec(name="v", type="bool")
    for wrong in ([], [spec, spec], [{"type": "bool"}]):
        with pytest.raises(SettingsError):
            ParameterSearchSpace(wrong)  # type: ignore[arg-type]


@given(SPECS, st.integers(1, 12), st.integers(0, 5))
def test_points_that_cover_the_space_are_possible_ones(
    spec: ParameterSpec, count: int, seed: int
) -> None:
    """Each value is allowed; of numbers without steps one is from each part of the range."""
    values = spec.spread(count, random.Random(seed))
    assert len(values) == count
    assert all(spec.contains(value) for value in values)
    if spec.type == "float" and spec.step is None and spec.scale == "linear":
        width = (spec.high - spec.low) / count
        assert sorted(int((v - spec.low) / width + 1e-9) for v in values) == list(range(count))


def test_all_choices_come_equally_often() -> None:
    """A few points try every model, and parameters with conditions are left to the sampler."""
    space = ParameterSearchSpace(
        {
            "model": {"type": "categorical", "choices": ["a", "b", "c"]},
            "top_k": {"type": "int", "min": 1, "max": 9, "when": {"model": "a"}},
        }
    )
    points = space.spread(6, random.Random(0))
    assert sorted(str(point["model"]) for point in points) == list("aabbcc")
    assert all(set(point) == {"model"} for point in points)
