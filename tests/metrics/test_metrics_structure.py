"""JSON texts and JSON schemas."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from opik_eval.errors import MetricError
from opik_eval.metrics.structure import IsJson, JsonSchema, parse_json

VALID = [
    "{}",
    "[]",
    '"text"',
    "5",
    "-0.5e3",
    "null",
    "true",
    ' {"a": [1, {"b": null}]} ',
    '{"a":1,"a":2}',
    '"\\ud800"',
    "1" * 5000,
    b'{"a": 1}',
]
INVALID = [
    "",
    "text",
    "{",
    "{'a': 1}",
    "[1,]",
    "NaN",
    "[Infinity]",
    "-Infinity",
    "01",
    "```json\n{}\n```",
    "{} {}",
    "[" * 100_000,
    b"\xff\xfe\xfd",
]


@pytest.mark.parametrize("output", VALID)
def test_json_texts(output):
    """Whatever RFC 8259 allows is JSON."""
    assert IsJson().score(output).value == 1.0


@pytest.mark.parametrize("output", INVALID)
def test_texts_that_are_no_json(output):
    """Anything else is not, and the reason says where it fails."""
    score = IsJson().score(output)
    assert score.value == 0.0
    assert score.reason.startswith("not JSON: ")


values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(value=values)
def test_what_json_writes_is_read_back(value):
    """Parsing is the inverse of the standard library's writer."""
    assert parse_json(json.dumps(value)) == value


@given(text=st.text())
def test_parsing_agrees_with_the_standard_library_on_any_text(text):
    """The same texts are accepted, but for NaN and the infinities."""

    def refuse(name):
        raise ValueError(name)

    try:
        expected = json.loads(text, parse_constant=refuse)
    except ValueError:
        with pytest.raises(ValueError, match=r".+"):
            parse_json(text)
    else:
        assert parse_json(text) == expected


PERSON = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "age": {"type": "integer"}},
    "required": ["name"],
    "additionalProperties": False,
}


class City(BaseModel):
    name: str
    mayor: str | None = None


SCHEMAS = [
    (PERSON, '{"name": "Ann", "age": 3}', 1.0),
    (PERSON, {"name": "Ann", "age": 3.0}, 1.0),
    (PERSON, {"name": "Ann", "age": True}, 0.0),
    (PERSON, {"name": "Ann", "zip": 1}, 0.0),
    (PERSON, "[]", 0.0),
    (PERSON, "not json", 0.0),
    (City, '{"name": "Rome"}', 1.0),
    (City, {"name": None}, 0.0),
    (City, City(name="Rome"), 1.0),
    ({"type": "array", "prefixItems": [{"type": "string"}]}, ("a", 1), 1.0),
    ({"type": "string"}, '"text"', 1.0),
    ({"$ref": "#/$defs/n", "$defs": {"n": {"minimum": 2}}}, 1, 0.0),
    ({}, "{}", 1.0),
]


@pytest.mark.parametrize(("schema", "output", "value"), SCHEMAS)
def test_schema(schema, output, value):
    """Draft 2020-12: integers, references; texts are parsed, values checked as they are."""
    assert JsonSchema(schema).score(output=output).value == value
    assert JsonSchema().score(output=output, schema=schema).value == value


def test_the_reason_names_each_violation_and_counts_the_rest():
    """Paths and messages, the first five in full."""
    schema = {"items": {"type": "string"}}
    assert JsonSchema(schema).score(["a", 1]).reason == "$[1]: 1 is not of type 'string'"
    lines = JsonSchema(schema).score(list(range(8))).reason.split("\n")
    assert (len(lines), lines[-1]) == (6, "and 3 more")


def test_formats_count_where_asked_for():
    """``format`` says nothing by default, as in the standard."""
    schema = {"format": "date"}
    assert JsonSchema(schema).score('"yesterday"').value == 1.0
    assert JsonSchema(schema, check_formats=True).score('"yesterday"').value == 0.0


@pytest.mark.parametrize(
    ("schema", "problem"),
    [
        (None, "needs 'schema'"),
        ("object", "got a str as 'schema'"),
        (int, "got a type as 'schema'"),
        ({"type": "objekt"}, "cannot use the schema"),
        ({"$ref": "#/$defs/none"}, "cannot use the schema"),
        ({"$ref": "#"}, "cannot use the schema"),
    ],
)
def test_a_schema_that_cannot_be_used_is_an_error(schema, problem):
    """A wrong schema is not a wrong answer."""
    with pytest.raises(MetricError, match=problem) as refusal:
        JsonSchema(schema).score({"a": 1})
    assert refusal.value.remedy


def test_references_to_the_network_are_not_followed(monkeypatch):
    """A remote reference is an error, and nothing is fetched."""
    import socket

    def refuse(*args, **kwargs):
        raise AssertionError("network access")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with pytest.raises(MetricError, match="cannot use the schema"):
        JsonSchema({"$ref": "http://example.com/schema.json"}).score("{}")
