"""Contract of ``write``: upserts, order of arrival, atomicity, errors."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from itertools import permutations
from threading import Thread as Worker
from typing import cast

import pytest

from opik_eval.errors import ConfigError, ConflictError, UnavailableError
from opik_eval.ids import new_id
from opik_eval.records import (
    Columns,
    Dataset,
    DatasetItem,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Span,
    SpanType,
    Trace,
)
from opik_eval.storage.base import Storage, Writable
from opik_eval.testing.storage_cases import (
    StorageCase,
    add_dataset,
    contents,
    day,
    ids,
    item,
    score,
)


class WriteContract(StorageCase):
    """Writes are idempotent, merge field by field in any order, and are atomic."""

    def test_every_type_comes_back_as_it_was_written(self, storage: Storage) -> None:
        """A record of every writable type is read back equal, also by another process."""
        trace = Trace(id=new_id(), name="t", input={"a": [1, None]}, start_time=day(0))
        span = Span(id=new_id(), trace_id=trace.id, type=SpanType.LLM, usage={"total_tokens": 3})
        given = FeedbackScore(entity_id=trace.id, name="s", value=0.5, reason="r", author="me")
        dataset = Dataset(id=new_id(), name="d", tags=("x",), created_at=day(1))
        experiment = Experiment(
            id=new_id(), name="e", config={"k": 1.5}, experiment_scores={"m": 2}
        )
        done = ExperimentItem(
            id=new_id(), experiment_id=experiment.id, dataset_item_id="i", output=1
        )
        prompt = Prompt(id=new_id(), name="p", template_structure="chat")
        version = PromptVersion(
            id=new_id(), prompt_id=prompt.id, commit="c", number=1, template="{{x}}", type="jinja2"
        )
        run = Optimization(
            id=new_id(), name="o", metadata={"a": {"b": "c"}}, last_updated_at=day(2)
        )
        project = Project(id=new_id(), name="P", description="d")
        storage.write(
            [trace, span, given, dataset, experiment, done, prompt, version, run, project]
        )
        seen = self.reopen(storage)
        assert seen.find_trace(trace.id) == trace
        assert seen.find_span(span.id) == span
        assert list(seen.list_feedback_scores("trace")) == [given]
        assert seen.find_dataset("d") == dataset
        assert seen.find_experiment(experiment.id) == experiment
        assert list(seen.list_experiment_items(experiment.id)) == [done]
        assert seen.find_prompt("p") == prompt
        assert list(seen.list_prompt_versions(prompt.id)) == [version]
        assert seen.find_optimization(run.id) == run
        assert seen.find_project("p") == project

    def test_keys_keep_their_order(self, storage: Storage) -> None:
        """Objects of users come back with their keys in the order in which they were written."""
        given = {"zeta": 1, "alpha": {"y": [{"q": 1, "a": 2}], "b": None}, "10": "x", "9": "y"}
        trace = Trace(id=new_id(), input=given, output=[given], metadata=given)
        storage.write([trace])
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("i", **given)])
        seen = self.reopen(storage)
        (found,) = seen.list_traces()
        (kept,) = contents(seen, dataset_id)
        written = [json.dumps(value) for value in (given, [given], given, given)]
        read = (found.input, found.output, found.metadata, kept)
        assert [json.dumps(value) for value in read] == written

    def test_writing_again_changes_nothing(self, storage: Storage) -> None:
        """A repeated write leaves one record, with the same content."""
        trace = Trace(id=new_id(), name="t", last_updated_at=day(0))
        given = score(trace.id)
        storage.write([trace, given])
        storage.write([trace, trace, given])
        assert list(storage.list_traces()) == [trace]
        assert list(storage.list_feedback_scores("trace")) == [given]

    @pytest.mark.parametrize("order", list(permutations(range(4))))
    def test_any_order_of_arrival_gives_one_result(
        self, storage: Storage, order: tuple[int, ...]
    ) -> None:
        """Partial writes of one trace merge by the time of each field, however they arrive."""
        trace_id = new_id()
        writes = [
            Trace(id=trace_id, name="first", input="in", last_updated_at=day(0)),
            Trace(id=trace_id, name="second", tags=("a",), last_updated_at=day(1)),
            Trace(id=trace_id, output="out", last_updated_at=day(2)),
            Trace(id=trace_id, tags=("b",), project_name="P", last_updated_at=day(0.5)),
        ]
        for position in order:
            storage.write([writes[position]])
        assert storage.find_trace(trace_id) == Trace(
            id=trace_id,
            name="second",
            input="in",
            output="out",
            tags=("a",),
            project_name="P",
            last_updated_at=day(2),
        )

    @pytest.mark.parametrize("order", list(permutations(range(3))))
    def test_equal_times_do_not_let_the_order_decide(
        self, storage: Storage, order: tuple[int, ...]
    ) -> None:
        """Writes of the same time end in the same record in every order."""
        run_id = new_id()
        names = ["b", "c", "a"]
        for position in order:
            storage.write([Optimization(id=run_id, name=names[position], last_updated_at=day(0))])
        found = storage.find_optimization(run_id)
        assert found is not None
        assert found.name == "c"

    def test_one_batch_may_hold_several_writes_of_a_record(self, storage: Storage) -> None:
        """Those of one call merge with each other and with what is stored."""
        storage.write([Trace(id="t", name="n")])
        storage.write([Trace(id="t", input=1), Trace(id="u"), Trace(id="t", output=2, name="m")])
        assert storage.find_trace("t") == Trace(id="t", name="m", input=1, output=2)

    def test_without_times_the_later_arrival_wins(self, storage: Storage) -> None:
        """Of writes without last_updated_at the last one counts, also within one call."""
        first, second = ids(2)
        storage.write([Trace(id=first, name="z"), Trace(id=first, name="a")])
        storage.write([Trace(id=second, name="z", input=1)])
        storage.write([Trace(id=second, name="a")])
        assert [(t.name, t.input) for t in storage.list_traces()] == [("a", None), ("a", 1)]

    def test_an_older_write_without_news_changes_nothing(self, storage: Storage) -> None:
        """A write that arrives late fills only the fields that nothing newer named."""
        experiment = Experiment(id=new_id(), status="completed", last_updated_at=day(2))
        storage.write([experiment])
        storage.write([Experiment(id=experiment.id, status="running", last_updated_at=day(1))])
        storage.write([Experiment(id=experiment.id, name="late", last_updated_at=day(0))])
        assert storage.find_experiment(experiment.id) == experiment.model_copy(
            update={"name": "late"}
        )

    def test_defaults_that_nobody_set_say_nothing(self, storage: Storage) -> None:
        """An update that leaves a field at its default does not reset it."""
        version = PromptVersion(
            id=new_id(), prompt_id="p", commit="c", number=1, template="t", type="jinja2"
        )
        storage.write([version])
        storage.write([PromptVersion(**{**_required(version), "tags": ("new",)})])
        (found,) = storage.list_prompt_versions("p")
        assert (found.type, found.tags) == ("jinja2", ("new",))

    def test_a_feedback_score_is_replaced_as_a_whole(self, storage: Storage) -> None:
        """A newer score takes the older one's reason with it; an older one is ignored."""
        newer = FeedbackScore(entity_id="t", name="n", value=1, last_updated_at=day(1))
        older = FeedbackScore(entity_id="t", name="n", value=0, reason="no", last_updated_at=day(0))
        for write in (older, newer, older):
            storage.write([write])
        assert list(storage.list_feedback_scores("trace")) == [newer]

    def test_a_conflict_leaves_nothing_behind(self, storage: Storage) -> None:
        """A name that is taken refuses the whole write, in whichever call the other one came."""
        storage.write([Dataset(id="d1", name="taken"), Prompt(id="p1", name="taken")])
        clashes: list[list[Writable]] = [
            [Dataset(id="d2", name="taken")],
            [Prompt(id="p2", name="taken")],
            [Dataset(id="d3", name="new"), Dataset(id="d4", name="new")],
            [Prompt(id="p3", name="new"), Prompt(id="p4", name="new")],
        ]
        for clash in clashes:
            trace = Trace(id=new_id(), project_name="other")
            with pytest.raises(ConflictError):
                storage.write([trace, *clash, score(trace.id)])
            assert storage.find_trace(trace.id) is None
        assert [d.id for d in storage.list_datasets()] == ["d1"]
        assert [p.id for p in storage.list_prompts()] == ["p1"]
        assert list(storage.list_projects()) == []
        assert list(storage.list_feedback_scores("trace")) == []

    def test_a_name_is_free_after_renaming_and_deleting(self, storage: Storage) -> None:
        """A dataset's old name can be taken by another one."""
        storage.write([Dataset(id="d1", name="a")])
        storage.write([Dataset(id="d1", name="b")])
        storage.write([Dataset(id="d2", name="a")])
        storage.delete_dataset("d1")
        storage.write([Dataset(id="d3", name="b")])
        assert [(d.id, d.name) for d in storage.list_datasets()] == [("d2", "a"), ("d3", "b")]

    def test_a_failing_source_of_records_writes_nothing(self, storage: Storage) -> None:
        """If the iterable raises, none of its records are kept."""
        trace_id = new_id()

        def records() -> Iterator[Trace]:
            yield Trace(id=trace_id)
            raise RuntimeError("source broke")

        with pytest.raises(RuntimeError, match="source broke"):
            storage.write(records())
        assert storage.find_trace(trace_id) is None

    def test_values_are_the_stores_own(self, storage: Storage) -> None:
        """Who changes a value after it was written, however deep inside, changes nothing stored."""
        given: list[list[int]] = [[1], [1], [1]]
        in_record, in_columns, in_item = given
        scores = [{"name": "s", "value": 1.0, "metadata": {"a": in_columns}}]
        columns = {"id": ["e"], "experiment_id": ["x"], "dataset_item_id": ["i"]}
        storage.write(
            [
                Dataset(id="d", name="d"),
                Trace(id="t", input={"a": in_record}),
                Columns(
                    ExperimentItem, {**columns, "output": [{"a": in_columns}], "scores": [scores]}
                ),
            ]
        )
        storage.change_items("d", upsert=[DatasetItem(id="i", data={"a": in_item})])
        for value in given:
            value.append(2)
        assert _lists_in(storage) == [[1], [1], [1], [1]]

    def test_items_are_not_written_like_records(self, storage: Storage) -> None:
        """A record of a type that write does not take is refused, and nothing is written."""
        trace_id = new_id()
        columns = Columns(DatasetItem, {"id": ["i"], "data": [{}]})
        for refused in (DatasetItem(id="i", data={}), columns):
            with pytest.raises(ConfigError, match="does not take records of type DatasetItem"):
                storage.write([Trace(id=trace_id), refused])  # type: ignore[list-item]
        assert storage.find_trace(trace_id) is None


class LifecycleContract(StorageCase):
    """A storage serves many threads, tells the truth about delivery and can be closed."""

    def test_flush_reports_no_loss(self, storage: Storage) -> None:
        """After writes, flush says that everything is delivered."""
        storage.write([Trace(id=new_id())])
        report = storage.flush(timeout_seconds=10)
        assert report.complete
        assert report.delivered >= 1

    def test_threads_write_and_read_at_once(self, storage: Storage) -> None:
        """Concurrent writers of one record and of many lose nothing; readers see whole records."""
        shared, failures = new_id(), list[BaseException]()
        fields = ("name", "input", "output", "thread_id", "source", "environment")

        def work(field: str) -> None:
            try:
                for number in range(20):
                    mine = Trace(id=new_id(), name=field, project_name=field)
                    storage.write([mine, score(mine.id, value=number)])
                    assert storage.find_trace(mine.id) == mine
                storage.write([Trace.model_validate({"id": shared, field: field})])
            except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
                failures.append(error)

        workers = [Worker(target=work, args=(field,)) for field in fields]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not failures
        assert len(list(storage.list_traces())) == 20 * len(fields) + 1
        assert len(list(storage.list_feedback_scores("trace"))) == 20 * len(fields)
        assert storage.find_trace(shared) == Trace(id=shared, **{f: f for f in fields})

    def test_threads_change_one_dataset(self, storage: Storage) -> None:
        """Concurrent changes of one dataset each make their own version."""
        dataset_id = add_dataset(storage)
        failures = list[BaseException]()

        def work(name: str) -> None:
            try:
                for number in range(5):
                    storage.change_items(dataset_id, upsert=[item(new_id(), who=name, n=number)])
            except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
                failures.append(error)

        workers = [Worker(target=work, args=(name,)) for name in "abcd"]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        assert not failures
        assert [v.number for v in storage.list_dataset_versions(dataset_id)] == list(range(1, 21))
        assert len(list(storage.list_dataset_items(dataset_id))) == 20

    def test_a_closed_storage_refuses_use(self, storage: Storage) -> None:
        """After close, reads, writes and changes raise UnavailableError; closing again is fine."""
        dataset_id = add_dataset(storage)
        storage.close()
        storage.close()
        uses: list[Callable[[], object]] = [
            lambda: storage.write([Trace(id="t")]),
            lambda: storage.find_trace("t"),
            lambda: list(storage.list_traces()),
            lambda: storage.change_items(dataset_id, delete="all"),
            lambda: storage.read_cached("k"),
            lambda: storage.write_cached("k", b""),
            storage.flush,
            lambda: storage.delete_traces(["t"]),
        ]
        for use in uses:
            with pytest.raises(UnavailableError):
                use()

    def test_the_location_holds_no_secret_and_is_a_text(self, storage: Storage) -> None:
        """The location is what open_storage takes."""
        assert storage.location.startswith(("memory:", "file:", "http", "postgresql:"))

    def test_cached_values_are_kept_and_replaced(self, storage: Storage) -> None:
        """A cached value is read back by its key; writing the key again replaces it."""
        storage.write_cached("k", b"\x00one")
        storage.write_cached("k", b"\xfftwo")
        seen = self.reopen(storage)
        assert seen.read_cached("k") == b"\xfftwo"
        assert seen.read_cached("other") is None


def _required(version: PromptVersion) -> dict[str, object]:
    names = ("id", "prompt_id", "commit", "number", "template")
    return {name: getattr(version, name) for name in names}


def _lists_in(storage: Storage) -> list[list[int]]:
    """Return the values under "a" in a trace, an item's output and score, and a data item."""
    (trace,), (done,) = storage.list_traces(), storage.list_experiment_items("x")
    (kept,) = storage.list_dataset_items("d")
    assert done.scores is not None
    holders = (trace.input, done.output, done.scores[0].metadata, kept.data)
    return [cast("dict[str, list[int]]", holder)["a"] for holder in holders]
