"""Fingerprints: the same work has the same key in every process, other work has another."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import enum
import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from opik_eval import get_model, track
from opik_eval.engine.fingerprint import (
    fingerprint,
    fingerprint_of_metrics,
    fingerprint_of_task,
    is_library,
    unit_key,
)
from opik_eval.engine.surroundings import changed, surroundings_of
from opik_eval.errors import OpikEvalError
from opik_eval.judges import GEval
from opik_eval.metrics import BaseMetric, Contains, Equals, RegexMatch
from opik_eval.models import Budget

PROGRAM = """
import dataclasses, enum, functools, threading
from opik_eval import track
from opik_eval.engine.fingerprint import fingerprint_of_metrics, fingerprint_of_task
from opik_eval.engine.surroundings import surroundings_of
from opik_eval.judges import GEval
from opik_eval.metrics import BaseMetric, Equals

PROMPTS = {"b": ["x"], "a": {1, 2, "three", (4, frozenset({"p", "q", "r"}))}}


class Mode(enum.Enum):
    FAST = "fast"


@dataclasses.dataclass
class Settings:
    mode: Mode
    words: frozenset


class Agent:
    TEXT = "constant"

    def __init__(self):
        self.settings = Settings(Mode.FAST, frozenset({"one", "two", "three", "four"}))
        self.lock = threading.Lock()
        self.me = self
        self._private = {("a", 1): [len, print]}

    def __call__(self, item):
        return {"output": item["q"] in {"red", "green", "blue", "black"}}

    def run(self, item, *, n=3):
        return {"output": PROMPTS}


class Mine(BaseMetric):
    def __init__(self):
        super().__init__(name="mine")
        self.words = {"x", "y", "z"}

    def score(self, output, **ignored):
        return output in ("a", "b")


@track(tags=["t"])
def tracked(item):
    return {"output": [w for w in item if w in {"k", "l", "m"}]}


tasks = [Agent(), Agent().run, functools.partial(Agent().run, n=4), tracked, lambda item: PROMPTS]
print([fingerprint_of_task(task) for task in tasks])
print(fingerprint_of_metrics([Mine(), Equals(), GEval("a", "b", model="fake/echo")]))
print(surroundings_of(Agent().run))
"""


def _keys(seed: int) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM], check=True, capture_output=True, text=True, env=environment
    ).stdout


def test_keys_are_the_same_in_every_process() -> None:
    """Neither hash seeds nor memory addresses get into a key."""
    first, second = _keys(1), _keys(2)
    assert first == second
    assert first.count("\n") == 3


def make(constant: object = 1) -> Callable[[dict], object]:
    def task(item: dict) -> object:
        return {"output": constant}

    return task


def with_default(value: object) -> Callable[..., object]:
    def task(item: dict, other: object = value) -> object:
        return {"output": other}

    return task


def with_keyword(value: object) -> Callable[..., object]:
    def task(item: dict, *, other: object = value) -> object:
        return {"output": other}

    return task


@dataclasses.dataclass
class Settings:
    prompt: str
    cache: dict = dataclasses.field(default_factory=dict, compare=False)


class Agent:
    """A callable with state."""

    def __init__(self, prompt: str, **more: object) -> None:
        self._prompt = prompt
        self.__dict__.update(more)

    def __call__(self, item: dict) -> dict:
        return {"output": self._prompt}

    def answer(self, item: dict) -> dict:
        return {"output": self._prompt}


class Counting(Agent):
    """Says that its calls are no part of it."""

    calls = 0

    def __getstate__(self) -> dict[str, object]:
        return {"prompt": self._prompt}


class Slotted:
    __slots__ = ("prompt",)

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt

    def __call__(self, item: dict) -> dict:
        return {}


class Refuses(Agent):
    def __getstate__(self) -> object:
        raise TypeError("cannot be pickled")


class Parameters(BaseModel):
    prompt: str


class Level(enum.Enum):
    LOW = 1
    HIGH = 2


def repeat(times: int) -> Callable[[Callable], Callable]:
    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def inner(item: dict) -> object:
            return [function(item) for _ in range(times)]

        return inner

    return decorate


def kind(text: str) -> type:
    class Task:
        prompt = text

        @staticmethod
        def shared() -> str:
            return "shared"

        @classmethod
        def make(cls) -> object:
            return cls()

        @property
        def now(self) -> str:
            return "now"

        @functools.cached_property
        def later(self) -> str:
            return "later"

        def __call__(self, item: dict) -> object:
            return {"output": self.prompt}

    return Task


PAIRS: dict[str, tuple[object, object]] = {
    "closure": (make("a"), make("b")),
    "closure of another type": (make(1), make("1")),
    "closure over a list": (make(["a"]), make(["a", "b"])),
    "closure over a mapping": (make({"k": 1}), make({"k": 2})),
    "closure over a set": (make({1, 2}), make({1, 3})),
    "closure over keys that are no texts": (make({(1, 2): 1}), make({(1, 3): 1})),
    "closure over a function": (make(make(1)), make(make(2))),
    "closure over a class": (make(kind("a")), make(kind("b"))),
    "closure over a date": (make(dt.date(2026, 1, 1)), make(dt.date(2026, 1, 2))),
    "closure over a path": (make(Path("a.txt")), make(Path("b.txt"))),
    "closure over a pattern": (make(re.compile("a" * 300)), make(re.compile("a" * 299 + "b"))),
    "closure over an enum": (make(Level.LOW), make(Level.HIGH)),
    "closure over a dataclass": (make(Settings("a")), make(Settings("b"))),
    "closure over a pydantic model": (make(Parameters(prompt="a")), make(Parameters(prompt="b"))),
    "closure over an object of the user's": (make(Agent("a")), make(Agent("b"))),
    "closure over a model": (make(get_model("fake/echo")), make(get_model("fake/echo", seed=1))),
    "closure over another resource": (make(threading.Lock()), make(threading.Event())),
    "default": (with_default("a"), with_default("b")),
    "keyword default": (with_keyword("a"), with_keyword("b")),
    "partial": (functools.partial(with_default(1), other=1), functools.partial(with_default(1))),
    "partial argument": (functools.partial(make, 1), functools.partial(make, 2)),
    "private state": (Agent("a"), Agent("b")),
    "bound object": (Agent("a").answer, Agent("b").answer),
    "slots": (Slotted("a"), Slotted("b")),
    "state that cannot be pickled": (Refuses("a"), Refuses("b")),
    "class constant": (kind("a")(), kind("b")()),
    "source": (lambda item: {"output": 1}, lambda item: {"output": 2}),
    "two lambdas on a line": tuple(f for f in (lambda i: i["a"], lambda i: i["b"])),  # type: ignore[dict-item]
    "inner function": (
        lambda item: [x + 1 for x in item],
        lambda item: [x + 2 for x in item],
    ),
    "set of constants": (lambda i: i in {"a", "b"}, lambda i: i in {"a", "c"}),
    "names": (lambda item: item.a, lambda item: item.b),
    "decorator's argument": (repeat(2)(make(1)), repeat(3)(make(1))),
    "what is decorated": (repeat(2)(make(1)), repeat(2)(make(2))),
    "what is tracked": (track(make(1)), track(make(2))),
    "what is cached": (functools.lru_cache(make(1)), functools.lru_cache(make(2))),
    "built-in": (len, repr),
    "bound built-in": ("a".join, "b".join),
}


@pytest.mark.parametrize("name", PAIRS)
def test_what_makes_another_task(name: str) -> None:
    """Whatever decides what a task returns is part of its key."""
    one, other = PAIRS[name]
    assert fingerprint(one) == fingerprint(one)
    assert fingerprint(one) != fingerprint(other)


def commented(item: dict) -> dict:
    # A remark.
    return {"output": 1}


def plain(item: dict) -> dict:
    return {"output": 1}


def test_what_does_not_make_another_task() -> None:
    """Comments, names, line numbers, tracing and resources do not count."""
    assert fingerprint_of_task(commented) == fingerprint_of_task(plain)
    assert fingerprint_of_task(track(plain)) == fingerprint_of_task(plain)
    assert fingerprint_of_task(track(name="x")(plain)) == fingerprint_of_task(plain)
    assert fingerprint(make(threading.Lock())) == fingerprint(make(threading.Lock()))
    assert fingerprint(make(threading)) == fingerprint(make(threading))
    one, other = Settings("a"), Settings("a", cache={"filled": 1})
    assert fingerprint(make(one)) == fingerprint(make(other))


def test_a_class_says_what_belongs_to_it() -> None:
    """What ``__getstate__`` leaves out, such as a counter, does not make another task."""
    task = Counting("a")
    before = fingerprint(task)
    task.calls = 5
    assert fingerprint(task) == before
    assert fingerprint(Counting("b")) != before


def test_a_model_is_what_it_is_asked_to_do() -> None:
    """Key, budget and patience of a model do not make another task of those who use it."""
    plain = fingerprint(make(get_model("openai/gpt-5-nano")))
    dressed = get_model(
        "openai/gpt-5-nano", api_key="sk-x", budget=Budget(max_requests=1), timeout_seconds=5
    )
    assert fingerprint(make(dressed)) == plain
    assert fingerprint(make(get_model("openai/gpt-5-nano", temperature=0))) != plain


def test_what_contains_itself_has_a_key() -> None:
    """Cycles of any kind are described once."""
    loop: list[object] = [1]
    loop.append(loop)
    agent = Agent("a", children=set())
    agent.children.add(Agent("b", parent=agent))  # type: ignore[attr-defined]
    agent.me = agent  # type: ignore[attr-defined]

    def recursive(item: dict) -> object:
        return recursive(item)

    for value in (loop, agent, recursive):
        assert fingerprint(make(value)) == fingerprint(make(value))


def test_a_name_that_is_not_bound_yet_is_no_error() -> None:
    """A closure may refer to what does not exist yet."""

    def task(item: dict) -> object:
        return later  # type: ignore[has-type, used-before-def]

    before = fingerprint(task)
    later = 1
    assert fingerprint(task) != before


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
        max_leaves=10,
    )
)
def test_any_value_has_a_key(value: Any) -> None:
    """Every value that a closure may hold gives 16 hex digits, the same each time."""
    key = fingerprint(make(value))
    assert re.fullmatch("[0-9a-f]{16}", key)
    assert fingerprint(make(value)) == key


@given(st.dictionaries(st.integers() | st.text(), st.integers(), max_size=6), st.randoms())
def test_order_of_keys_does_not_count(value: dict, random: Any) -> None:
    """Mappings are equal whatever the order they were filled in."""
    items = list(value.items())
    random.shuffle(items)
    assert fingerprint(dict(items)) == fingerprint(value)


class Mine(BaseMetric):
    def __init__(self, threshold: float = 0.5, **base: Any) -> None:
        super().__init__(**base)
        self._threshold = threshold

    def score(self, output: float, **ignored: object) -> bool:
        return output > self._threshold


class Stricter(Mine):
    def score(self, output: float, **ignored: object) -> bool:
        return output >= self._threshold


def test_metrics_are_class_and_configuration() -> None:
    """Configuration, name, class and code count; tracking, project and order do not."""
    key = fingerprint_of_metrics([Mine(), Equals()])
    assert fingerprint_of_metrics([Equals(), Mine()]) == key
    assert fingerprint_of_metrics([Mine(track=False, project_name="p"), Equals()]) == key
    others = [
        [Mine(0.6), Equals()],
        [Mine(name="other"), Equals()],
        [Stricter(), Equals()],
        [Mine(), Equals(case_sensitive=True)],
        [Mine(), Contains()],
        [Mine()],
        [],
    ]
    assert len({key, *map(fingerprint_of_metrics, others)}) == len(others) + 1


def test_built_in_metrics_have_different_keys() -> None:
    """A pattern, a prompt, a model: all of a metric's fields count."""
    keys = {
        fingerprint(metric)
        for metric in (
            RegexMatch("a"),
            RegexMatch("b"),
            GEval("t", "c"),
            GEval("t", "d"),
            GEval("t", "c", model="fake/echo"),
        )
    }
    assert len(keys) == 5


def test_a_used_judge_keeps_its_key() -> None:
    """What a judge remembers of its calls does not make another judge of it."""
    judge = GEval("t", "c", model="fake/echo")
    before = fingerprint(judge)
    with contextlib.suppress(OpikEvalError):  # the fake's answer is no verdict
        judge.score(output="x")
    assert fingerprint(judge) == before


def test_scoring_functions_count_like_tasks() -> None:
    """A changed scoring function scores again."""
    assert fingerprint_of_metrics([plain]) != fingerprint_of_metrics([make(2)])


def test_unit_keys_are_of_fixed_length() -> None:
    """A unit's key depends on content, task and trial."""
    keys = {unit_key("c", "t", 0), unit_key("c", "t", 1), unit_key("d", "t", 0)}
    assert {len(key) for key in keys} == {32}
    assert len(keys) == 3


def test_libraries_are_told_from_the_users_code() -> None:
    """What is installed, built in or ours is a library; tests and programs are not."""
    for place in (re.compile, re.Pattern, int, pytest.fixture, BaseMetric, get_model):
        assert is_library(place), place
    nowhere = type("Nowhere", (), {"__module__": "no_such_module"})
    for place in (plain, Agent, nowhere):
        assert not is_library(place), place


GREETING = "Hello"
COUNT = 0
LOCK = threading.Lock()
AGENT = Agent("global")


def helper(text: str) -> str:
    return GREETING + text


def reads(item: dict) -> dict:
    global COUNT  # noqa: PLW0603 - what is tested
    COUNT += 1
    with LOCK:
        found = re.sub("a", "b", helper(item["q"]))
    return {"output": [found for _ in range(3) if isinstance(found, str)], "agent": AGENT}


class Reading:
    def __call__(self, item: dict) -> dict:
        return reads(item)


@pytest.mark.parametrize(
    "task", [reads, track(reads), functools.partial(reads), Reading(), Reading().__call__]
)
def test_surroundings_are_what_a_task_reads_from_its_module(task: Callable[..., object]) -> None:
    """Constants, objects and functions, those of helpers too; no libraries, locks or counters."""
    names = set(surroundings_of(task)) - {"reads"}
    assert names == {"GREETING", "helper", "AGENT"}


def test_surroundings_of_what_reads_nothing() -> None:
    """Tasks of libraries and tasks without globals have none."""
    assert surroundings_of(len) == {}
    assert surroundings_of(plain) == {}
    assert surroundings_of(re.compile) == {}
    assert surroundings_of(dict) == {}


def test_changes_of_surroundings_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A constant that has another value is named; the task's own key stays."""
    before, key = surroundings_of(reads), fingerprint_of_task(reads)
    monkeypatch.setitem(globals(), "GREETING", "Bye")
    assert changed(before, surroundings_of(reads)) == ["GREETING"]
    assert fingerprint_of_task(reads) == key
    assert changed({}, surroundings_of(reads)) == []
