"""Canonical JSON: what survives, what is mapped to what, and that equal content is equal bytes."""

from __future__ import annotations

import array
import base64
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import json
import math
import pathlib
import subprocess
import sys
import uuid

import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from opik_eval import serialization
from opik_eval.serialization import content_hash, dumps, dumps_each, loads, to_jsonable

texts = st.text(st.characters(exclude_categories=()), max_size=8)  # lone surrogates included
integers = st.integers() | st.sampled_from([2**63, 2**64, -(2**63) - 1, 10**30, 10**639])
scalars = st.none() | st.booleans() | integers | texts
finite = scalars | st.floats(allow_nan=False, allow_infinity=False)


def nested(leaves: st.SearchStrategy) -> st.SearchStrategy:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
        max_leaves=12,
    )


json_values = nested(finite)


class Colour(enum.Enum):
    RED = "red"
    DEEP = ("a", 1)


class Size(enum.StrEnum):
    BIG = "big"


class Level(enum.IntEnum):
    HIGH = 3


@dataclasses.dataclass
class Point:
    x: object
    y: object = None


@dataclasses.dataclass
class Partial:
    x: int
    unset: int = dataclasses.field(init=False)


class Model(pydantic.BaseModel):
    value: object
    alias: int = pydantic.Field(default=1, alias="other")


class Items(pydantic.RootModel[list[int]]):
    pass


Pair = collections.namedtuple("Pair", ["a", "b"])

convertible = st.one_of(
    st.floats(),
    st.datetimes(),
    st.datetimes(timezones=st.timezones()),
    st.dates(),
    st.times(),
    st.timedeltas(),
    st.uuids(),
    st.decimals(),
    st.fractions(),
    st.binary(max_size=4),
    st.sampled_from([Colour.RED, Colour.DEEP, Size.BIG, Level.HIGH]),
    st.sets(st.integers(0, 9) | st.text(max_size=2), max_size=4),
    st.frozensets(st.integers(0, 9), max_size=3),
    st.floats().map(np.float64),
    st.floats(width=32).map(np.float32),
    st.integers(0, 100).map(np.int64),
    st.booleans().map(np.bool_),
    st.lists(st.floats(), max_size=3).map(np.array),
    st.integers(-(2**62), 2**62).map(pd.Timestamp),
    st.floats().map(Point),
    st.floats().map(lambda value: Model(value=value)),
    st.floats().map(lambda value: Pair(value, None)),
    st.dictionaries(st.integers() | st.none() | st.booleans(), st.floats(), max_size=3),
)
anything = st.recursive(
    finite | convertible,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(texts, inner, max_size=3)
        | st.tuples(inner, inner)
        | inner.map(Point)
        | st.lists(inner, max_size=3).map(collections.deque)
    ),
    max_leaves=8,
)


@given(json_values)
@example({"\udc80": "\ud800", "e": "é"})
@example([1e16, 2**70, -0.0, 5e-324, 1.7976931348623157e308])
def test_json_values_survive(value):
    """What JSON knows comes back equal, integers and lone surrogates included."""
    assert exactly(loads(dumps(value)), value)


@given(json_values)
def test_text_is_strict_json_as_the_standard_library_reads_it(value):
    """Another reader of JSON gets the same value, with sorted keys and without spaces."""
    text = dumps(value).decode()
    assert exactly(json.loads(text), value)
    assert text == json.dumps(
        json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=text.isascii()
    ) or any(character in text for character in "eE.")  # floats are spelled in several ways


@given(json_values, st.randoms(use_true_random=False))
def test_order_of_keys_does_not_count(value, random):
    """Equal content has equal bytes whatever the order in which keys were set."""
    assert dumps(reordered(value, random)) == dumps(value)


@given(anything)
def test_both_paths_agree(value):
    """The fast path and the careful one write the same bytes for whatever both can write."""
    assert dumps(value) == serialization._dumps_carefully(value)


@given(
    st.lists(
        anything | st.sampled_from(["\x1f", ["\x1f"] * 3, ',"\\u001f",', None, math.nan]),
        max_size=6,
    )
)
@example(["\x1f", "\x1f", ["a", "\x1f", "b"], {"\x1f": "\x1f"}])
@example([[[]] * 2, "\ud800"])
def test_many_values_at_once_are_written_like_each_of_them(values):
    """Nothing in a value, not even what stands between two of them, changes another's text."""
    assert dumps_each(values) == [dumps(value, sort_keys=False).decode() for value in values]


@pytest.mark.parametrize("depth", [252, 253, 254, 255])
def test_the_limit_of_depth_is_that_of_each_value(depth):
    """A value among many may be as deep as one by itself."""
    value = 1
    for _ in range(depth):
        value = [value]
    assert dumps_each([value, 2]) == [dumps(value).decode(), "2"]


@given(anything)
def test_plain_types_are_what_is_read_back(value):
    """``to_jsonable`` gives what ``loads(dumps(...))`` gives, and dumping that changes nothing."""
    plain = to_jsonable(value)
    assert exactly(loads(dumps(value)), plain)
    assert dumps(plain) == dumps(value)


@pytest.mark.parametrize("depth", [253, 254, 255, 300])
@pytest.mark.parametrize("leaf", [1, None, float("nan"), dt.date(2020, 1, 1)])
@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: {"a": v}, Point], ids="ldp")
def test_depth_has_one_limit(depth, leaf, wrap):
    """Up to 254 levels survive on either path; what lies deeper is a short text on both."""
    value = leaf
    for _ in range(depth):
        value = wrap(value)
    text = dumps(value)
    assert text == serialization._dumps_carefully(value)
    assert (b"inside 254 others" in text) == (depth > 254)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "Infinity"),
        (-math.inf, "-Infinity"),
        (np.float64("nan"), "NaN"),
        (np.float32(0.5), 0.5),
        (np.int8(3), 3),
        (np.bool_(True), True),
        (np.str_("a"), "a"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([1.0, np.nan]), [1.0, "NaN"]),
        (np.arange(6)[::2], [0, 2, 4]),
        (np.datetime64("2020-01-02T03:04:05", "ns"), "2020-01-02T03:04:05.000000000"),
        (np.array(["2020-01-02"], dtype="M8[D]"), ["2020-01-02"]),
        (np.timedelta64(1500, "ms"), 1.5),
        (np.array([1, 2], dtype="m8[s]"), [1.0, 2.0]),
        (np.longdouble(1), "np.longdouble('1.0')"),
        (pd.Timestamp("2020-01-02", tz="UTC"), "2020-01-02T00:00:00+00:00"),
        (pd.NaT, "NaT"),
        (pd.NA, "<NA>"),
        (pd.Timedelta("2s"), 2.0),
        (pd.Series([1, 2]), [1, 2]),
        (pd.Index(["a"]), ["a"]),
        (pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}), [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]),
        (array.array("i", [1, 2]), [1, 2]),
        (collections.deque([1, (2,)]), [1, [2]]),
        (Pair(1, 2), [1, 2]),
        (range(3), "range(0, 3)"),
        ({3, 1, 2}, [1, 2, 3]),
        (frozenset({"b", "a"}), ["a", "b"]),
        ({}.keys(), []),
        (b"\xff", base64.b64encode(b"\xff").decode()),
        (bytearray(b"a"), "YQ=="),
        (memoryview(b"a"), "YQ=="),
        (dt.datetime(2020, 1, 2, tzinfo=dt.UTC), "2020-01-02T00:00:00+00:00"),
        (dt.datetime(1, 1, 1, 0, 0, 0, 5, dt.UTC), "0001-01-01T00:00:00.000005+00:00"),
        (dt.date(2020, 1, 2), "2020-01-02"),
        (dt.time(1, 2, tzinfo=dt.UTC), "01:02:00+00:00"),
        (dt.timedelta(minutes=1), 60.0),
        (uuid.UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (decimal.Decimal("1.10"), "1.10"),
        (fractions.Fraction(1, 3), "1/3"),
        (pathlib.PurePosixPath("a/b"), "a/b"),
        (ValueError("no"), "ValueError: no"),
        (Colour.DEEP, ["a", 1]),
        (Size.BIG, "big"),
        (Level.HIGH, 3),
        (Point(1), {"x": 1, "y": None}),
        (Partial(1), {"x": 1}),
        (Model(value=(1,), other=2), {"value": [1], "alias": 2}),
        (Items([1, 2]), [1, 2]),
        (collections.OrderedDict(b=1), {"b": 1}),
        (collections.ChainMap({"a": 1}), {"a": 1}),
        (10**640, hex(10**640)),
        (1 + 2j, "(1+2j)"),
        (int, "<class 'int'>"),
        (np.ndarray, "<class 'numpy.ndarray'>"),
        ({1: "a", "1": "b", None: "c"}, {"1 (int)": "a", "1": "b", "null": "c"}),
        (
            {(1, 2): "a", Size.BIG: "b", 1.5: "c", True: "d"},
            {"[1,2]": "a", "big": "b", "1.5": "c", "true": "d"},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
def test_mapping_of_what_json_does_not_know(value, plain):
    """Each type becomes what the module's table says, alone and inside others."""
    assert exactly(to_jsonable(value), plain)
    assert exactly(loads(dumps({"v": [value]})), {"v": [plain]})


def test_keys_that_become_equal_do_not_depend_on_order():
    """Keys that become one text stay apart, in whatever order they were set."""
    assert dumps({1: "a", "1": "b"}) == dumps({"1": "b", 1: "a"})


def test_nan_and_none_differ():
    """A missing value and a value that is no number have different hashes."""
    assert content_hash({"a": None, "b": [1.0]}) != content_hash({"a": math.nan, "b": [1.0]})
    assert dumps([math.nan, None]) == b'["NaN",null]'
    assert dumps([Point(math.nan)]) == b'[{"x":"NaN","y":null}]'


class Node:
    def __init__(self):
        self.next = self


def test_values_within_themselves_end():
    """What contains itself is written once; the inner occurrence is a short text."""
    cyclic: list[object] = [1]
    cyclic += [cyclic, cyclic]
    assert loads(dumps(cyclic)) == [1, "<list that contains itself>", "<list that contains itself>"]
    mapping: dict[str, object] = {}
    mapping["self"] = [mapping, mapping]
    assert loads(dumps(mapping)) == {"self": ["<dict that contains itself>"] * 2}
    point = Point(1)
    point.x = point.y = point
    assert loads(dumps(point)) == {
        "x": "<Point that contains itself>",
        "y": "<Point that contains itself>",
    }
    shared = [1]
    assert dumps([shared, shared]) == b"[[1],[1]]"


class Endless:
    """Like a mock: it has every attribute, and calling one gives another of its kind."""

    def tolist(self):
        return Endless()


def test_opaque_objects_are_named_without_their_address():
    """An object that JSON has no form for is its ``repr``, the same in every process."""
    assert to_jsonable(Node()) == f"<{__name__}.Node object>"
    assert to_jsonable([Endless()]) == [f"<{__name__}.Endless object>"]
    assert to_jsonable(len) == "<built-in function len>"
    assert " at 0x" not in dumps({"f": lambda: 1}).decode()


class RudeError(Exception):
    def __str__(self):
        raise KeyError("rude")


class Ruder:
    def __repr__(self):
        raise KeyError("rude")


def test_a_failing_repr_is_told():
    """A value whose text cannot be had becomes a text that says so; the rest is kept."""
    assert to_jsonable({"a": Ruder(), "b": 1}) == {
        "a": "<Ruder whose text raises KeyError>",
        "b": 1,
    }
    assert dumps(RudeError()) == b'"RudeError: <RudeError whose text raises KeyError>"'
    with pytest.raises(KeyboardInterrupt):
        dumps(Interrupted())


class Interrupted:
    def __repr__(self):
        raise KeyboardInterrupt


@given(st.dictionaries(st.text(), st.integers() | st.dictionaries(st.text(), st.floats())))
def test_keys_keep_their_order_if_asked(value):
    """Texts that are read back, not compared, have the keys where their user put them."""
    read = loads(dumps(value, sort_keys=False))
    assert list(read) == list(value)
    assert dumps(read) == dumps(value)
    inner = [list(member) for member in value.values() if isinstance(member, dict)]
    assert [list(member) for member in read.values() if isinstance(member, dict)] == inner


@pytest.mark.parametrize(
    "text",
    ["", "nul", "NaN", "[Infinity]", "{'a':1}", "[1,]", '{"a":1}x', b"\xff", '"\n"', "[" * 100_000],
)
def test_what_is_no_json_is_refused(text):
    """``loads`` is strict and raises ``ValueError`` for everything else."""
    with pytest.raises(ValueError, match=r"."):
        loads(text)


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64, -(2**63), -(2**64), 10**18, 10**19])
def test_long_integers_are_exact(number):
    """Integers beyond 64 bits are read as integers, in bytes and in text."""
    assert loads(str(number)) == number
    assert type(loads(str(number).encode())) is int


def test_hash_is_that_of_the_text():
    """The content hash is the SHA-256 of the canonical text."""
    # printf '{"a":1}' | sha256sum
    assert content_hash({"a": 1}) == (
        "015abd7f5cc57a2dd94b7590f04ad8084273905ee33ec5cebeae62276a97f862"
    )


def test_hash_is_the_same_in_every_process():
    """Hash randomisation of sets and texts does not reach the bytes."""
    code = (
        "from opik_eval.serialization import content_hash\n"
        "print(content_hash([{'a', 'b', 'c', 1, 2}, {'x': object(), 'y': None}]))"
    )
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            check=True,
            capture_output=True,
            text=True,
            env={"PYTHONHASHSEED": seed},
        ).stdout
        for seed in ("1", "2")
    }
    assert len(hashes) == 1


def exactly(a: object, b: object) -> bool:
    """Equality that tells 1, 1.0 and True apart, and 0.0 from -0.0."""
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(exactly(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(exactly, a, b))
    if isinstance(a, float):
        return a.hex() == b.hex()
    return a == b


def reordered(value: object, random) -> object:
    if isinstance(value, dict):
        pairs = [(key, reordered(item, random)) for key, item in value.items()]
        random.shuffle(pairs)
        return dict(pairs)
    return [reordered(item, random) for item in value] if isinstance(value, list) else value
