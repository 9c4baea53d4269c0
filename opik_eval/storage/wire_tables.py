"""How each type of record looks on the wire."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import TypeVar, cast

from opik_eval.records import (
    Attachment,
    Dataset,
    DatasetItem,
    DatasetVersion,
    ErrorInfo,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Record,
    ScoreSummary,
    Span,
    SpanType,
    Thread,
    Trace,
)
from opik_eval.storage.wire_codec import EXTRAS, Codec, Payload, Problems

R = TypeVar("R", bound=Record)
_ERROR_FIELDS = tuple(ErrorInfo.model_fields)
_SCORE_FIELDS = tuple(ItemScore.model_fields)
_LARGEST_SCORE = 1e9


def _error_to_wire(error: object) -> object:
    values = vars(error)
    return {name: values[name] for name in _ERROR_FIELDS if values[name] is not None}


def _error_from_wire(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    known = {name: value[name] for name in _ERROR_FIELDS if value.get(name) is not None}
    return {"traceback": "", **known}


def _object(value: object) -> object:
    """Return a value that must be an object; Opik's clients may send lists and texts as well."""
    return value if isinstance(value, Mapping) else {"value": value}


def _input(value: object) -> object:
    return value if isinstance(value, Mapping) else {"input": value}


def _lists(value: object) -> object:
    return list(cast("tuple[object, ...]", value))


def _type_name(value: object) -> object:
    return value.value if isinstance(value, SpanType) else value


_TIMED = frozenset({"ttft_seconds"})
_TRACED = {"error_info": _error_to_wire, "tags": _lists}
_TRACED_BACK = {"error_info": _error_from_wire, "metadata": _object}

_TRACE = Codec(
    "trace",
    Trace,
    renamed={"ttft_seconds": "ttft"},
    milliseconds=_TIMED,
    encode=_TRACED,
    decode=_TRACED_BACK,
)
_SPAN = Codec(
    "span",
    Span,
    renamed={"ttft_seconds": "ttft", "cost_usd": "total_estimated_cost"},
    milliseconds=_TIMED,
    encode={**_TRACED, "type": _type_name},
    decode=_TRACED_BACK,
)


def _score_to_wire(wire: dict[str, object]) -> None:
    if wire.get("entity_type") == "thread":
        wire["thread_id"] = wire.pop("id")


def _score_from_wire(payload: Payload) -> Payload:
    if payload.get("thread_id") is None:
        return payload
    return {"entity_type": "thread", **payload, "id": payload["thread_id"]}


def _score_problems(values: Payload) -> Problems:
    value = float(cast("float", values["value"]))
    if not math.isfinite(value) or abs(value) >= _LARGEST_SCORE:
        yield "value", f"{value} is not a number between -1e9 and 1e9"
    for name, wire_name in (("name", "name"), ("entity_id", "id")):
        if not str(values[name]).strip():
            yield wire_name, "is empty"


_FEEDBACK_SCORE = Codec(
    "feedback_score",
    FeedbackScore,
    renamed={"entity_id": "id"},
    pack=_score_to_wire,
    unpack=_score_from_wire,
    check=_score_problems,
)
_DATASET_ITEM = Codec(
    "dataset_item",
    DatasetItem,
    extra=frozenset({"content_hash"}),
    encode={"tags": _lists, "evaluators": _lists},
)


def _version_from_wire(payload: Payload) -> Payload:
    if payload.get("number") is not None:
        return payload
    return {**payload, "number": _version_number(payload.get("version_name"))}


def _version_number(value: object) -> object:
    found = re.fullmatch(r"v(-?\d{1,18})", value) if isinstance(value, str) else None
    return int(found.group(1)) if found else value


def _version_name(value: object) -> object:
    return f"v{value}"


_DATASET_VERSION = Codec(
    "dataset_version",
    DatasetVersion,
    renamed={"name": "version_name"},
    unpack=_version_from_wire,
)


def _experiment_to_wire(wire: dict[str, object]) -> None:
    """Put configuration and state of the run into ``metadata``."""
    extras = cast("dict[str, object]", wire.pop(EXTRAS, {}))
    config = cast("Mapping[str, object] | None", wire.get("metadata"))
    if config is None and extras:
        extras["has_config"] = False
    if config is not None and EXTRAS in config:
        extras["config_key"] = config[EXTRAS]
    if config is not None or extras:
        wire["metadata"] = {**(config or {}), **({EXTRAS: extras} if extras else {})}


def _experiment_from_wire(payload: Payload) -> Payload:
    metadata = payload.get("metadata")
    extras = metadata.get(EXTRAS) if isinstance(metadata, Mapping) else None
    if not isinstance(metadata, Mapping) or not isinstance(extras, Mapping):
        return payload
    config = {name: value for name, value in metadata.items() if name != EXTRAS}
    if "config_key" in extras:
        config[EXTRAS] = extras["config_key"]
    own = payload.get(EXTRAS)
    return {
        **payload,
        "metadata": None if extras.get("has_config") is False else config,
        EXTRAS: {**extras, **(own if isinstance(own, Mapping) else {})},
    }


def _named_values(value: object) -> object:
    scores = cast("Mapping[str, float]", value)
    return [{"name": name, "value": number} for name, number in scores.items()]


def _values_by_name(value: object) -> object:
    if not isinstance(value, list):
        return value
    pairs = [
        (entry["name"], entry.get("value"))
        for entry in value
        if isinstance(entry, Mapping) and isinstance(entry.get("name"), str)
    ]
    return dict(pairs) if len(pairs) == len(value) else value


def _references(value: object) -> object:
    return [{"id": identifier} for identifier in cast("tuple[str, ...]", value)]


def _ids_of(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [entry.get("id") if isinstance(entry, Mapping) else entry for entry in value]


_EXPERIMENT = Codec(
    "experiment",
    Experiment,
    renamed={"config": "metadata", "prompt_version_ids": "prompt_versions"},
    extra=frozenset({"run"}),
    encode={
        "tags": _lists,
        "experiment_scores": _named_values,
        "prompt_version_ids": _references,
    },
    decode={
        "config": _object,
        "experiment_scores": _values_by_name,
        "prompt_version_ids": _ids_of,
    },
    pack=_experiment_to_wire,
    unpack=_experiment_from_wire,
)


def _item_scores_to_wire(value: object) -> object:
    return [
        {name: part for name, part in vars(score).items() if name in score.model_fields_set}
        for score in cast("tuple[ItemScore, ...]", value)
    ]


def _item_scores_from_wire(value: object) -> object:
    if not isinstance(value, list):
        return value
    return [
        {name: entry[name] for name in _SCORE_FIELDS if entry.get(name) is not None}
        if isinstance(entry, Mapping)
        else entry
        for entry in value
    ]


def _item_from_wire(payload: Payload) -> Payload:
    """Read, where our own scores are absent, those that a server found on the trace."""
    extras, found = payload.get(EXTRAS), payload.get("feedback_scores")
    if isinstance(extras, Mapping) or not isinstance(found, list):
        return payload
    return {**payload, EXTRAS: {"scores": found}}


_EXPERIMENT_ITEM = Codec(
    "experiment_item",
    ExperimentItem,
    renamed={"cost_usd": "total_estimated_cost"},
    extra=frozenset(
        {
            "trial_id",
            "resume_key",
            "error_info",
            "scores",
            "task_seconds",
            "scoring_seconds",
            "unpriced_calls",
        }
    ),
    encode={"error_info": _error_to_wire, "scores": _item_scores_to_wire},
    decode={
        "error_info": _error_from_wire,
        "scores": _item_scores_from_wire,
        "input": _input,
    },
    unpack=_item_from_wire,
)
_PROMPT_VERSION = Codec(
    "prompt_version",
    PromptVersion,
    renamed={"number": "version_number"},
    encode={"number": _version_name, "tags": _lists, "environments": _lists},
    decode={"number": _version_number, "metadata": _object},
)


def _tagged(kind: str, record: type[R]) -> Codec[R]:
    return Codec(kind, record, encode={"tags": _lists})


CODECS: Mapping[type[Record], Codec[Record]] = MappingProxyType(
    {
        codec.record: cast("Codec[Record]", codec)
        for codec in (
            Codec("project", Project),
            _TRACE,
            _SPAN,
            _FEEDBACK_SCORE,
            _tagged("dataset", Dataset),
            _DATASET_ITEM,
            _DATASET_VERSION,
            _EXPERIMENT,
            _EXPERIMENT_ITEM,
            _tagged("prompt", Prompt),
            _PROMPT_VERSION,
            Codec("optimization", Optimization, decode={"metadata": _object}),
            Codec("attachment", Attachment, renamed={"size_bytes": "file_size"}),
            Codec(
                "thread",
                Thread,
                renamed={"duration_seconds": "duration"},
                milliseconds=frozenset({"duration_seconds"}),
            ),
            Codec("score_summary", ScoreSummary, nullable=frozenset({"mean"})),
        )
    }
)
"""The codecs by type of record."""
