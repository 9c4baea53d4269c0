"""Structured output: finding JSON in replies, schemas, and the texts that ask for them."""

import json
from enum import Enum

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from opik_eval.errors import ConfigError, ParseError
from opik_eval.models import extraction
from opik_eval.models.base import Completion, Usage
from opik_eval.models.extraction import find_json
from opik_eval.models.structured import (
    both_turns,
    parse_reply,
    repair_messages,
    reply_schema,
    with_schema_in_prompt,
)


class Verdict(BaseModel):
    """A small reply."""

    score: float = Field(ge=0, le=1)
    reason: str = ""


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
containers = st.lists(json_values, max_size=4) | st.dictionaries(st.text(), json_values, max_size=4)
# Prose as models write it: anything but what begins JSON, a code fence or the end of a thought.
prose = st.text(st.characters(exclude_characters="{}[]`<", exclude_categories=["Cs"]), max_size=40)
layouts = st.sampled_from([None, 2])


@settings(deadline=None)
@given(value=json_values, indent=layouts, space=st.sampled_from(["", " ", "\n\n"]))
def test_bare_json_is_found_first(value, indent, space):
    """A reply that is JSON, whatever its layout, yields that value first."""
    assert next(find_json(space + json.dumps(value, indent=indent) + space)) == value


@settings(deadline=None)
@given(value=containers, before=prose, after=prose, indent=layouts)
def test_json_in_prose_is_found_first(value, before, after, indent):
    """An object or array between sentences yields that value first."""
    text = f"{before} {json.dumps(value, indent=indent)} {after}"
    assert next(find_json(text)) == value


@settings(deadline=None)
@given(
    value=json_values.filter(lambda value: "```" not in json.dumps(value)),
    before=prose,
    after=prose,
    language=st.sampled_from(["", "json", "JSON", "jsonc"]),
)
def test_json_in_a_fence_is_found_first(value, before, after, language):
    """A code fence, whatever its label, yields its value first; also a bare number or text."""
    # Between quotation marks the whole is a JSON text, which goes first.
    assume(not (before.lstrip().startswith('"') and after.rstrip().endswith('"')))
    text = f"{before}\n```{language}\n{json.dumps(value, indent=1)}\n```\n{after}"
    assert next(find_json(text)) == value


def test_a_text_in_quotation_marks_is_a_value_first():
    """The whole text goes first where it is JSON; the fence inside follows."""
    first, *_, last = find_json('"\n```\nnull\n```\n"')
    assert (first, last) == ("\n```\nnull\n```\n", None)


@settings(deadline=None)
@given(first=containers, second=containers, before=prose, between=prose)
def test_all_values_of_a_text_are_candidates(first, second, before, between):
    """Several values in one reply are all found, in order."""
    text = f"{before} {json.dumps(first)} {between} {json.dumps(second)}"
    assert list(find_json(text))[:2] == [first, second]


def with_trailing_commas(value):
    """Print a value with a comma after every last member."""
    if isinstance(value, dict):
        members = [
            f"{json.dumps(key)}: {with_trailing_commas(item)}" for key, item in value.items()
        ]
        return "{" + ", ".join(members) + (" ,\n}" if members else "}")
    if isinstance(value, list):
        members = [with_trailing_commas(item) for item in value]
        return "[" + ", ".join(members) + (",]" if members else "]")
    return json.dumps(value)


@settings(deadline=None)
@given(value=containers.filter(bool), before=prose, after=prose)
def test_trailing_commas_are_dropped(value, before, after):
    """A value with trailing commas is among the candidates; commas inside texts stay."""
    assert value in list(find_json(f"{before} {with_trailing_commas(value)} {after}"))


@settings(deadline=None)
@given(text=st.text(st.sampled_from('{}[]",:\\ \n1a`t'), max_size=80))
def test_any_text_is_read_without_an_error(text):
    """Broken JSON of any shape yields candidates or nothing, never an exception."""
    list(find_json(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('<think>maybe {"score": 0}?</think>{"score": 1}', [{"score": 1}]),
        ('{"text": "</think>"}', [{"text": "</think>"}]),
        ('As [1] says: {"score": 1}', [[1], {"score": 1}]),
        ('{"text": "two\nlines"}', [{"text": "two\nlines"}]),
        ('{"score": NaN}', []),
        ('I feel :{ but {"score": 1}', [{"score": 1}]),
        ('{"open": {"score": 1}', [{"score": 1}]),
        ('say "hi" then {"a": [1, 2,], "b": "x,]"}', [{"a": [1, 2], "b": "x,]"}]),
        ("no JSON here", []),
        ("", []),
    ],
)
def test_difficult_replies(text, expected):
    """Thoughts, citations, raw line breaks, smileys, truncation: each has a definite answer."""
    distinct = []
    for value in find_json(text):
        if value not in distinct:
            distinct.append(value)
    assert distinct == expected


@pytest.mark.parametrize("sign", ["[", "{", "[1,],", "[1,]", '{"a":', "[1,", '"', "```", '["'])
def test_a_model_that_is_stuck_costs_no_time(sign, monkeypatch):
    """A reply of one repeated sign is not read again for each of its beginnings."""
    text, read = sign * 8_000, [0]

    class Counting(json.JSONDecoder):
        def raw_decode(self, s, idx=0):
            end = idx
            try:
                value, end = super().raw_decode(s, idx)
            except json.JSONDecodeError as error:
                end = error.pos
                raise
            finally:
                read[0] += end - idx
            return value, end

    monkeypatch.setattr(extraction, "_decoder", Counting(strict=False))
    list(find_json(text))
    assert read[0] < 60 * len(text)


def test_reply_becomes_an_instance_of_the_class():
    """The first value that fits the class is taken, although another one comes before it."""
    reply = 'See [1]. First try {"score": 7}, better: {"score": 0.5, "reason": "ok"}'
    assert parse_reply(reply, reply_schema(Verdict)) == Verdict(score=0.5, reason="ok")


def test_class_is_filled_by_the_rules_for_json():
    """A strict class takes what JSON can say: enums and tuples come as texts and arrays."""

    class Colour(Enum):
        RED = "red"

    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)
        colour: Colour
        pair: tuple[int, int]

    parsed = parse_reply('{"colour": "red", "pair": [1, 2]}', reply_schema(Strict))
    assert parsed == Strict(colour=Colour.RED, pair=(1, 2))


SCHEMA = {
    "type": "object",
    "properties": {"label": {"enum": ["spam", "ham"]}},
    "required": ["label"],
}


@pytest.mark.parametrize(
    "response_format",
    [SCHEMA, {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}],
)
def test_reply_that_fits_a_json_schema_stays_plain(response_format):
    """A JSON schema, bare or in OpenAI's wrapping, gives plain JSON types."""
    schema = reply_schema(response_format)
    assert schema.json_schema == SCHEMA
    assert parse_reply('[1] {"label": "eggs"} {"label": "ham"}', schema) == {"label": "ham"}


@pytest.mark.parametrize(
    ("response_format", "reply", "message"),
    [
        (Verdict, '{"score": 7}', "score: Input should be less than or equal to 1"),
        (Verdict, "[]", "the value: Input should be an object"),
        (Verdict, "I cannot say", "it holds no JSON value"),
        (SCHEMA, '{"label": "eggs"}', r"\$.label: 'eggs' is not one of"),
    ],
)
def test_reply_that_does_not_fit_says_where(response_format, reply, message):
    """The error names the place and carries the reply."""
    with pytest.raises(ParseError, match=message) as raised:
        parse_reply(reply, reply_schema(response_format))
    assert raised.value.reply == reply


@pytest.mark.parametrize(
    "response_format", [{"type": "verdict"}, {"json_schema": {"schema": 5}}, "json", int]
)
def test_impossible_formats_are_refused(response_format):
    """What is neither a class nor a JSON schema is a ConfigError before anything is sent."""
    with pytest.raises(ConfigError, match="response_format"):
        reply_schema(response_format)


def test_no_format_is_no_schema():
    """Without response_format there is nothing to check."""
    assert reply_schema(None) is None


def test_schema_goes_to_the_end_of_the_last_user_message():
    """Text, parts, and conversations that end otherwise all get the schema at their end."""
    system = {"role": "system", "content": "s"}
    text = with_schema_in_prompt([system, {"role": "user", "content": "q"}], SCHEMA)
    assert text[0] == system
    assert text[1]["content"].startswith("q\n\n")
    assert json.dumps(SCHEMA) in text[1]["content"]
    image = {"type": "image_url", "image_url": {"url": "u"}}
    parts = with_schema_in_prompt([{"role": "user", "content": [image]}], SCHEMA)
    assert parts[0]["content"][0] == image
    assert json.dumps(SCHEMA) in parts[0]["content"][1]["text"]
    other = with_schema_in_prompt([system], SCHEMA)
    assert [message["role"] for message in other] == ["system", "user"]


def test_repair_shows_reply_and_error():
    """The repair turn repeats the conversation, the reply, what is wrong and the schema."""
    reply = Completion(text="nonsense", model="m", finish_reason="length")
    question = {"role": "user", "content": "q"}
    messages = repair_messages(
        [question], reply, ParseError("it holds no JSON value", reply=""), reply_schema(SCHEMA)
    )
    assert messages[:2] == [question, {"role": "assistant", "content": "nonsense"}]
    request = messages[2]["content"]
    assert "it holds no JSON value; it was cut off" in request
    assert json.dumps(SCHEMA) in request


def test_two_turns_are_added_up():
    """Usage, cost, time and attempts of both turns count; what is unknown stays unknown."""
    first = Completion(
        text="a",
        model="m",
        usage=Usage(prompt_tokens=1, total_tokens=3),
        cost_usd=0.5,
        latency_seconds=1,
        attempts=2,
    )
    second = Completion(
        text="b", model="m", usage=Usage(prompt_tokens=4), cost_usd=0.25, latency_seconds=2
    )
    both = both_turns(first, second)
    assert (both.text, both.usage) == ("b", Usage(prompt_tokens=5))
    assert (both.cost_usd, both.latency_seconds, both.attempts) == (0.75, 3, 3)
    unknown = Completion(text="c", model="m")
    assert both_turns(first, unknown).cost_usd is None
