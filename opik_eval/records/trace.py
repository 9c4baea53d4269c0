"""Traces, spans and attachments."""

from __future__ import annotations

from enum import StrEnum

from opik_eval.records.base import Record, UtcDatetime


class SpanType(StrEnum):
    """What a span stands for."""

    GENERAL = "general"
    TOOL = "tool"
    LLM = "llm"
    GUARDRAIL = "guardrail"


class ErrorInfo(Record):
    """An exception, as it is stored."""

    exception_type: str
    message: str | None = None
    traceback: str


class Trace(Record):
    """One run of an application: the root of a tree of spans.

    Only ``id`` is required, so that an update may arrive before the create.

    Attributes:
        ttft_seconds: Time to the first token of the answer.
        source: Who made it: ``sdk``, ``experiment``, ``optimization``, ``evaluator`` or
            ``playground``.
    """

    id: str
    project_name: str | None = None
    name: str | None = None
    start_time: UtcDatetime | None = None
    end_time: UtcDatetime | None = None
    input: object = None
    output: object = None
    metadata: dict[str, object] | None = None
    tags: tuple[str, ...] | None = None
    error_info: ErrorInfo | None = None
    thread_id: str | None = None
    ttft_seconds: float | None = None
    source: str | None = None
    environment: str | None = None
    last_updated_at: UtcDatetime | None = None


class Span(Record):
    """One step of a trace.

    Attributes:
        usage: Token counts by kind, such as ``prompt_tokens`` and ``total_tokens``.
        cost_usd: What the step cost; ``None`` = unknown, never 0 for unknown.
    """

    id: str
    trace_id: str
    parent_span_id: str | None = None
    project_name: str | None = None
    name: str | None = None
    type: SpanType | None = None
    start_time: UtcDatetime | None = None
    end_time: UtcDatetime | None = None
    input: object = None
    output: object = None
    metadata: dict[str, object] | None = None
    tags: tuple[str, ...] | None = None
    model: str | None = None
    provider: str | None = None
    usage: dict[str, int] | None = None
    cost_usd: float | None = None
    error_info: ErrorInfo | None = None
    ttft_seconds: float | None = None
    source: str | None = None
    environment: str | None = None
    last_updated_at: UtcDatetime | None = None


class Thread(Record):
    """A conversation: all traces of a project with one ``thread_id``. Derived, never written."""

    id: str
    project_name: str
    start_time: UtcDatetime | None = None
    end_time: UtcDatetime | None = None
    first_message: object = None
    last_message: object = None
    number_of_messages: int = 0
    duration_seconds: float | None = None


class Attachment(Record):
    """A file that belongs to a trace or span; the bytes are stored by content hash.

    Attributes:
        entity_type: ``trace`` or ``span``.
        sha256: Hash of the bytes, 64 hex digits.
    """

    id: str
    entity_type: str
    entity_id: str
    file_name: str
    mime_type: str
    sha256: str
    size_bytes: int
    created_at: UtcDatetime | None = None
