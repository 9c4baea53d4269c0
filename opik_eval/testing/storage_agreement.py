"""Contract by comparison: a backend must answer as the memory backend does."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

import pytest

from opik_eval.errors import StorageError
from opik_eval.records import (
    Columns,
    Dataset,
    DatasetItem,
    ErrorInfo,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Record,
    Span,
    SpanType,
    Trace,
)
from opik_eval.storage.base import Storage, Writable
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.query import (
    FIELDS,
    OPERATORS,
    AllOf,
    AnyOf,
    Condition,
    Entity,
    FieldKind,
    Filter,
    Operator,
    date_text,
)
from opik_eval.testing.storage_cases import StorageCase, day

TEXTS = ("", "a", "A", "ab", "ß", "SS", "1", "1.0", "-2", "true", "null", "%", "_", "{}", "É", "é")
_SCALARS: tuple[object, ...] = (*TEXTS, None, True, False, 1, 1.0, -2, 0.5, 10**20, 1e300)
_KEYS = ("k", "0", "a.b", "K")
_PATHS = ("k", "0", '"a.b"', "K", "k.k", "k.0", "k.0.k", "0.0", "missing")
_ENTITY_IDS = ("1", "2", "3")

R = TypeVar("R", bound=Record)
Step = tuple[str, tuple[object, ...], dict[str, object]]
"""A call: name of the method, arguments, keywords."""


class AgreementContract(StorageCase):
    """Random histories and random filters give the answers of the memory backend."""

    @pytest.mark.parametrize("seed", range(12))
    def test_random_histories_agree(self, storage: Storage, seed: int) -> None:
        """After any writes, changes and deletes, every read agrees with the memory backend."""
        random, model = Random(seed), MemoryStorage()
        for _ in range(40):
            step = random_step(random)
            assert outcome(storage, step) == outcome(model, step)
        assert everything(self.reopen(storage)) == everything(model)

    @pytest.mark.parametrize("seed", range(6))
    def test_columns_are_written_like_their_records(self, storage: Storage, seed: int) -> None:
        """Scores and items in columns end as one by one they would, new ones and old ones."""
        random, model = Random(seed), MemoryStorage()
        for _ in range(3):
            trace = _random_trace(random)
            scores = [_random_score(random) for _ in range(20)]
            items = [_random_result(random) for _ in range(random.choice((1, 20)))]
            storage.write([in_columns(scores), trace, in_columns(items)])
            model.write([trace, *scores, *items])
        assert everything(self.reopen(storage)) == everything(model)

    @pytest.mark.parametrize("seed", range(6))
    def test_many_new_records_agree(self, storage: Storage, seed: int) -> None:
        """Whichever fields hundreds of new records leave empty, all of them come back."""
        random, model = Random(seed), MemoryStorage()
        for start in (0, 200):
            numbers = [str(n) for n in range(start, start + random.randint(30, 300))]
            traces = [_random_trace(random).model_copy(update={"id": n}) for n in numbers]
            items = [_random_result(random).model_copy(update={"id": n}) for n in numbers]
            scores = [_random_score(random).model_copy(update={"entity_id": n}) for n in numbers]
            storage.write([*traces, in_columns(items), in_columns(scores)])
            model.write([*traces, *items, *scores])
        assert everything(self.reopen(storage)) == everything(model)

    @pytest.mark.parametrize("seed", range(6))
    def test_random_filters_agree(self, storage: Storage, seed: int) -> None:
        """Any filter finds in the backend what it finds in memory."""
        random, model = Random(seed), MemoryStorage()
        records = [_random_record(random) for _ in range(60)]
        items = [_random_item(random, str(n)) for n in range(20)]
        for target in (storage, model):
            target.write(records)
            target.write([Dataset(id="d", name="d")])
            target.change_items("d", upsert=items, changed_at=day(9))
        for _ in range(150):
            for entity in ("trace", "span", "thread", "dataset_item"):
                where = random_filter(random, entity)
                assert (where, _select(storage, entity, where)) == (
                    where,
                    _select(model, entity, where),
                )


def in_columns(records: Sequence[R]) -> Columns[R]:
    """Return records of one type as columns."""
    said = [record.model_dump(exclude_unset=True, exclude_none=True) for record in records]
    if isinstance(records[0], FeedbackScore):
        said = [{"entity_type": "trace", **one} for one in said]
    names = {name: None for one in said for name in one}
    return Columns(type(records[0]), {name: [one.get(name) for one in said] for name in names})


def random_filter(random: Random, entity: Entity, depth: int = 2) -> Filter:
    """Return a filter over the fields of an entity; groups have two or three parts."""
    if depth == 0 or random.random() < 0.6:
        return _random_condition(random, entity)
    parts = tuple(random_filter(random, entity, depth - 1) for _ in range(random.randint(2, 3)))
    return random.choice((AllOf, AnyOf))(parts)


def random_json(random: Random, depth: int = 3) -> object:
    """Return a JSON value made of values that comparisons may trip over."""
    choice = random.random()
    if depth == 0 or choice < 0.5:
        return random.choice(_SCALARS)
    if choice < 0.7:
        return [random_json(random, depth - 1) for _ in range(random.randint(0, 2))]
    return {key: random_json(random, depth - 1) for key in random.sample(_KEYS, 2)}


def _random_condition(random: Random, entity: Entity) -> Condition:
    field, kind = random.choice(list(FIELDS[entity].items()))
    operator = random.choice(OPERATORS[kind])
    key = ""
    if kind == "dict":
        key = random.choice(("", *_PATHS))
    elif kind == "score":
        key = random.choice(("a", "b c"))
    elif field == "usage":
        key = random.choice(("total_tokens", "other"))
    return Condition(field, operator, _random_operand(random, kind, operator), key)


def _random_operand(
    random: Random, kind: FieldKind, operator: Operator
) -> str | float | tuple[str, ...] | None:
    if operator in ("is_empty", "is_not_empty"):
        return None
    if operator in ("in", "not_in"):
        return tuple(random.sample(TEXTS, random.randint(1, 3)))
    if kind in ("number", "score"):
        return random.choice((-2.0, 0.0, 0.5, 1.0, 2.0, 1500.0))
    return date_text(day(random.randint(0, 4))) if kind == "date" else random.choice(TEXTS)


def _random_record(random: Random) -> Writable:
    make = random.choice(
        (_random_trace, _random_trace, _random_span, _random_score, _random_result)
    )
    return make(random)


def _random_trace(random: Random) -> Trace:
    fields: dict[str, object] = {
        "project_name": random.choice(("p", "P", "q")),
        "name": random.choice(TEXTS),
        "input": random_json(random),
        "output": random_json(random),
        "metadata": {key: random_json(random) for key in _KEYS[:3]},
        "tags": tuple(random.sample(TEXTS, 2)),
        "thread_id": random.choice(("a", "b")),
        "environment": random.choice(TEXTS),
        "start_time": day(random.randint(0, 2)),
        "end_time": day(random.randint(2, 4)),
        "ttft_seconds": random.choice((0.5, 1.5)),
        "error_info": ErrorInfo(exception_type="E", traceback="t"),
        "last_updated_at": day(random.randint(0, 3)),
    }
    return Trace.model_validate({"id": random.choice(_ENTITY_IDS), **_some(random, fields)})


def _random_span(random: Random) -> Span:
    fields: dict[str, object] = {
        "project_name": random.choice(("p", "q")),
        "type": random.choice(list(SpanType)),
        "input": random_json(random),
        "metadata": {"k": random_json(random)},
        "model": random.choice(TEXTS),
        "usage": {"total_tokens": random.randint(0, 2)},
        "cost_usd": random.choice((0.5, 1, 2)),
        "last_updated_at": day(random.randint(0, 3)),
    }
    known = {"id": f"s{random.choice(_ENTITY_IDS)}", "trace_id": random.choice(_ENTITY_IDS)}
    return Span.model_validate({**known, **_some(random, fields)})


def _random_score(random: Random) -> FeedbackScore:
    entity, known = random.choice(
        (("trace", _ENTITY_IDS), ("span", ("s1", "s2")), ("thread", ("a", "b")))
    )
    fields: dict[str, object] = {
        "author": "ann",
        "reason": random.choice(TEXTS),
        "source": "ui",
        "project_name": random.choice(("p", "Q")),
        "last_updated_at": day(random.randint(0, 3)),
    }
    return FeedbackScore.model_validate(
        {
            "entity_type": entity,
            "entity_id": random.choice(known),
            "name": random.choice(("a", "b c")),
            "value": random.choice((-2, 0.5, 1)),
            **_some(random, fields),
        }
    )


def _random_result(random: Random) -> ExperimentItem:
    fields: dict[str, object] = {
        "trace_id": random.choice(_ENTITY_IDS),
        "output": random_json(random),
        "scores": (ItemScore(name="a", value=random.choice((None, 1.0))),),
        "trial_id": random.randint(0, 2),
        "last_updated_at": day(random.randint(0, 3)),
    }
    known = {
        "id": random.choice("xyz"),
        "experiment_id": random.choice("ef"),
        "dataset_item_id": "i",
    }
    return ExperimentItem.model_validate({**known, **_some(random, fields)})


def _random_item(random: Random, item_id: str) -> DatasetItem:
    fields: dict[str, object] = {
        "description": random.choice(TEXTS),
        "tags": tuple(random.sample(TEXTS, 2)),
        "source": random.choice(TEXTS),
        "created_at": day(random.randint(0, 3)),
    }
    data = {key: random_json(random, 2) for key in random.sample(_KEYS, 2)}
    return DatasetItem.model_validate({"id": item_id, "data": data, **_some(random, fields)})


def _some(random: Random, fields: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in fields.items() if random.random() < 0.6}


def random_step(random: Random) -> Step:
    """Return a write, change or delete."""
    name = random.choice(("d", "e"))
    steps: list[Step] = [
        ("write", ([_random_record(random) for _ in range(random.randint(1, 8))],), {}),
        ("write", ([Dataset(id=random.choice("de"), name=name)],), {}),
        ("write", ([Experiment(id="e", name=name, status=random.choice(TEXTS))],), {}),
        (
            "change_items",
            (random.choice("de"),),
            {
                "upsert": [_random_item(random, random.choice("12345")) for _ in range(3)],
                "delete": random.choice(("all", [], ["1"], ["2", "3"])),
                "skip_known": random.random() < 0.5,
                "changed_at": day(random.randint(5, 9)),
            },
        ),
    ]
    if random.random() < 0.15:
        steps = [
            ("delete_traces", ([random.choice(_ENTITY_IDS)],), {}),
            ("delete_dataset", (random.choice("de"),), {}),
            ("delete_experiments", ([random.choice("ef")],), {}),
            ("delete_feedback_scores", ("trace", "1", ["a"]), {}),
            ("delete_feedback_scores", ("thread", "a", ["a"]), {"project_name": "P"}),
        ]
    return random.choice(steps)


def outcome(storage: Storage, step: Step) -> object:
    """Return what a step gives, or the type of the error that it raises."""
    name, arguments, keywords = step
    try:
        return getattr(storage, name)(*arguments, **keywords)
    except StorageError as error:
        return type(error)


def everything(storage: Storage) -> dict[str, object]:
    """Return what all the lists of a storage say, prompts and optimizations aside."""
    datasets = list(storage.list_datasets())
    versions = {d.id: list(storage.list_dataset_versions(d.id)) for d in datasets}
    return {
        "projects": list(storage.list_projects()),
        "traces": list(storage.list_traces()),
        "traces of p": list(storage.list_traces(project_name="p", newest_first=True)),
        "spans": list(storage.list_spans()),
        "spans of two": list(storage.list_spans(trace_ids=["2", "1"])),
        "threads": list(storage.list_threads()),
        "scores": [list(storage.list_feedback_scores(e)) for e in ("trace", "span", "thread")],
        "scores of q": [
            list(storage.list_feedback_scores(e, project_name="q"))
            for e in ("trace", "span", "thread")
        ],
        "datasets": datasets,
        "versions": versions,
        "items": {
            (dataset_id, version.number): list(
                storage.list_dataset_items(dataset_id, version=version.number)
            )
            for dataset_id, known in versions.items()
            for version in known
        },
        "experiments": list(storage.list_experiments()),
        "experiment items": [list(storage.list_experiment_items(e)) for e in ("e", "f")],
        "summaries": storage.summarize_scores(["f", "e"]),
    }


def _select(storage: Storage, entity: str, where: Filter) -> list[str]:
    if entity == "trace":
        return [trace.id for trace in storage.list_traces(where=where)]
    if entity == "span":
        return [span.id for span in storage.list_spans(where=where)]
    if entity == "thread":
        return [f"{t.project_name}/{t.id}" for t in storage.list_threads(where=where)]
    return [item.id for item in storage.list_dataset_items("d", where=where)]
