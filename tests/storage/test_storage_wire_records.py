"""Records on the wire: what comes back is what went out, and faults are said by field."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from types import NoneType, UnionType
from typing import Annotated, Literal, Union, get_args, get_origin

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from opik_eval.errors import PayloadError
from opik_eval.records import ErrorInfo, ItemScore, Record, SpanType
from opik_eval.serialization import dumps, loads
from opik_eval.storage import wire
from opik_eval.storage.merge import encode

TEXT = st.text(max_size=8)
NUMBERS = st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | NUMBERS | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
TIMES = st.datetimes(timezones=st.just(UTC))
SPECIAL = {
    "value": st.floats(-1e8, 1e8),
    "entity_id": TEXT.filter(str.strip),
    "config": st.dictionaries(TEXT | st.just("_opik_eval"), JSON, max_size=3),
}


def values(annotation: object) -> st.SearchStrategy[object]:
    """Return a strategy for the values of a field's type."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated or annotation is datetime:
        return TIMES
    if origin in (Union, UnionType):
        return st.one_of([values(a) for a in arguments if a is not NoneType])
    if origin is tuple:
        return st.lists(values(arguments[0]), max_size=2).map(tuple)
    if origin is dict:
        return st.dictionaries(TEXT, values(arguments[1]), max_size=2)
    if origin is Literal:
        return st.sampled_from(arguments)
    if isinstance(annotation, type) and issubclass(annotation, Record):
        return records(annotation)
    return {
        str: TEXT,
        int: st.integers(-(2**31), 2**31),
        float: NUMBERS,
        bool: st.booleans(),
        object: JSON.filter(lambda value: value is not None),
        SpanType: st.sampled_from(SpanType),
    }[annotation]


def records(kind: type[Record]) -> st.SearchStrategy[Record]:
    """Return a strategy for records of a type, with any of their optional fields."""
    required, optional = {}, {}
    for name, field in kind.model_fields.items():
        found = values(field.rebuild_annotation())
        if name in SPECIAL and kind is not ItemScore:
            found = SPECIAL[name]
        if name == "name" and field.is_required():
            found = TEXT.filter(str.strip)
        (required if field.is_required() else optional)[name] = found
    return st.fixed_dictionaries(required, optional=optional).map(kind.model_validate)


@pytest.mark.parametrize("kind", wire.KINDS)
@settings(max_examples=25)
@given(data=st.data())
def test_a_record_comes_back_from_the_wire_as_it_went(kind, data):
    """Through JSON and back a record of any type is equal and names the same fields."""
    record = data.draw(records(wire.KINDS[kind]))
    payload = loads(dumps(wire.record_to_wire(record), sort_keys=False))
    back = wire.record_from_wire(payload)
    assert back == record
    assert encode(back, sort_keys=True) == encode(record, sort_keys=True)
    plain = getattr(wire, f"{kind}_to_wire")(record)
    assert getattr(wire, f"{kind}_from_wire")(loads(dumps(plain, sort_keys=False))) == record


@pytest.mark.parametrize("kind", wire.KINDS)
@settings(max_examples=25)
@given(payload=st.dictionaries(TEXT, JSON, max_size=4))
@example(payload={"filled": [[]], "name": []})
def test_any_object_gives_a_record_or_says_what_is_wrong(kind, payload):
    """No JSON breaks the codec: it gives a record, or an error that names fields."""
    fields = {name: payload for name in wire.KINDS[kind].model_fields}
    extra, lists = {**fields, "_opik_eval": payload}, {name: [payload] for name in fields}
    for candidate in (payload, fields, extra, lists, [payload], None):
        with_error = None
        try:
            getattr(wire, f"{kind}_from_wire")(candidate)
        except PayloadError as error:
            with_error = error
        assert with_error is None or with_error.problems


def test_names_and_units_on_the_wire_are_opiks():
    """Durations are milliseconds, costs and numbers have Opik's names, times end in Z."""
    span = wire.record_from_wire(
        {
            "kind": "span",
            "id": "s",
            "trace_id": "t",
            "ttft": 250,
            "total_estimated_cost": 0.5,
            "type": "llm",
            "usage": {"total_tokens": 3},
            "start_time": "2026-11-21T23:49:40.396109123+01:00",
            "error_info": {"exception_type": "E", "message": None, "traceback": "t", "more": 1},
            "created_by": "admin",
            "duration": 12,
        }
    )
    assert (span.ttft_seconds, span.cost_usd, span.type) == (0.25, 0.5, SpanType.LLM)
    assert span.error_info == ErrorInfo(exception_type="E", traceback="t")
    payload = wire.span_to_wire(span)
    assert payload == {
        "id": "s",
        "trace_id": "t",
        "ttft": 250.0,
        "total_estimated_cost": 0.5,
        "type": "llm",
        "usage": {"total_tokens": 3},
        "start_time": "2026-11-21T22:49:40.396109Z",
        "error_info": {"exception_type": "E", "traceback": "t"},
    }
    version = wire.prompt_version_from_wire(
        {"id": "v", "prompt_id": "p", "commit": "c", "version_number": "v3", "template": "t"}
    )
    assert version.number == 3
    assert wire.prompt_version_to_wire(version)["version_number"] == "v3"


def test_an_experiments_configuration_is_its_metadata():
    """What Opik has no field for stays apart from the user's own keys."""
    found = wire.experiment_from_wire(
        {
            "id": "e",
            "metadata": {"model": "m", "_opik_eval": {"run": {"seed": 1}}},
            "experiment_scores": [{"name": "a", "value": 1}],
            "prompt_versions": [{"id": "p", "commit": "c"}],
            "feedback_scores": [{"name": "b", "value": 0.5}],
        }
    )
    assert (found.config, found.run) == ({"model": "m"}, {"seed": 1})
    assert (found.experiment_scores, found.prompt_version_ids) == ({"a": 1}, ("p",))
    no_config = wire.experiment_from_wire({"id": "e", "metadata": {"_opik_eval": "theirs"}})
    assert no_config.config == {"_opik_eval": "theirs"}


def test_a_threads_score_names_its_thread():
    """A score with a thread id belongs to a thread; others to what the path says."""
    thread = wire.feedback_score_from_wire({"thread_id": "x", "name": "n", "value": 1})
    assert (thread.entity_type, thread.entity_id) == ("thread", "x")
    assert wire.feedback_score_to_wire(thread)["thread_id"] == "x"
    span = wire.feedback_score_from_wire(
        {"name": "n", "value": "0.5"}, entity_type="span", entity_id="s"
    )
    assert (span.entity_type, span.entity_id, span.value) == ("span", "s", 0.5)


def test_the_compare_view_of_another_server_gives_items():
    """Scores and inputs that a server found on the trace take the place of ours."""
    item = wire.experiment_item_from_wire(
        {
            "id": "i",
            "experiment_id": "e",
            "dataset_item_id": "d",
            "trace_id": "t",
            "input": "question",
            "feedback_scores": [{"name": "a", "value": 1, "reason": None, "source": "sdk"}],
        }
    )
    assert item.scores == (ItemScore(name="a", value=1),)
    assert item.input == {"input": "question"}


def test_fields_that_a_server_made_up_are_left_out():
    """What a server filled in for the sake of Opik's clients does not count as stored."""
    trace = wire.trace_from_wire(
        {"id": "t", "start_time": "2026-01-01T00:00:00Z", "_opik_eval": {"filled": ["start_time"]}}
    )
    assert trace.model_fields_set == {"id"}


@pytest.mark.parametrize(
    ("kind", "payload", "field", "reason"),
    [
        ("trace", {}, "id", "is missing"),
        ("trace", {"id": 1}, "id", "valid string"),
        ("span", {"id": "1", "trace_id": "t", "usage": {"a": 1.5}}, "usage.a", "fractional"),
        ("span", {"id": "1", "trace_id": "t", "type": "x"}, "type", "'general', 'tool'"),
        ("span", {"id": "1", "trace_id": "t", "ttft": True, "tags": 1}, "tags", "valid tuple"),
        ("feedback_score", {"id": "1", "name": "n", "value": "NaN"}, "value", "not a number"),
        ("feedback_score", {"id": "1", "name": "n", "value": 1e9}, "value", "not a number"),
        ("feedback_score", {"id": "1", "name": " ", "value": 1}, "name", "is empty"),
        ("feedback_score", {"id": "", "name": "n", "value": 1}, "id", "is empty"),
        ("trace", {"id": "1", "error_info": "boom"}, "error_info", "ErrorInfo"),
        ("prompt_version", {"version_number": "three"}, "version_number", "integer"),
        ("experiment", {"id": "e", "experiment_scores": [1]}, "experiment_scores", "dictionary"),
        ("experiment", {"experiment_scores": [{"name": []}]}, "experiment_scores", "dictionary"),
        ("experiment", {"id": "e", "prompt_versions": "p"}, "prompt_versions", "tuple"),
        ("what", {}, "kind", "is none of"),
    ],
)
def test_what_is_wrong_is_said_by_field(kind, payload, field, reason):
    """An error names the field as the sender knows it, and why it is refused."""
    with pytest.raises(PayloadError) as raised:
        wire.record_from_wire({"kind": kind, **payload})
    assert any(f == field and reason in why for f, why in raised.value.problems), raised.value


def test_times_of_other_zones_go_out_in_utc():
    """A time of any zone, or of none, is sent as UTC with Z."""
    zone = timezone(timedelta(hours=2))
    assert wire.wire_time(datetime(2026, 1, 1, 2, tzinfo=zone)) == "2026-01-01T00:00:00.000000Z"
    assert wire.wire_time(datetime(2026, 1, 1)) == "2026-01-01T00:00:00.000000Z"  # noqa: DTZ001
