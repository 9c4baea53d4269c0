"""The filter language: parsing, printing, the wire form, and what conditions mean."""

from __future__ import annotations

import operator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import ConfigError
from opik_eval.records import (
    DatasetItem,
    Experiment,
    Project,
    PromptVersion,
    Thread,
    Trace,
)
from opik_eval.storage.query import (
    FIELDS,
    NEGATIONS,
    OPERATORS,
    AllOf,
    AnyOf,
    Condition,
    check_filter,
    conditions_of,
    fields_of,
    format_filter,
    from_opik,
    join_key,
    matches,
    parse_filter,
    parse_number,
    split_key,
    to_opik,
)
from opik_eval.testing.storage_agreement import random_filter, random_json
from opik_eval.testing.storage_cases import day

ENTITIES = tuple(FIELDS)
text = st.text(max_size=6) | st.sampled_from(['"', "'", "\\", "and", "or", "(", "in", "é ß", "a.b"])
finite = st.floats(allow_nan=False, allow_infinity=False)


@st.composite
def conditions(draw, entity="trace"):
    field, kind = draw(st.sampled_from(sorted(FIELDS[entity].items())))
    op = draw(st.sampled_from(OPERATORS[kind]))
    key = ""
    if kind == "dict":
        key = join_key(draw(st.lists(text, max_size=3)))
    elif kind == "score":
        key = draw(text.filter(bool))
    elif field == "usage":
        key = draw(st.sampled_from(["total_tokens", "prompt_tokens"]))
    if op in ("is_empty", "is_not_empty"):
        value = None
    elif op in ("in", "not_in"):
        value = tuple(draw(st.lists(text, min_size=1, max_size=3)))
    elif kind in ("number", "score"):
        value = draw(finite)
    elif kind == "date":
        value = draw(st.datetimes()).isoformat(timespec="microseconds") + "Z"
    else:
        value = draw(text)
    return Condition(field, op, value, key)


def filters(entity="trace"):
    def groups(inner):
        parts = st.lists(inner, min_size=2, max_size=3).map(tuple)
        return parts.map(AllOf) | parts.map(AnyOf)

    return st.recursive(conditions(entity), groups, max_leaves=6)


@given(st.sampled_from(ENTITIES).flatmap(lambda e: st.tuples(st.just(e), filters(e))))
def test_formatting_and_parsing_are_inverse(case) -> None:
    """parse(format(f)) == f for every filter of every entity."""
    entity, where = case
    check_filter(where, entity)
    assert parse_filter(format_filter(where), entity) == where


@given(st.lists(conditions(), max_size=4))
def test_the_wire_form_keeps_the_meaning(parts) -> None:
    """A filter without `or` survives Opik's form, but for the commas inside lists."""
    parts = [c for c in parts if not isinstance(c.value, tuple)]
    kept = [c for c in parts if not isinstance(c.value, float) or abs(c.value) < 1e300]
    where = kept[0] if len(kept) == 1 else AllOf(tuple(kept))
    entries = to_opik(where)
    assert all(type(v) is str for entry in entries for v in entry.values())
    found = list(conditions_of(from_opik(entries, "trace")))
    seconds = {"duration_seconds": "duration", "ttft_seconds": "ttft"}
    assert [c.field for c in found] == [seconds.get(c.field, c.field) for c in kept]
    plain = [(c, k) for c, k in zip(found, kept, strict=True) if k.field not in seconds]
    assert all(c == k for c, k in plain)


def test_opiks_form_is_what_opik_sends() -> None:
    """Names, keys, numbers and lists take Opik's shape, seconds become milliseconds."""
    where = parse_filter(
        'total_estimated_cost > 0.5 and usage.total_tokens >= 10 and metadata.a.b = "x" '
        'and duration_seconds < 1.5 and tags is_empty and environment in ("a", "b") '
        "and feedback_scores.accuracy = 1",
        "trace",
    )
    assert to_opik(where) == [
        {"field": "total_estimated_cost", "key": "", "operator": ">", "value": "0.5"},
        {"field": "usage.total_tokens", "key": "", "operator": ">=", "value": "10"},
        {"field": "metadata", "key": "a.b", "operator": "=", "value": "x"},
        {"field": "duration", "key": "", "operator": "<", "value": "1500"},
        {"field": "tags", "key": "", "operator": "is_empty", "value": ""},
        {"field": "environment", "key": "", "operator": "in", "value": "a,b"},
        {"field": "feedback_scores", "key": "accuracy", "operator": "=", "value": "1"},
    ]
    back = from_opik(to_opik(where), "trace")
    assert Condition("environment", "in", ("a", "b")) in conditions_of(back)


def test_from_opik_reads_what_others_send() -> None:
    """Extra keys, missing keys and keys with spaces or indices are understood."""
    entry = {
        "field": "input_json",
        "operator": "=",
        "value": "x",
        "key": "my key[0].b",
        "type": "d",
    }
    assert from_opik([entry], "trace") == Condition("input_json", "=", "x", '"my key".0.b')
    assert from_opik([{"field": "tags", "operator": "is_empty"}], "trace").value is None
    assert from_opik([], "trace") == AllOf(())


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"operator": "=", "value": "x"}, "filter 1 .*field is None"),
        ({"field": "name", "operator": "=", "value": 3}, "value is 3, not a text"),
        ({"field": "name", "operator": "~", "value": ""}, "unknown operator '~'"),
        ({"field": "nam", "operator": "=", "value": ""}, "(?s)unknown field 'nam'.*'name'"),
        ({"field": "duration", "operator": "=", "value": "x"}, "'x' is not"),
    ],
)
def test_broken_wire_filters_are_explained(entry, message) -> None:
    """The error says which entry is wrong and why."""
    with pytest.raises(ConfigError, match=message):
        from_opik([entry], "trace")


def test_what_opik_cannot_say_is_an_error() -> None:
    """An `or` cannot be sent; a group of one can."""
    with pytest.raises(ConfigError, match="no `or`"):
        to_opik(parse_filter("name = a or name = b", "trace"))
    with pytest.raises(ConfigError, match="without alternatives"):
        to_opik(AnyOf(()))
    with pytest.raises(ConfigError, match="without alternatives"):
        format_filter(AnyOf(()))
    assert len(to_opik(AnyOf((Condition("name", "=", "a"),)))) == 1


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("", AllOf(())),
        ("  ", AllOf(())),
        ("name = bare", Condition("name", "=", "bare")),
        ("NAME"[:0] + "name CONTAINS 'it''s'", Condition("name", "contains", "it's")),
        ('name = "a\\"b\\\\"', Condition("name", "=", 'a"b\\')),
        ('name = "C:\\dir"', Condition("name", "=", "C:\\dir")),
        ("duration >= -1.5e3", Condition("duration", ">=", -1500.0)),
        ("metadata.a.b=1", Condition("metadata", "=", "1", "a.b")),
        ('metadata."a.b"."c d" = x', Condition("metadata", "=", "x", '"a.b"."c d"')),
        ('metadata."a".b[2].c = x', Condition("metadata", "=", "x", "a.b.2.c")),
        ("input.q = x", Condition("input_json", "=", "x", "q")),
        ("output[0] = x", Condition("output_json", "=", "x", "0")),
        ("total_estimated_cost > 1", Condition("cost_usd", ">", 1.0)),
        ("feedback_scores.a.b > 1", Condition("feedback_scores", ">", 1.0, "a.b")),
        ("usage.total_tokens > 1", Condition("usage", ">", 1.0, "total_tokens")),
        ("tags in [a, 'b c']", Condition("tags", "in", ("a", "b c"))),
        (
            "start_time > 2026-01-01T01:00:00+01:00",
            Condition("start_time", ">", "2026-01-01T00:00:00.000000Z"),
        ),
        (
            "name = a or name = b AND name = c",
            AnyOf(
                (
                    Condition("name", "=", "a"),
                    AllOf((Condition("name", "=", "b"), Condition("name", "=", "c"))),
                )
            ),
        ),
        ("((name = a))", Condition("name", "=", "a")),
    ],
)
def test_parsing(source, expected) -> None:
    """Quotes, keys, aliases, precedence and parentheses read as documented."""
    assert parse_filter(source, "trace") == expected


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nam = 3", "(?s)position 0, 'nam': unknown field.*did you mean 'name'.*input_json.nam"),
        ("name == 3", "position 6, '=': expected a value"),
        ('name = "abc', "position 7, '\"abc': this quote is never closed"),
        ("name = a ] ", "position 9, ']': expected `and`, `or` or the end"),
        ("name ! a", "position 5, '! a': not understood"),
        ("duration > x", "(?s)position 0, 'duration'.*'x' is not"),
        ("name =", "at the end: expected a value"),
        ("(name = a", r"at the end: expected `\)`"),
        ("tags > 3", "(?s)no operator '>'.*contains"),
        ("name = a and name = b c", "position 22, 'c'"),
        ("feedback_scores > 3", "(?s)needs a key.*feedback_scores.NAME"),
        ("name.x = 3", "takes no key"),
        ("start_time > yesterday", "(?s)'yesterday' is not.*ISO 8601"),
        ("metadata.x is_emty", "(?s)position 11, 'is_emty': expected an operator.*'is_empty'"),
        ("metadata.x[", "at the end: expected an index"),
        ("metadata.x[0 = 1", "expected `]`"),
        ("and", "expected a field"),
        ("= 3", "position 0, '=': expected a field"),
        (". = 3", "unknown field ''"),
        ("name = and", "position 7, 'and': expected a value"),
        ("name in a", "position 8, 'a': expected a list"),
        ("name in (a b)", r"position 11, 'b': expected `\)`"),
        ("(" * 60 + "name = a" + ")" * 60, "position 50, .*nested deeper than 50"),
    ],
)
def test_errors_say_where_and_what_to_do(source, message) -> None:
    """Every mistake is a ConfigError with its position, the text and the alternatives."""
    with pytest.raises(ConfigError, match=message):
        parse_filter(source, "trace")


def test_an_unknown_column_of_an_item_suggests_its_data() -> None:
    """Whoever forgets the prefix of the user's fields is told about it."""
    with pytest.raises(ConfigError, match=r"data\.question"):
        parse_filter("question = x", "dataset_item")
    with pytest.raises(ConfigError, match="unknown field") as error:
        parse_filter("question = x", "thread")
    assert "dictionary" not in str(error.value)


@given(st.text(alphabet=st.sampled_from("name=<>!\"'\\.()[], andor1_\x00é"), max_size=30))
def test_any_text_parses_or_is_refused(source) -> None:
    """No text makes the parser fail in another way than a ConfigError."""
    try:
        where = parse_filter(source, "trace")
    except ConfigError:
        return
    assert parse_filter(format_filter(where), "trace") == where


@given(st.lists(text, max_size=4))
def test_keys_come_apart_as_they_were_joined(segments) -> None:
    """split_key is the inverse of join_key for any segments."""
    assert split_key(join_key(segments)) == tuple(segments)


@pytest.mark.parametrize("value", ["", " 1", "1_0", "0x1", "nan", "inf", "1e999", "+1", "1.", "१"])
def test_only_json_numbers_are_numbers(value) -> None:
    """What Python but not JSON reads as a number is a text."""
    assert parse_number(value) is None


@given(finite)
def test_numbers_read_back(number) -> None:
    """Every finite number's text is that number."""
    assert parse_number(repr(number)) == number


def test_filters_built_by_hand_are_checked() -> None:
    """A value of the wrong type is refused before anything is read."""
    for condition in (
        Condition("name", "=", 3.0),
        Condition("name", "in", "a"),
        Condition("duration", "=", "3"),
        Condition("duration", "=", True),
        Condition("name", "is_empty", "x"),
    ):
        with pytest.raises(ConfigError, match="cannot take"):
            check_filter(AllOf((condition,)), "trace")
    check_filter(None, "trace")


def test_the_fields_of_a_filter() -> None:
    """The names inside any nesting are found once."""
    where = parse_filter("name = a and (tags = b or name = c)", "trace")
    assert fields_of(where) == {"name", "tags"}
    assert fields_of(None) == frozenset()


@pytest.mark.parametrize("seed", range(5))
def test_negations_are_complements(seed) -> None:
    """Of an operator and its negation exactly one is true, whatever the record holds."""
    random = Random(seed)
    for _ in range(200):
        condition = random_filter(random, "trace", 0)
        if condition.operator not in NEGATIONS:
            continue
        positive = NEGATIONS[condition.operator]
        other = Condition(condition.field, positive, condition.value, condition.key)
        metadata = {"k": random_json(random)} if random.random() < 0.8 else None
        trace = Trace(
            id="1", name=random.choice(("a", None)), metadata=metadata, input=random_json(random)
        )
        assert matches(condition, trace) != matches(other, trace)


@given(finite, st.integers() | finite, st.sampled_from(["=", ">", ">=", "<", "<="]))
def test_numbers_in_dictionaries_compare_as_numbers(wanted, stored, op) -> None:
    """The order of doubles decides, not that of their texts."""
    compare = {
        "=": operator.eq,
        ">": operator.gt,
        ">=": operator.ge,
        "<": operator.lt,
        "<=": operator.le,
    }
    trace = Trace(id="1", metadata={"n": stored})
    where = Condition("metadata", op, repr(wanted), "n")
    assert matches(where, trace) == compare[op](float(stored), wanted)


def test_integers_beyond_the_doubles_are_infinite() -> None:
    """A huge integer is greater than any number and its negative less."""
    trace = Trace(id="1", metadata={"big": 10**400, "small": -(10**400)})
    assert matches(parse_filter("metadata.big > 1e308 and metadata.small < -1e308", "trace"), trace)


def test_groups_and_nothing() -> None:
    """All of nothing is true, any of nothing is false, no filter is true."""
    trace = Trace(id="1")
    assert matches(None, trace)
    assert matches(AllOf(()), trace)
    assert not matches(AnyOf(()), trace)


def test_every_entity_has_its_accessors() -> None:
    """Each field of each entity can be asked for presence on an empty record."""
    records = {
        "trace": Trace(id="1"),
        "thread": Thread(id="1", project_name="p"),
        "dataset_item": DatasetItem(id="1", data={}),
        "experiment": Experiment(id="1"),
        "prompt_version": PromptVersion(id="1", prompt_id="p", commit="c", number=3, template="t"),
    }
    for entity, record in records.items():
        for field in FIELDS[entity]:
            present = matches(Condition(field, "is_not_empty"), record)
            required = {"id", "project_name", "number_of_messages", "full_data", "source", "number"}
            required |= {"prompt_id", "commit", "version_number", "template", "type"}
            named = (entity != "trace" and entity != "experiment") or field == "id"
            assert present == (field in required and named), (entity, field)


def test_filters_of_experiments_and_prompt_versions() -> None:
    """Configuration, scores, version names and tags can be asked for."""
    experiment = Experiment(
        id="1", config={"model": "GPT"}, experiment_scores={"f1": 0.5}, tags=("x",)
    )
    assert matches(
        parse_filter("config.model = gpt and experiment_scores.f1 < 1", "experiment"), experiment
    )
    assert not matches(
        parse_filter("experiment_scores.other is_not_empty", "experiment"), experiment
    )
    version = PromptVersion(
        id="1", prompt_id="p", commit="c", number=3, template="t", created_at=day(0)
    )
    assert matches(parse_filter("version_number = V3 and number > 2", "prompt_version"), version)
    assert matches(parse_filter("created_at = 2026-01-01", "prompt_version"), version)


def test_what_cannot_be_filtered_is_refused() -> None:
    """A record without fields for filters, or a field of another entity, is an error."""
    with pytest.raises(ConfigError, match="Project cannot be filtered"):
        matches(Condition("name", "=", "x"), Project(id="1", name="x"))
    with pytest.raises(ConfigError, match="unknown field 'model' of a trace"):
        matches(Condition("model", "=", "x"), Trace(id="1"))
