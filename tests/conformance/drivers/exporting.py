"""Spans of OpenTelemetry's own exporter, plain and compressed."""

import os

from driving import PROJECT, drive
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

ENDPOINT = f"{os.environ['OPIK_URL_OVERRIDE']}v1/private/otel/v1/traces"
CALL = {
    "gen_ai.system": "openai",
    "gen_ai.request.model": "gpt-4o-mini",
    "gen_ai.usage.input_tokens": 11,
    "gen_ai.usage.output_tokens": 7,
    "gen_ai.prompt": '[{"role": "user", "content": "Capital of France?"}]',
    "gen_ai.completion": "Paris",
    "gen_ai.conversation.id": "thread 1",
}


def export(name, compression):
    exporter = OTLPSpanExporter(ENDPOINT, headers={"projectName": PROJECT}, compression=compression)
    provider = TracerProvider()
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("conformance")
    for number in range(100):
        with tracer.start_as_current_span(f"{name} {number}"):
            with tracer.start_as_current_span("call", attributes=CALL):
                pass
            with tracer.start_as_current_span("tool") as tool:
                tool.set_status(trace.Status(trace.StatusCode.ERROR, "broken"))
    assert provider.force_flush(30_000)
    provider.shutdown()


def flow(_):
    export("plain", Compression.NoCompression)
    export("compressed", Compression.Gzip)


if __name__ == "__main__":
    drive(flow)
