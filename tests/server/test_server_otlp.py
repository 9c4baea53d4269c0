"""Spans of OpenTelemetry: real exporters, a real instrumentation, and the mapping."""

from __future__ import annotations

import gzip
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx
import openai
import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.exporter.otlp.json.common.trace_encoder import encode_spans
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as OtelSpan
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import (
    SimpleSpanProcessor,
    SpanExporter,
    SpanExportResult,
)
from server_client import Api

from opik_eval.ids import new_id, time_of
from opik_eval.records import SpanType
from opik_eval.server.failures import FrameworkError
from opik_eval.server.otlp.decoding import from_json, from_protobuf
from opik_eval.server.otlp.mapping import mapped
from opik_eval.server.otlp.rules import rule_for
from opik_eval.server.otlp.values import parsed
from opik_eval.testing.fake_server import FakeServer

PATH = "otel/v1/traces"
PROTOBUF = "application/x-protobuf"


class JsonExporter(SpanExporter):
    """OpenTelemetry's own JSON encoding, sent with a plain client."""

    def __init__(self, api: Api) -> None:
        self.api = api

    def export(self, spans: Any) -> SpanExportResult:
        """Send spans."""
        content = json.dumps(encode_spans(spans).to_dict()).encode()
        headers = {"content-type": "application/json", "projectName": self.api.project}
        reply = self.api.send("POST", PATH, content=content, headers=headers)
        assert (reply.status_code, reply.json()) == (200, {}), reply.text
        return SpanExportResult.SUCCESS


def exporter(api: Api, form: str) -> SpanExporter:
    """Return an exporter to the project of ``api``."""
    if form == "json":
        return JsonExporter(api)
    return OTLPSpanExporter(
        endpoint=f"{str(api.client.base_url).rstrip('/')}/api/v1/private/{PATH}",
        headers={"projectName": api.project},
        compression=Compression.Gzip if form == "gzip" else Compression.NoCompression,
    )


@pytest.fixture(params=["protobuf", "gzip", "json"])
def provider(request: pytest.FixtureRequest, api: Api) -> Iterator[TracerProvider]:
    """OpenTelemetry's SDK with an exporter, which sends each span by itself as it ends."""
    opened = TracerProvider(shutdown_on_exit=False)
    opened.add_span_processor(SimpleSpanProcessor(exporter(api, request.param)))
    yield opened
    opened.shutdown()


def rows(api: Api, kind: str) -> list[dict[str, Any]]:
    """Return the traces or spans of the project."""
    found: list[dict[str, Any]] = api.ok(
        "GET", kind, params={"project_name": api.project, "size": 100}
    )["content"]
    return found


def named(api: Api) -> dict[str, dict[str, Any]]:
    """Return the spans of the project by name."""
    return {row["name"]: row for row in rows(api, "spans")}


def test_real_exporters(api: Api, provider: TracerProvider) -> None:
    """Spans that come one by one, children first, make one trace with a tree of spans."""
    tracer = provider.get_tracer("my.instrumentation")
    with tracer.start_as_current_span("root", attributes={"input.value": '{"q": 1}'}) as root:
        root.set_attribute("session.id", "talk")
        root.set_attribute("opik.tags", ["a", "b"])
        with tracer.start_as_current_span("child", attributes={"tool.name": "search"}) as child:
            child.add_event("cache", {"hit": True})
        with pytest.raises(ValueError, match="boom"), tracer.start_as_current_span("bad"):
            raise ValueError("boom")
    (trace,) = rows(api, "traces")
    assert (trace["name"], trace["thread_id"], trace["tags"]) == ("root", "talk", ["a", "b"])
    assert trace["input"] == {"input.value": {"q": 1}}
    assert trace["span_count"] == 3
    assert trace["duration"] > 0
    spans = named(api)
    assert {row["trace_id"] for row in spans.values()} == {trace["id"]}
    assert spans["child"]["parent_span_id"] == spans["bad"]["parent_span_id"] == spans["root"]["id"]
    assert "parent_span_id" not in spans["root"]
    assert spans["child"]["type"] == "tool"
    assert spans["child"]["metadata"]["integration"] == "my.instrumentation"
    assert spans["child"]["metadata"]["events"][0]["attributes"] == {"hit": True}
    error = spans["bad"]["error_info"]
    assert (error["exception_type"], error["message"]) == ("ValueError", "boom")
    assert "Traceback" in error["traceback"]
    context = root.get_span_context()
    begin = time_of(trace["id"]).timestamp() * 1000
    assert abs(begin - min(s.start_time for s in (root, child)) / 1e6) < 1000
    digest = uuid.UUID(trace["id"]).int & (1 << 62) - 1
    whole = hashlib.sha256(context.trace_id.to_bytes(16)).digest()[:10]
    assert digest == int.from_bytes(whole) & (1 << 62) - 1


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the instrumentation's own models
def test_a_real_instrumentation(api: Api, provider: TracerProvider) -> None:
    """OpenAI's client, instrumented: model, provider, usage, cost, messages and reply."""
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=provider)
    try:
        with (
            FakeServer("hello") as server,
            openai.OpenAI(base_url=server.base_url, api_key="key") as client,
        ):
            messages: Any = [{"role": "user", "content": "hi"}]
            client.chat.completions.create(model="gpt-4o", messages=messages, temperature=0.5)
            client.chat.completions.create(model="no-such-model", messages=messages)
    finally:
        instrumentor.uninstrument()
    known, unknown = sorted(rows(api, "spans"), key=lambda row: row["id"])
    assert (known["type"], known["model"], known["provider"]) == ("llm", "gpt-4o", "openai")
    tokens = known["usage"]
    assert tokens["prompt_tokens"] + tokens["completion_tokens"] == tokens["total_tokens"] > 0
    assert known["total_estimated_cost"] > 0
    assert known["metadata"]["gen_ai.request.temperature"] == 0.5
    assert "hi" in json.dumps(known["input"])
    assert "hello" in json.dumps(known["output"])
    assert "total_estimated_cost" not in unknown
    assert unknown["_opik_eval"]["unpriced"] is True
    assert len(rows(api, "traces")) == 2


def test_ids_of_opik_are_kept(api: Api) -> None:
    """Spans that carry ids of Opik keep them, and make no trace of their own."""
    trace, outer, inner = new_id(), new_id(), new_id()
    api.trace(id=trace, name="made by the SDK")
    ids = {"opik.trace_id": trace, "opik.parent_span_id": outer, "opik.span_id": inner}
    send(api, span(b"a", **ids), span(b"b", parent=b"a", **{"opik.trace_id": trace}))
    (found,) = rows(api, "traces")
    assert (found["id"], found["name"]) == (trace, "made by the SDK")
    spans = named(api)
    assert (spans["a"]["id"], spans["a"]["parent_span_id"]) == (inner, outer)
    assert spans["b"]["parent_span_id"] == inner


def test_one_trace_in_many_requests(api: Api) -> None:
    """A trace keeps its id whatever comes first, and is there before its root is."""
    send(api, span(b"c", parent=b"r", begin=2_000, **{"thread_id": "t"}))
    (before,) = rows(api, "traces")
    send(api, span(b"d", parent=b"r", begin=1_000))
    send(api, span(b"r", begin=500))
    (trace,) = rows(api, "traces")
    assert trace["id"] == before["id"]
    assert (trace["name"], trace["thread_id"], trace["span_count"]) == ("r", "t", 3)
    assert time_of(trace["id"]).timestamp() == 2.0
    send(api, span(b"c", parent=b"r", begin=2_000))
    assert len(rows(api, "spans")) == 3, "sent again is the same span"


def test_spans_that_are_none_are_explained(api: Api) -> None:
    """Spans with wrong ids are counted in the answer; the others are taken."""
    nameless = span(b"f")
    nameless.span_id = b"\0" * 8
    wrong = span(b"g", **{"opik.span_id": "7"})
    answer = ExportTraceServiceResponse.FromString(send(api, span(b"ok"), nameless, wrong).content)
    assert answer.partial_success.rejected_spans == 2
    assert "span_id must be 8 bytes" in answer.partial_success.error_message
    assert list(named(api)) == ["ok"]


def test_an_error_without_exception(api: Api) -> None:
    """A status that says error is an error; one that says ok is none."""
    bad, good = span(b"bad"), span(b"good")
    bad.status.code, bad.status.message = 2, "went wrong"
    good.status.code = 1
    send(api, bad, good)
    spans = named(api)
    assert spans["bad"]["error_info"]["message"] == "went wrong"
    assert "error_info" not in spans["good"]


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"\xff\xff", PROTOBUF, 400),
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "zz"}]}]}]}', None, 400),
        (b'{"resourceSpans": 7}', None, 400),
        (b'{"resourceSpans": [{"scopeSpans": [{"spans": [7]}]}]}', None, 400),
        (b"\xe9", "application/json", 400),
        (b"[" * 100_000, "application/json", 400),
        (b"x", "text/plain", 415),
        (b"", PROTOBUF, 200),
        (b"{}", "application/json; charset=utf-8", 200),
    ],
)
def test_bodies_that_are_none(api: Api, content: bytes, kind: str | None, status: int) -> None:
    """What is no OTLP is a 4xx that says why."""
    headers = {"content-type": kind or "application/json"}
    reply = api.send("POST", PATH, content=content, headers=headers)
    assert reply.status_code == status, reply.text
    if status >= 400:
        assert reply.json()["details"]
    packed = {**headers, "content-encoding": "gzip"}
    again = api.send("POST", PATH, content=gzip.compress(content), headers=packed)
    assert again.status_code == status


@pytest.mark.parametrize(
    ("attributes", "field", "value"),
    [
        ({"gen_ai.request.model": "a", "gen_ai.response.model": "b"}, "model", "b"),
        ({"llm.model_name": "m"}, "model", "m"),
        ({"gen_ai.system": "openai"}, "provider", "openai"),
        ({"gen_ai.provider.name": "x", "llm.provider": "y"}, "provider", "x"),
        ({"gen_ai.usage.input_tokens": 2}, "usage", {"prompt_tokens": 2}),
        (
            {"llm.token_count.prompt": 2, "llm.token_count.completion": 3},
            "usage",
            {"prompt_tokens": 2, "completion_tokens": 3, "total_tokens": 5},
        ),
        (
            {"usage": {"input_tokens": 1, "total": 2}},
            "usage",
            {"prompt_tokens": 1, "total_tokens": 2},
        ),
        ({"gen_ai.usage.cost": 0.5}, "metadata", {"gen_ai.usage.cost": 0.5}),
        ({"gen_ai.prompt.0.content": "p"}, "input", {"gen_ai.prompt.0.content": "p"}),
        ({"gen_ai.request.top_p": 1}, "input", {"gen_ai.request.top_p": 1}),
        ({"gen_ai.request.temperature": 1}, "metadata", {"gen_ai.request.temperature": 1}),
        ({"http.method": "GET"}, "input", {"http.method": "GET"}),
        ({"gen_ai.completion.0.content": "c"}, "output", {"gen_ai.completion.0.content": "c"}),
        ({"gen_ai.response.id": "i"}, "metadata", {"gen_ai.response.id": "i"}),
        ({"output.value": "o"}, "output", {"output.value": "o"}),
        ({"tool.parameters": {"a": 1}}, "input", {"tool.parameters": {"a": 1}}),
        ({"tool.parameters": {}}, "type", SpanType.TOOL),
        ({"tool.output": 1}, "output", {"tool.output": 1}),
        ({"opik.metadata": {"a": 1}, "opik.metadata.b": 2}, "metadata", {"a": 1, "b": 2}),
        ({"gen_ai.conversation.id": "t"}, "thread_id", "t"),
        ({"opik.tags": "a, b,"}, "tags", ["a", "b"]),
        ({"opik.tags": '["a", "b"]'}, "tags", ["a", "b"]),
        ({"logfire.msg_template": "x"}, "input", {}),
        ({"openinference.span.kind": "GUARDRAIL", "model_name": "m"}, "type", SpanType.GUARDRAIL),
        ({"openinference.span.kind": "CHAIN"}, "type", SpanType.GENERAL),
        ({"model_name": "m", "tool.name": "t"}, "type", SpanType.LLM),
    ],
)
def test_where_attributes_go(attributes: Mapping[str, object], field: str, value: object) -> None:
    """Attributes go where the conventions of their makers say."""
    assert getattr(mapped(attributes), field) == value


def test_nothing_is_lost_of_attributes() -> None:
    """What no rule knows is input."""
    assert rule_for("some.thing").target == "input"
    assert parsed('"{\\"a\\": 1}"') == {"a": 1}
    assert parsed("[" * 100_000) == "[" * 100_000


NAMES = st.sampled_from(["input.value", "gen_ai.system", "gen_ai.usage.input_tokens", "x", "é"])
VALUES = st.one_of(
    st.text(max_size=10),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
)


@given(st.lists(st.tuples(NAMES, VALUES), max_size=4), st.binary(min_size=16, max_size=16))
def test_json_and_protobuf_say_the_same(
    attributes: list[tuple[str, object]], trace_id: bytes
) -> None:
    """The JSON of a request is read as the request."""
    message = request_of(span(b"s", trace=trace_id, **dict(attributes)))
    document = MessageToDict(message)
    (sent,) = document["resourceSpans"][0]["scopeSpans"][0]["spans"]
    sent |= {"traceId": trace_id.hex(), "spanId": b"s_______".hex()}
    read = from_json(json.dumps(document).encode())
    assert read == from_protobuf(message.SerializeToString()) == message


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    """Whatever comes is read or refused."""
    for read in (from_json, from_protobuf):
        with suppress(FrameworkError):
            read(data)


def span(
    name: bytes,
    parent: bytes = b"",
    trace: bytes = b"T" * 16,
    begin: int = 1_000,
    **attributes: Any,
) -> OtelSpan:
    """Return a span whose ids are its name, beginning at a millisecond."""
    made = OtelSpan(
        trace_id=trace,
        span_id=name.ljust(8, b"_"),
        parent_span_id=parent.ljust(8, b"_") if parent else b"",
        name=name.decode(),
        start_time_unix_nano=begin * 1_000_000,
        end_time_unix_nano=(begin + 1) * 1_000_000,
    )
    for key, value in attributes.items():
        kinds = {str: "string_value", bool: "bool_value", int: "int_value", float: "double_value"}
        setattr(made.attributes.add(key=key).value, kinds[type(value)], value)
    return made


def request_of(*spans: OtelSpan) -> ExportTraceServiceRequest:
    """Return a request with spans."""
    message = ExportTraceServiceRequest()
    message.resource_spans.add().scope_spans.add().spans.extend(spans)
    return message


def send(api: Api, *spans: OtelSpan) -> httpx.Response:
    """Send spans to the project, in a trace of the project's own."""
    for one in spans:
        if one.trace_id == b"T" * 16:
            one.trace_id = uuid.uuid5(uuid.NAMESPACE_URL, api.project).bytes
    headers = {"content-type": PROTOBUF, "PROJECTNAME": api.project}
    content = request_of(*spans).SerializeToString()
    reply = api.send("POST", PATH, content=content, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply
