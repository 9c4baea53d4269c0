"""What traces and spans have in common while they run."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import ClassVar, Literal, cast

from opik_eval.errors import TracingError
from opik_eval.ids import new_id
from opik_eval.records import ErrorInfo, FeedbackScore, Span, SpanType, Trace, utc_now
from opik_eval.tracing.attachments import Attachment, extract_attachments, has_long_text
from opik_eval.tracing.capture import error_info_of, flat_usage, snapshot
from opik_eval.tracing.sink import Sink

_PAYLOADS = frozenset({"input", "output", "metadata"})
_merging = threading.RLock()
os.register_at_fork(
    before=_merging.acquire, after_in_parent=_merging.release, after_in_child=_merging.release
)


class RunningState:
    """What is known of a trace or span so far, and how more is said of it."""

    __slots__ = (
        "attachments",
        "end_time",
        "error_info",
        "feedback_scores",
        "id",
        "input",
        "is_plain",
        "metadata",
        "name",
        "output",
        "start_time",
        "tags",
        "ttft_seconds",
    )
    kind: ClassVar[Literal["trace", "span"]]
    texts: ClassVar[frozenset[str]]

    def __init__(
        self,
        name: str | None,
        id: str | None,
        start_time: datetime | None,
        *,
        starts_now: bool = True,
    ) -> None:
        # Id and times are ours, and all else is converted: the record needs no checks.
        self.is_plain = starts_now and id is None and start_time is None
        self.id = id or new_id()
        self.name = name
        self.start_time = start_time or (utc_now() if starts_now else None)
        self.end_time: datetime | None = None
        self.input: object = None
        self.output: object = None
        self.metadata: dict[str, object] | None = None
        self.tags: tuple[str, ...] | None = None
        self.error_info: ErrorInfo | None = None
        self.ttft_seconds: float | None = None
        self.feedback_scores: list[FeedbackScore] = []
        self.attachments: list[Attachment] = []

    def score(
        self,
        name: str,
        value: float,
        *,
        reason: str | None = None,
        category_name: str | None = None,
    ) -> None:
        """Put a feedback score on this trace or span."""
        scored = {"name": name, "value": value, "reason": reason, "category_name": category_name}
        self._say({"feedback_scores": [scored]})

    def fail(self, error: BaseException) -> None:
        """Record the exception that ended this trace or span, unless one is recorded."""
        if self.error_info is None:
            self.error_info = error_info_of(error)

    def fill_output(self, captured: object) -> None:
        """Take a captured output; what was set explicitly stays and wins."""
        self.output = captured if self.output is None else merged(captured, self.output)

    def store(self) -> None:
        """Emit what is known so far; ``end`` emits it again, finished."""
        self._emit()

    def _say(self, fields: Mapping[str, object]) -> None:
        """Change fields, and emit them where no later end does."""
        self._change(fields)
        if self._is_over():
            self._emit()

    def _is_over(self) -> bool:
        return self.end_time is not None

    def _emit(self) -> None:
        raise NotImplementedError

    def _change(self, fields: Mapping[str, object]) -> None:
        said = {field: value for field, value in fields.items() if value is not None}
        for field in _PAYLOADS & said.keys():
            said[field] = snapshot(said[field])
        if not isinstance(said.get("metadata", {}), dict):
            raise TypeError(f"metadata of a {self.kind} must be a mapping")
        # Concurrent updates of one trace merge: none of them is lost.
        with _merging:
            for field, value in said.items():
                self._set(field, value)

    def _set(self, field: str, value: object) -> None:
        if field in _PAYLOADS:
            setattr(self, field, merged(getattr(self, field), value))
        elif field == "tags":
            tags = tuple(map(str, cast("Iterable[object]", value)))
            self.tags = tuple(dict.fromkeys((self.tags or ()) + tags))
        elif field in self.texts:
            setattr(self, field, str(value))
        elif field in _CONVERSIONS and hasattr(self, field):
            setattr(self, field, _CONVERSIONS[field](value))
        elif field == "feedback_scores":
            scores = cast("Iterable[Mapping[str, object]]", value)
            self.feedback_scores.extend([self._feedback(score) for score in scores])
        elif field == "attachments":
            self.attachments.extend(cast("Iterable[Attachment]", value))
        else:
            raise TypeError(f"a {self.kind} has no field {field!r}")

    def _feedback(self, score: Mapping[str, object]) -> FeedbackScore:
        unknown = set(score) - {"name", "value", "reason", "category_name", "id"}
        if unknown or not {"name", "value"} <= set(score):
            raise TracingError(
                f"feedback score {dict(score)!r} of {self.kind} {self.name!r} is malformed",
                remedy="give it name and value, and optionally reason and category_name",
            )
        return FeedbackScore(
            entity_type=self.kind,
            entity_id=self.id,
            name=str(score["name"]),
            value=_number(score["value"]),
            reason=cast("str | None", score.get("reason")),
            category_name=cast("str | None", score.get("category_name")),
            last_updated_at=utc_now(),
        )

    def _emit_to(self, sink: Sink, record: Trace | Span, project_name: str | None) -> None:
        sink.emit(record)
        scores, self.feedback_scores = self.feedback_scores, []
        for score in scores:
            sink.emit(score.model_copy(update={"project_name": project_name}))
        attachments, self.attachments = self.attachments, []
        for attachment in attachments:
            sink.emit(attachment.upload(self.kind, self.id))

    def _extract_payloads(self) -> None:
        if has_long_text([self.input, self.output]):
            self.input, of_input = extract_attachments(self.input, prefix="input")
            self.output, of_output = extract_attachments(self.output, prefix="output")
            self.attachments += [*of_input, *of_output]

    def _finish(self, at: datetime | None) -> None:
        # The clock may be set back meanwhile; nothing ends before it starts.
        self.is_plain = self.is_plain and at is None
        moment = at or utc_now()
        self.end_time = max(moment, self.start_time) if self.start_time else moment


def merged(old: object, new: object) -> object:
    """Return nested mappings as one; where both have a value, the newer wins."""
    if not (isinstance(old, dict) and isinstance(new, dict)):
        return new
    return {**old, **{key: merged(old.get(key), value) for key, value in new.items()}}


def _span_type(value: object) -> SpanType:
    return value if isinstance(value, SpanType) else SpanType(str(value))


def _number(value: object) -> float:
    return float(cast("float", value))


def _error_info(value: object) -> ErrorInfo:
    return value if isinstance(value, ErrorInfo) else ErrorInfo.model_validate(value)


_CONVERSIONS: Mapping[str, Callable[[object], object]] = {
    "type": _span_type,
    "usage": flat_usage,
    "cost_usd": _number,
    "ttft_seconds": _number,
    "error_info": _error_info,
}
