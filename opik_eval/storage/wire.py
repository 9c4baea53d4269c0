"""Records as payloads of Opik's REST interface, and back.

For every type of record there is a function towards the wire and one back. A payload names the
fields that its record names and no others, so what comes back equals what went out; the read model
is the write model. User values stay as they are: ``serialization.dumps`` and ``loads`` are what
turns payloads into JSON and back without loss.

Names are Opik's: ``ttft`` and ``duration`` are in milliseconds, ``total_estimated_cost`` is
``cost_usd``, ``version_number`` is ``v3``, an experiment's ``metadata`` is its ``config``. Fields
that Opik's payloads do not have travel in the object ``_opik_eval``, beside the others or, for
experiments, inside ``metadata``, where a real Opik server keeps it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import cast

from opik_eval.errors import PayloadError
from opik_eval.records import (
    Attachment,
    Dataset,
    DatasetItem,
    DatasetVersion,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Record,
    ScoreSummary,
    Span,
    Thread,
    Trace,
)
from opik_eval.storage.wire_codec import EXTRAS, FILLED, Payload, wire_time
from opik_eval.storage.wire_tables import CODECS

__all__ = [
    "EXTRAS",
    "FILLED",
    "KINDS",
    "Payload",
    "attachment_from_wire",
    "attachment_to_wire",
    "dataset_from_wire",
    "dataset_item_from_wire",
    "dataset_item_to_wire",
    "dataset_to_wire",
    "dataset_version_from_wire",
    "dataset_version_to_wire",
    "experiment_from_wire",
    "experiment_item_from_wire",
    "experiment_item_to_wire",
    "experiment_to_wire",
    "feedback_score_from_wire",
    "feedback_score_to_wire",
    "kind_of",
    "optimization_from_wire",
    "optimization_to_wire",
    "project_from_wire",
    "project_to_wire",
    "prompt_from_wire",
    "prompt_to_wire",
    "prompt_version_from_wire",
    "prompt_version_to_wire",
    "record_from_wire",
    "record_to_wire",
    "score_summary_from_wire",
    "score_summary_to_wire",
    "span_from_wire",
    "span_to_wire",
    "thread_from_wire",
    "thread_to_wire",
    "trace_from_wire",
    "trace_to_wire",
    "wire_time",
]

KINDS: Mapping[str, type[Record]] = MappingProxyType(
    {codec.kind: kind for kind, codec in CODECS.items()}
)
"""The types of records by the name that ``record_to_wire`` gives them."""


def kind_of(record: Record) -> str:
    """Return the name of a record's type, such as ``dataset_item``."""
    return CODECS[type(record)].kind


def record_to_wire(record: Record) -> dict[str, object]:
    """Return the payload of a record of any type, with its type's name under ``kind``.

    Example:
        >>> record_to_wire(Trace(id="1", ttft_seconds=0.25))["ttft"]
        250.0
    """
    codec = CODECS[type(record)]
    return {"kind": codec.kind, **codec.to_wire(record)}


def record_from_wire(payload: Payload) -> Record:
    """Return the record of a payload that names its ``kind``.

    Raises:
        PayloadError: The kind is unknown, or a field is missing or wrong.
    """
    if not isinstance(payload, Mapping):
        raise PayloadError("record", [("", "it is not an object")])
    kind = payload.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise PayloadError("record", [("kind", f"{kind!r} is none of {', '.join(KINDS)}")])
    return CODECS[KINDS[kind]].from_wire(payload)


def project_to_wire(record: Project) -> dict[str, object]:
    """Return the payload of a project."""
    return CODECS[Project].to_wire(record)


def project_from_wire(payload: Payload, **given: object) -> Project:
    """Return the project of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("Project", CODECS[Project].from_wire(payload, given))


def trace_to_wire(record: Trace) -> dict[str, object]:
    """Return the payload of a trace."""
    return CODECS[Trace].to_wire(record)


def trace_from_wire(payload: Payload, **given: object) -> Trace:
    """Return the trace of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("Trace", CODECS[Trace].from_wire(payload, given))


def span_to_wire(record: Span) -> dict[str, object]:
    """Return the payload of a span."""
    return CODECS[Span].to_wire(record)


def span_from_wire(payload: Payload, **given: object) -> Span:
    """Return the span of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("Span", CODECS[Span].from_wire(payload, given))


def feedback_score_to_wire(record: FeedbackScore) -> dict[str, object]:
    """Return the payload of a feedback score."""
    return CODECS[FeedbackScore].to_wire(record)


def feedback_score_from_wire(payload: Payload, **given: object) -> FeedbackScore:
    """Return the feedback score of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("FeedbackScore", CODECS[FeedbackScore].from_wire(payload, given))


def dataset_to_wire(record: Dataset) -> dict[str, object]:
    """Return the payload of a dataset."""
    return CODECS[Dataset].to_wire(record)


def dataset_from_wire(payload: Payload, **given: object) -> Dataset:
    """Return the dataset of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("Dataset", CODECS[Dataset].from_wire(payload, given))


def dataset_item_to_wire(record: DatasetItem) -> dict[str, object]:
    """Return the payload of a dataset item."""
    return CODECS[DatasetItem].to_wire(record)


def dataset_item_from_wire(payload: Payload, **given: object) -> DatasetItem:
    """Return the dataset item of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("DatasetItem", CODECS[DatasetItem].from_wire(payload, given))


def dataset_version_to_wire(record: DatasetVersion) -> dict[str, object]:
    """Return the payload of a dataset version."""
    return CODECS[DatasetVersion].to_wire(record)


def dataset_version_from_wire(payload: Payload, **given: object) -> DatasetVersion:
    """Return the dataset version of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("DatasetVersion", CODECS[DatasetVersion].from_wire(payload, given))


def experiment_to_wire(record: Experiment) -> dict[str, object]:
    """Return the payload of an experiment."""
    return CODECS[Experiment].to_wire(record)


def experiment_from_wire(payload: Payload, **given: object) -> Experiment:
    """Return the experiment of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("Experiment", CODECS[Experiment].from_wire(payload, given))


def experiment_item_to_wire(record: ExperimentItem) -> dict[str, object]:
    """Return the payload of an experiment item."""
    return CODECS[ExperimentItem].to_wire(record)


def experiment_item_from_wire(payload: Payload, **given: object) -> ExperimentItem:
    """Return the experiment item of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("ExperimentItem", CODECS[ExperimentItem].from_wire(payload, given))


def prompt_to_wire(record: Prompt) -> dict[str, object]:
    """Return the payload of a prompt."""
    return CODECS[Prompt].to_wire(record)


def prompt_from_wire(payload: Payload, **given: object) -> Prompt:
    """Return the prompt of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("Prompt", CODECS[Prompt].from_wire(payload, given))


def prompt_version_to_wire(record: PromptVersion) -> dict[str, object]:
    """Return the payload of a prompt version."""
    return CODECS[PromptVersion].to_wire(record)


def prompt_version_from_wire(payload: Payload, **given: object) -> PromptVersion:
    """Return the prompt version of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("PromptVersion", CODECS[PromptVersion].from_wire(payload, given))


def optimization_to_wire(record: Optimization) -> dict[str, object]:
    """Return the payload of an optimization."""
    return CODECS[Optimization].to_wire(record)


def optimization_from_wire(payload: Payload, **given: object) -> Optimization:
    """Return the optimization of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("Optimization", CODECS[Optimization].from_wire(payload, given))


def attachment_to_wire(record: Attachment) -> dict[str, object]:
    """Return the payload of an attachment."""
    return CODECS[Attachment].to_wire(record)


def attachment_from_wire(payload: Payload, **given: object) -> Attachment:
    """Return the attachment of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("Attachment", CODECS[Attachment].from_wire(payload, given))


def thread_to_wire(record: Thread) -> dict[str, object]:
    """Return the payload of a thread."""
    return CODECS[Thread].to_wire(record)


def thread_from_wire(payload: Payload, **given: object) -> Thread:
    """Return the thread of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("Thread", CODECS[Thread].from_wire(payload, given))


def score_summary_to_wire(record: ScoreSummary) -> dict[str, object]:
    """Return the payload of a score summary."""
    return CODECS[ScoreSummary].to_wire(record)


def score_summary_from_wire(payload: Payload, **given: object) -> ScoreSummary:
    """Return the score summary of a payload; ``given`` fields win. Raises ``PayloadError``."""
    return cast("ScoreSummary", CODECS[ScoreSummary].from_wire(payload, given))
