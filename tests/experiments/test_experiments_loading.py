"""From the store: results and handles."""

import pytest

from opik_eval import records
from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.experiments import (
    Experiment,
    ExperimentItemReferences,
    compare,
    get_experiment,
    load_result,
)
from opik_eval.ids import new_id
from opik_eval.metrics.base import ScoreResult
from opik_eval.records import (
    Dataset,
    DatasetItem,
    ErrorInfo,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Trace,
)
from opik_eval.storage.memory import MemoryStorage


@pytest.fixture
def storage():
    """Return an empty store."""
    return MemoryStorage()


@pytest.fixture
def dataset(storage):
    """Return a stored dataset with three items and their ids, inserted in descending id order."""
    dataset = Dataset(id=new_id(), name="sums")
    storage.write([dataset])
    ids = sorted((new_id() for _ in range(3)), reverse=True)
    storage.change_items(
        dataset.id,
        upsert=[DatasetItem(id=i, data={"input": f"{n}+{n}"}) for n, i in enumerate(ids)],
    )
    return dataset, ids


def store_experiment(storage, dataset, **fields):
    """Write an experiment and return its record."""
    record = records.Experiment(
        id=new_id(), name="first", dataset_id=dataset.id, dataset_name=dataset.name, **fields
    )
    storage.write([record])
    return record


def item_of(experiment, item_id, trial=0, **fields):
    """Return an experiment item as the engine writes it."""
    return ExperimentItem(
        id=new_id(),
        experiment_id=experiment.id,
        dataset_item_id=item_id,
        trial_id=trial,
        resume_key=f"{item_id}/{trial}",
        **fields,
    )


def test_results_come_in_dataset_order_with_trials_side_by_side(storage, dataset):
    """Whatever the order of completion was."""
    dataset, ids = dataset
    experiment = store_experiment(storage, dataset)
    places = [(ids[2], 1), (ids[0], 1), (ids[2], 0), (ids[0], 0)]
    storage.write([item_of(experiment, i, t, output={"output": t}) for i, t in places])
    result = load_result(storage, "first")
    found = [(r.test_case.dataset_item_id, r.trial_id) for r in result.test_results]
    assert found == [(ids[0], 0), (ids[0], 1), (ids[2], 0), (ids[2], 1)]
    assert result.trial_count == 2
    assert result.test_results[0].test_case.dataset_item_content == {"id": ids[0], "input": "0+0"}
    assert result.storage_location == storage.location


def test_scores_errors_and_costs_survive_the_store(storage, dataset):
    """A failure is still a failure, an error still an error, after loading."""
    dataset, ids = dataset
    run = {
        "higher_is_better": {"m": False},
        "total_seconds": 2,
        "warnings": ["w"],
        "stop_reason": "x",
    }
    experiment = store_experiment(
        storage, dataset, status="stopped", run=run, experiment_scores={"total": 0.5}
    )
    error = ErrorInfo(exception_type="ValueError", message="no", traceback="...")
    scores = (ItemScore(name="m", value=0.25), ItemScore(name="n", scoring_failed=True))
    storage.write(
        [
            item_of(
                experiment, ids[0], output={"a": 1}, scores=scores, cost_usd=0.5, unpriced_calls=1
            ),
            item_of(experiment, ids[1], error_info=error),
        ]
    )
    result = load_result(storage, experiment.id)
    first, second = result.test_results
    assert first.score_results == [
        ScoreResult("m", 0.25),
        ScoreResult("n", None, scoring_failed=True),
    ]
    assert (first.cost_usd, first.unpriced_calls) == (0.5, 1)
    assert second.error == error
    assert second.test_case.task_output is None
    assert (result.status, result.stop_reason, result.total_seconds) == ("stopped", "x", 2.0)
    assert (result.warnings, result.higher_is_better) == (["w"], {"m": False})
    assert result.experiment_scores == [ScoreResult("total", 0.5)]


def test_the_newest_run_of_a_trial_counts(storage, dataset):
    """A trial that failed and was run again on resume appears once."""
    dataset, ids = dataset
    experiment = store_experiment(storage, dataset)
    error = ErrorInfo(exception_type="ValueError", traceback="...")
    failed = item_of(experiment, ids[0], error_info=error)
    again = item_of(experiment, ids[0], output={"output": "ok"})
    storage.write([again, failed])
    (result,) = load_result(storage, "first").test_results
    assert result.error is None


def test_scores_that_people_add_appear_beside_those_of_metrics(storage, dataset):
    """Several authors of one score count as their mean; metrics keep their own word."""
    dataset, ids = dataset
    experiment = store_experiment(storage, dataset)
    trace = Trace(id=new_id(), project_name="p")
    item = item_of(
        experiment,
        ids[0],
        trace_id=trace.id,
        output={"output": "x"},
        scores=(ItemScore(name="m", value=1.0),),
    )

    def given(name, value, author):
        return FeedbackScore(entity_id=trace.id, name=name, value=value, author=author)

    storage.write([trace, item, given("m", 1.0, "engine"), given("useful", 1.0, "ann")])
    storage.write([given("useful", 0.0, "bob")])
    (result,) = load_result(storage, "first").test_results
    assert result.score_results == [ScoreResult("m", 1.0), ScoreResult("useful", 0.5)]


def test_items_outside_the_dataset_come_last_with_their_stored_input(storage, dataset):
    """A deleted item, or a deleted dataset, does not lose its results."""
    dataset, ids = dataset
    experiment = store_experiment(storage, dataset)
    stray = new_id()
    storage.write(
        [
            item_of(experiment, stray, input={"input": "gone"}, output="plain text"),
            item_of(experiment, ids[1], output={"output": 1}),
        ]
    )
    first, last = load_result(storage, "first").test_results
    assert first.test_case.dataset_item_id == ids[1]
    assert last.test_case.dataset_item_content == {"input": "gone"}
    assert last.test_case.task_output == {"output": "plain text"}
    storage.delete_dataset(dataset.id)
    assert len(load_result(storage, "first").test_results) == 2


def test_a_store_that_refuses_a_deleted_dataset_still_gives_the_results(dataset):
    """Some servers answer 404 for the items of a deleted dataset."""

    class Strict(MemoryStorage):
        def list_dataset_items(self, dataset_id, *, version=None, where=None):
            raise NotFoundError(f"no dataset {dataset_id}")

    storage = Strict()
    experiment = store_experiment(storage, dataset[0])
    storage.write([item_of(experiment, "i", input={"q": 1}, output={"output": 1})])
    (result,) = load_result(storage, "first").test_results
    assert result.test_case.dataset_item_content == {"q": 1}


def test_experiments_without_dataset_load(storage):
    """An experiment that names no dataset has results all the same."""
    experiment = records.Experiment(id=new_id(), name="bare")
    storage.write([experiment, item_of(experiment, "i", input={"q": 1}, output={"output": 1})])
    (result,) = load_result(storage, "bare").test_results
    assert result.test_case.dataset_item_content == {"q": 1}


def test_contents_are_those_of_the_version_that_was_evaluated(storage, dataset):
    """Later edits of the dataset do not change old results."""
    dataset, ids = dataset
    version = list(storage.list_dataset_versions(dataset.id))[-1]
    experiment = store_experiment(storage, dataset, dataset_version_id=version.id)
    storage.write([item_of(experiment, ids[0], output={"output": 1})])
    storage.change_items(dataset.id, upsert=[DatasetItem(id=ids[0], data={"input": "edited"})])
    (result,) = load_result(storage, "first").test_results
    assert result.test_case.dataset_item_content["input"] == "0+0"


def test_unknown_and_ambiguous_names_are_refused(storage, dataset):
    """A name must mean one experiment; the error lists the ids."""
    with pytest.raises(NotFoundError, match="'first'"):
        get_experiment(storage, "first")
    one = store_experiment(storage, dataset[0])
    assert get_experiment(storage, "first").id == one.id
    two = store_experiment(storage, dataset[0])
    with pytest.raises(ConfigError, match=f"{two.id}, {one.id}"):
        get_experiment(storage, "first")


def test_stored_experiments_can_be_compared(storage, dataset):
    """compare takes ids and names, too."""
    dataset, ids = dataset
    one, two = (store_experiment(storage, dataset) for _ in range(2))
    for experiment, value in ((one, 0.0), (two, 1.0)):
        scores = (ItemScore(name="m", value=value),)
        storage.write([item_of(experiment, i, output={"o": 1}, scores=scores) for i in ids])
    row = compare(one.id, two.id, storage=storage).metrics["m"]
    assert (row.paired.wins, row.verdict) == (3, "insufficient evidence")


def test_handle_reads_the_record(storage, dataset):
    """The handle's properties are those of the stored experiment."""
    record = store_experiment(storage, dataset[0], tags=("t",), project_name="p")
    handle = Experiment(storage, record.id)
    assert (handle.id, handle.name, handle.dataset_name) == (record.id, "first", "sums")
    assert (handle.dataset_id, handle.tags, handle.project_name) == (dataset[0].id, ["t"], "p")
    assert handle.get_experiment_data() == storage.find_experiment(record.id)
    assert record.id in repr(handle)
    with pytest.raises(NotFoundError):
        _ = Experiment(storage, new_id()).name


def test_linked_traces_become_results(storage, dataset):
    """Traces of another program can be linked; linking again changes nothing."""
    dataset, ids = dataset
    record = store_experiment(storage, dataset)
    handle = Experiment(storage, record.id)
    error = ErrorInfo(exception_type="ValueError", traceback="...")
    good = Trace(id=new_id(), input={"input": "0+0"}, output={"output": "0"})
    bad = Trace(id=new_id(), error_info=error)
    storage.write([good, bad])
    links = [ExperimentItemReferences(ids[0], trace.id) for trace in (good, bad)]
    links.append(ExperimentItemReferences(ids[1], new_id()))
    handle.insert(links)
    handle.insert(links)
    results = handle.load().test_results
    assert [result.trial_id for result in results] == [0, 1, 0]
    outputs = {result.test_case.trace_id: result.test_case.task_output for result in results}
    assert outputs[good.id] == {"output": "0"}
    assert {result.error for result in results} == {None, error}
    contents = {content.trace_id: content for content in handle.get_items()}
    assert contents[good.id].evaluation_task_output == {"output": "0"}
    assert contents[good.id].dataset_item_data == {"input": "0+0"}
    assert len(handle.get_items(max_results=1)) == 1
    assert len(handle.to_pandas()) == 3


def test_experiment_scores_add_up(storage, dataset):
    """New scores join the old, equal names replace, failures are left out."""
    record = store_experiment(storage, dataset[0], experiment_scores={"x": 1.0, "y": 2.0})
    handle = Experiment(storage, record.id)
    failed = ScoreResult("z", None, scoring_failed=True)
    handle.log_experiment_scores([ScoreResult("y", 3.0), failed])
    assert handle.get_experiment_data().experiment_scores == {"x": 1.0, "y": 3.0}
