"""OpenAI's format: requests, replies, streams."""

import json
from types import MappingProxyType

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict

from opik_eval.models.base import ModelRequest, TokenLogprob, ToolCall, Usage
from opik_eval.models.openai_format import (
    MalformedReplyError,
    chat_body,
    encode,
    parse_completion,
    parse_embeddings,
    parse_usage,
    response_format,
)
from opik_eval.models.sse import SseParser
from opik_eval.models.streaming import ReplyAssembler
from opik_eval.testing.fake_replies import FakeReply, chunks_json, completion_json


class Verdict(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reason: str
    score: int


class TestRequests:
    def test_streams_ask_for_usage(self):
        """A streamed request asks for token counts, unless the caller says otherwise."""
        request = ModelRequest(model="m", messages=[])
        assert chat_body(request, model="m", stream=True)["stream_options"] == {
            "include_usage": True
        }
        request = ModelRequest(model="m", messages=[], params={"stream_options": {}})
        assert chat_body(request, model="m", stream=True)["stream_options"] == {}

    @pytest.mark.parametrize(
        ("schema", "strict"),
        [
            (Verdict.model_json_schema(), True),
            ({"type": "object", "properties": {"a": {}}, "required": ["a"]}, False),
            ({"type": "object", "properties": {"a": {}}, "additionalProperties": False}, False),
            ({"type": "array", "items": Verdict.model_json_schema()}, True),
            ({"anyOf": [{"type": "object"}, {"type": "null"}]}, False),
            ({"type": "integer", "default": 1}, False),
            (
                {
                    "type": "object",
                    "properties": {"default": {"type": "string"}},
                    "required": ["default"],
                    "additionalProperties": False,
                },
                True,
            ),
        ],
    )
    def test_strict_where_the_schema_allows(self, schema, strict):
        """Strict mode is asked for exactly where OpenAI would accept the schema."""
        assert response_format(schema)["json_schema"]["strict"] is strict

    @pytest.mark.parametrize(
        ("title", "name"), [("Verdict", "Verdict"), ("Ürteil 1!", "rteil_1_"), ("", "reply")]
    )
    def test_name_of_schema_fits_the_provider(self, title, name):
        """A schema's name has only the characters that OpenAI allows."""
        assert response_format({"title": title})["json_schema"]["name"] == name

    def test_encode_keeps_order_and_converts_what_it_can(self):
        """Keys keep their order; numpy, mappings, sets and pydantic have a form."""
        value = {
            "b": np.float32(0.5),
            "a": MappingProxyType({"x": {1}}),
            "model": Verdict(reason="r", score=1),
            "class": Verdict,
        }
        decoded = json.loads(encode(value))
        assert list(decoded) == ["b", "a", "model", "class"]
        assert decoded["a"] == {"x": [1]}
        assert decoded["model"] == {"reason": "r", "score": 1}
        assert decoded["class"]["type"] == "json_schema"

    @pytest.mark.parametrize("value", ["a\ud800", 2**70, [np.int64(3), 2**70]])
    def test_encode_beyond_orjson(self, value):
        """Lone surrogates and huge integers are encoded all the same."""
        assert json.loads(encode(value)) == value

    def test_encode_refuses_the_rest(self):
        """What has no JSON form is an error that names it."""
        with pytest.raises(TypeError, match="object"):
            encode({"a": object()})


def reply_of(message, **choice):
    return {"choices": [{"message": message, **choice}]}


class TestReplies:
    def test_parts_are_joined(self):
        """Content in parts is the text of its parts."""
        message = {"content": [{"type": "text", "text": "a"}, {"type": "x"}, {"text": "b"}]}
        assert parse_completion(reply_of(message), model="m").text == "ab"

    def test_arguments_may_be_an_object(self):
        """Servers that send a tool's arguments as an object are understood."""
        calls = [{"id": None, "function": {"name": "f", "arguments": {"a": 1}}}]
        calls.append({"function": {"name": "g", "arguments": None}})
        completion = parse_completion(reply_of({"tool_calls": calls}), model="m")
        assert [call.arguments for call in completion.tool_calls] == ['{"a":1}', "{}"]
        assert completion.tool_calls[0].id == ""

    @pytest.mark.parametrize(
        "raw",
        [
            {},
            {"choices": []},
            {"choices": ["text"]},
            {"choices": [{"text": "a"}]},
            reply_of({"tool_calls": [{"id": "1"}]}),
            reply_of({"tool_calls": ["f"]}),
            reply_of({"content": "a"}, logprobs={"content": [{"token": "a"}]}),
            reply_of({"content": "a"}, logprobs={"content": ["a"]}),
        ],
    )
    def test_malformed_replies_are_told(self, raw):
        """A reply without its necessary parts is an error of its own kind."""
        with pytest.raises(MalformedReplyError):
            parse_completion(raw, model="m")

    @pytest.mark.parametrize(
        "value",
        [None, [], {}, {"prompt_tokens": "3"}, {"prompt_tokens": True, "completion_tokens": None}],
    )
    def test_missing_counts_stay_unknown(self, value):
        """Counts that are missing or no numbers are unknown, not 0."""
        assert parse_usage(value) == Usage()

    @pytest.mark.parametrize(
        "data",
        [None, [], [{}], [{"embedding": ["x"]}], [{"index": 1, "embedding": [1.0]}], ["x"]],
    )
    def test_malformed_embeddings_are_told(self, data):
        """Anything but one vector of numbers for each text is an error."""
        with pytest.raises(MalformedReplyError):
            parse_embeddings({"data": data}, count=1)


names = st.sampled_from(["search", "add"])
words = st.text(alphabet='ab \n{}":é', max_size=30)
calls = st.builds(ToolCall, id=names, name=names, arguments=words)
tokens = st.builds(
    TokenLogprob,
    token=words,
    logprob=st.floats(-50, 0),
    top=st.lists(st.tuples(words, st.floats(-50, 0)), max_size=2).map(tuple),
)


@st.composite
def replies(draw):
    text = draw(words)
    count = len(text.replace(" ", " \0").rstrip("\0").split("\0")) if text else 0
    logprobs = draw(st.lists(tokens, min_size=count, max_size=count)) if count else None
    return FakeReply(
        text=text,
        tool_calls=tuple(draw(st.lists(calls, max_size=3))),
        logprobs=tuple(logprobs) if logprobs else None,
    )


class TestStreams:
    @given(replies())
    def test_chunks_make_up_the_reply(self, reply):
        """A reply that was streamed equals the same reply sent whole."""
        request = {"model": "m", "messages": [], "stream_options": {"include_usage": True}}
        whole = parse_completion(completion_json(reply, request), model="m")
        assembler = ReplyAssembler()
        pieces = [assembler.add(chunk) for chunk in chunks_json(reply, request)]
        streamed = parse_completion(assembler.reply(), model="m")
        assert "".join(pieces) == whole.text == streamed.text
        assert assembler.is_finished
        for field in ("tool_calls", "logprobs", "finish_reason", "usage"):
            assert getattr(streamed, field) == getattr(whole, field)

    def test_other_choices_are_left_out(self):
        """Only the first choice is read, and chunks without choices bring no text."""
        assembler = ReplyAssembler()
        assert assembler.add({"choices": [{"index": 1, "delta": {"content": "b"}}]}) == ""
        assert assembler.add({"choices": None}) == ""
        assert assembler.add({"choices": [{"index": 0, "delta": None}]}) == ""
        assert not assembler.has_begun

    @given(
        st.lists(st.binary(min_size=1).filter(lambda b: not set(b) & set(b"\r\n")), max_size=5),
        st.sampled_from([b"\n", b"\r\n", b"\r"]),
        st.integers(1, 7),
    )
    def test_events_do_not_depend_on_pieces(self, events, end, size):
        """However a stream is cut into pieces, its events are the same."""
        stream = b"".join(b": comment" + end + b"data: " + e + end + end for e in events)
        parser = SseParser()
        found = []
        for start in range(0, len(stream), size):
            found += parser.feed(stream[start : start + size])
        assert found + parser.finish() == events

    def test_lines_of_one_event_are_joined(self):
        """Several data lines are one datum; the space after the colon is optional."""
        parser = SseParser()
        assert parser.feed(b"event: x\ndata:a\ndata: b\n\n") == [b"a\nb"]

    def test_last_event_may_lack_its_end(self):
        """What no blank line has ended is there at the end."""
        parser = SseParser()
        assert parser.feed(b"data: a\n") == []
        assert parser.finish() == [b"a"]
        assert parser.finish() == []
