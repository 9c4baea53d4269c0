"""What the tests of tracing share."""

from __future__ import annotations

import pytest

from opik_eval.records import FeedbackScore, Span, Trace
from opik_eval.storage.memory import MemoryStorage
from opik_eval.tracing import tracer as tracer_module
from opik_eval.tracing.sink import Emitted, Upload
from opik_eval.tracing.tracer import Tracer, reset_tracing_to_config_default, set_tracing_active


class ListSink:
    """Keeps what it is given, sorted by kind."""

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.spans: list[Span] = []
        self.scores: list[FeedbackScore] = []
        self.uploads: list[Upload] = []

    def emit(self, record: Emitted) -> None:
        kinds = {Trace: self.traces, Span: self.spans, FeedbackScore: self.scores}
        kinds.get(type(record), self.uploads).append(record)

    def span(self, name: str) -> Span:
        (found,) = [span for span in self.spans if span.name == name]
        return found


class ListTracer(Tracer):
    """A tracer that stores nothing: what it is given is in ``got``."""

    def __init__(self, **options: str) -> None:
        super().__init__("memory:", **options)
        self.got = ListSink()

    def emit(self, record: Emitted) -> None:
        self.got.emit(record)


@pytest.fixture
def sink() -> ListSink:
    return ListSink()


@pytest.fixture
def got(monkeypatch: pytest.MonkeyPatch) -> ListSink:
    """Everything the process's tracer is given during the test."""
    tracer = ListTracer(project_name="tests")
    monkeypatch.setattr(tracer_module._process, "tracer", tracer)
    set_tracing_active(True)
    yield tracer.got
    reset_tracing_to_config_default()


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> MemoryStorage:
    """The store behind the process's tracer during the test."""
    storage = MemoryStorage()
    tracer = Tracer(storage, project_name="tests")
    monkeypatch.setattr(tracer_module._process, "tracer", tracer)
    set_tracing_active(True)
    yield storage
    tracer.close()
    reset_tracing_to_config_default()
