"""Every option does what it says."""

from __future__ import annotations

import contextvars
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from opik_eval import (
    aevaluate,
    evaluate,
    evaluate_experiment,
    evaluate_on_dict_items,
    evaluate_resume,
    get_model,
)
from opik_eval.client import Opik
from opik_eval.datasets.dataset import create_dataset, from_items, get_dataset
from opik_eval.datasets.sampling import RandomDatasetSampler
from opik_eval.engine.trial import current_trial
from opik_eval.errors import ConfigError, DatasetError, NotFoundError, OpikEvalError
from opik_eval.evaluation.options import EvaluateOptions
from opik_eval.metrics import BaseMetric, Equals, ScoreResult
from opik_eval.models import Budget, use_models
from opik_eval.records import DatasetItem, Experiment
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage

ITEMS = [{"question": f"q{n}", "reference": f"q{n}", "even": n % 2 == 0} for n in range(10)]


def echo(item: dict) -> dict:
    return {"output": item["question"]}


def quietly(storage: Storage, **options: object) -> EvaluateOptions:
    return {"storage": storage, "verbose": 0, **options}  # type: ignore[typeddict-item]


def the_experiment(storage: Storage) -> Experiment:
    (experiment,) = storage.list_experiments()
    return experiment


def questions(result: Any) -> list[str]:
    return [r.test_case.dataset_item_content["question"] for r in result.test_results]


def test_positional_order_is_dataset_task_metrics(storage: Storage) -> None:
    """Scripts that pass the first three arguments by place work."""
    result = evaluate(ITEMS, echo, [Equals()], **quietly(storage))
    assert result.test_results[0].score_results[0].value == 1.0


def test_names_are_given_or_made(storage: Storage) -> None:
    """A name is taken as it is; else it is made from prefix or task, and the time."""
    assert evaluate(ITEMS, echo, **quietly(storage, experiment_name="n")).experiment_name == "n"
    made = evaluate(ITEMS, echo, **quietly(storage)).experiment_name or ""
    assert made.startswith("echo-2")
    prefix = quietly(storage, experiment_name_prefix="nightly")
    names = {evaluate(ITEMS, echo, **prefix).experiment_name for _ in range(3)}
    assert len(names) == 3
    assert all(str(name).startswith("nightly-2") for name in names)
    unnamed = evaluate(ITEMS, lambda item: {"output": 1}, **quietly(storage)).experiment_name or ""
    assert unnamed.startswith("lambda-")


def test_experiment_fields_are_stored(storage: Storage) -> None:
    """Config, tags, type, optimization, blueprint and seed are in the record, config untouched."""
    config = {"temperature": 0.2, "nested": {"a": [1]}}
    evaluate(
        ITEMS,
        echo,
        **quietly(
            storage,
            experiment_config=config,
            experiment_tags=["a", "b"],
            experiment_type="mini-batch",
            optimization_id="opt-1",
            blueprint_id="blue-1",
            seed=7,
        ),
    )
    experiment = the_experiment(storage)
    assert experiment.config == {**config, "agent_configuration": {"_blueprint_id": "blue-1"}}
    assert config == {"temperature": 0.2, "nested": {"a": [1]}}
    assert experiment.tags == ("a", "b")
    assert experiment.type == "mini-batch"
    assert experiment.optimization_id == "opt-1"
    assert (experiment.run or {})["seed"] == 7
    assert experiment.evaluation_method == "dataset"


def test_traces_of_an_optimization_say_so(storage: Storage) -> None:
    """Traces carry where they come from, and the optimization as a tag."""
    evaluate(ITEMS[:1], echo, **quietly(storage, optimization_id="opt-1"))
    evaluate(ITEMS[:1], echo, **quietly(storage))
    trial, regular = storage.list_traces()
    assert (trial.source, trial.tags) == ("optimization", ("opt-1",))
    assert (regular.source, regular.tags) == ("experiment", None)


def test_prompts_are_linked(storage: Storage) -> None:
    """Prompts of the library are linked by version; texts of all are in the config."""
    client = Opik(storage=storage)
    text = client.create_prompt("greeting", "Hello {{name}}")
    chat = client.create_chat_prompt("chat", [{"role": "user", "content": "Hi {{name}}"}])
    evaluate(ITEMS, echo, **quietly(storage, prompts=[text, chat, "a text of my own"]))
    experiment = the_experiment(storage)
    assert experiment.prompt_version_ids == (text.version_id, chat.version_id)
    assert (experiment.config or {})["prompts"] == {
        "greeting": "Hello {{name}}",
        "chat": [{"role": "user", "content": "Hi {{name}}"}],
        "2": "a text of my own",
    }


def test_one_prompt_may_be_linked_by_its_old_name(storage: Storage) -> None:
    """``prompt=`` links a single prompt; a ``prompts`` entry of the user's own config stays."""
    prompt = Opik(storage=storage).create_prompt("greeting", "Hello")
    config = {"prompts": "mine"}
    evaluate(ITEMS, echo, **quietly(storage, prompt=prompt, experiment_config=config))
    experiment = the_experiment(storage)
    assert experiment.prompt_version_ids == (prompt.version_id,)
    assert experiment.config == {"prompts": "mine"}


def test_the_datasets_project_is_the_default(storage: Storage) -> None:
    """Traces lie in the dataset's project unless the call names one."""
    dataset = create_dataset(storage, "d", project_name="shop")
    dataset.insert(ITEMS)
    evaluate(dataset, echo, **quietly(storage))
    assert {trace.project_name for trace in storage.list_traces()} == {"shop"}
    evaluate(dataset, echo, **quietly(storage, project_name="other"))
    assert {trace.project_name for trace in storage.list_traces()} == {"shop", "other"}
    assert {e.project_name for e in storage.list_experiments()} == {"shop", "other"}


def test_nb_samples_takes_the_first_ones(storage: Storage) -> None:
    """Without a seed the first items are taken; more than there are is all of them."""
    result = evaluate(ITEMS, echo, **quietly(storage, nb_samples=3))
    assert questions(result) == ["q0", "q1", "q2"]
    assert len(evaluate(ITEMS, echo, **quietly(storage, nb_samples=99)).test_results) == 10


def test_nb_samples_with_a_seed_chooses(storage: Storage) -> None:
    """A seed chooses items anew for each seed, the same for the same seed, in dataset order."""
    chosen = [
        questions(evaluate(ITEMS, echo, **quietly(storage, nb_samples=4, seed=seed)))
        for seed in (1, 1, 2, 3)
    ]
    assert chosen[0] == chosen[1]
    assert len({tuple(names) for names in chosen}) > 1
    assert all(names == sorted(names) for names in chosen)
    whole = evaluate(ITEMS, echo, **quietly(storage, nb_samples=99, seed=1))
    assert len(whole.test_results) == 10
    none = quietly(storage, nb_samples=2, seed=1, dataset_filter_string='data.question = "x"')
    with pytest.raises(DatasetError, match="gives no items"):
        evaluate(ITEMS, echo, **none)


def test_filter_chooses_items(storage: Storage) -> None:
    """Only items that match are evaluated; a filter that cannot be read is an error."""
    chosen = quietly(storage, dataset_filter_string='data.question = "q4"')
    assert questions(evaluate(ITEMS, echo, **chosen)) == ["q4"]
    with pytest.raises(OpikEvalError):
        evaluate(ITEMS, echo, **quietly(storage, dataset_filter_string="data.question ="))


def test_ids_choose_items(storage: Storage) -> None:
    """Items of the given ids are evaluated, in dataset order; unknown ids are an error."""
    dataset = from_items(ITEMS, storage=storage)
    ids = [str(row["id"]) for row in dataset.get_items()]
    chosen = quietly(storage, dataset_item_ids=(identifier for identifier in (ids[5], ids[2])))
    assert questions(evaluate(dataset, echo, **chosen)) == ["q2", "q5"]
    with pytest.raises(DatasetError, match="1 of 2 dataset_item_ids") as caught:
        evaluate(dataset, echo, **quietly(storage, dataset_item_ids=[ids[0], "nowhere"]))
    assert "'nowhere'" in caught.value.message
    both = quietly(storage, dataset_item_ids=ids[3:7], nb_samples=2)
    assert questions(evaluate(dataset, echo, **both)) == ["q3", "q4"]


def test_ids_of_the_users_own_choose_items(storage: Storage) -> None:
    """Where items have a field ``id``, which ``get_items`` shows, it can be used to choose."""
    items = [{"id": f"case-{n}", "question": f"q{n}"} for n in range(3)]
    dataset = from_items(items, storage=storage)
    assert [row["id"] for row in dataset.get_items()] == ["case-0", "case-1", "case-2"]
    result = evaluate(dataset, echo, **quietly(storage, dataset_item_ids=["case-1"]))
    assert questions(result) == ["q1"]


class Reversed:
    """A sampler of a user's own."""

    def sample(self, dataset_items: Sequence[DatasetItem]) -> Sequence[DatasetItem]:
        return tuple(reversed(dataset_items))[:2]


class ReturnsSet:
    def sample(self, dataset_items: Sequence[DatasetItem]) -> Any:
        return set()


def test_samplers_choose_items(storage: Storage) -> None:
    """A sampler's choice is evaluated in its order; what is no list is refused."""
    result = evaluate(ITEMS, echo, **quietly(storage, dataset_sampler=Reversed()))
    assert questions(result) == ["q9", "q8"]
    random = quietly(storage, dataset_sampler=RandomDatasetSampler(4, seed=3))
    assert len(evaluate(ITEMS, echo, **random).test_results) == 4
    with pytest.raises(DatasetError, match="returned a set"):
        evaluate(ITEMS, echo, **quietly(storage, dataset_sampler=ReturnsSet()))


def test_datasets_may_be_given_in_many_forms(storage: Storage, tmp_path: Path) -> None:
    """A dataset, its name, a version, a part, a list, a file and a data frame are datasets."""
    dataset = from_items(ITEMS, storage=storage, name="questions")
    path = tmp_path / "items.jsonl"
    dataset.to_jsonl(path)
    version = dataset.get_version_view("v1")
    dataset.insert([{"question": "q10", "reference": "q10"}])
    sources: dict[str, tuple[object, int]] = {
        "handle": (dataset, 11),
        "name": ("questions", 11),
        "version": (version, 10),
        "part": (dataset.where('data.question = "q1"'), 1),
        "list": (ITEMS, 10),
        "tuple": (tuple(ITEMS), 10),
        "path": (path, 10),
        "path as text": (str(path), 10),
        "data frame": (pd.DataFrame(ITEMS), 10),
    }
    for name, (source, count) in sources.items():
        result = evaluate(source, echo, [Equals()], **quietly(storage))
        assert len(result.test_results) == count, name
        assert {r.score_results[0].value for r in result.test_results} == {1.0}, name


def test_an_unknown_dataset_name_lists_what_there_is(storage: Storage) -> None:
    """A name that nothing has is an error that names the datasets of the store."""
    from_items(ITEMS, storage=storage, name="questions")
    with pytest.raises(NotFoundError, match="'questionz'") as caught:
        evaluate("questionz", echo, **quietly(storage))
    assert "questions" in (caught.value.remedy or "")


def test_a_part_of_a_dataset_is_resumed_as_it_was(storage: Storage) -> None:
    """Which items a part has is remembered, so that a resumed run evaluates no others."""
    part = from_items(ITEMS, storage=storage).where("data.even = true")
    assert len(part) == 5
    before = evaluate(part, echo, **quietly(storage))
    result = evaluate_resume(before.experiment_id, echo, **quietly(storage))
    assert (len(result.test_results), result.reused_items) == (5, 5)


def test_items_inserted_meanwhile_do_not_slip_in(storage: Storage) -> None:
    """A run evaluates the version that was current when it began."""
    dataset = from_items(ITEMS, storage=storage)

    def task(item: dict) -> dict:
        dataset.insert([{"question": "new " + item["question"], "reference": "x"}])
        return echo(item)

    assert len(evaluate(dataset, task, **quietly(storage)).test_results) == 10


def test_trials_see_their_number(storage: Storage) -> None:
    """Tasks and metrics know which trial is running."""

    class Trial(BaseMetric):
        def score(self, **ignored: object) -> int:
            return current_trial()

    result = evaluate(
        ITEMS[:2],
        lambda item: {"output": current_trial()},
        [Trial()],
        **quietly(storage, trial_count=3),
    )
    assert [r.test_case.task_output["output"] for r in result.test_results] == [0, 1, 2, 0, 1, 2]  # type: ignore[index]
    assert [r.score_results[0].value for r in result.test_results] == [0, 1, 2, 0, 1, 2]
    assert current_trial() == 0


def test_context_variables_of_the_caller_reach_tasks_and_metrics(storage: Storage) -> None:
    """What the caller has set is seen in worker threads, and what they set stays with them."""
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="unset")
    variable.set("mine")

    class Sees(BaseMetric):
        def score(self, **ignored: object) -> ScoreResult:
            return ScoreResult("sees", 1.0, reason=variable.get())

    def task(item: dict) -> dict:
        seen = variable.get()
        variable.set(item["question"])
        return {"output": seen}

    result = evaluate(ITEMS, task, [Sees()], **quietly(storage, task_threads=3))
    assert {r.test_case.task_output["output"] for r in result.test_results} == {"mine"}  # type: ignore[index]
    assert [r.score_results[0].reason for r in result.test_results] == questions(result)
    assert variable.get() == "mine"


def test_one_task_thread_runs_one_task_at_a_time(storage: Storage) -> None:
    """With ``task_threads=1`` tasks run one after the other, in dataset order."""
    order: list[str] = []

    def task(item: dict) -> dict:
        order.append(item["question"])
        return echo(item)

    evaluate(ITEMS, task, **quietly(storage, task_threads=1))
    assert order == [f"q{n}" for n in range(10)]


def test_a_text_as_storage_is_opened_and_closed(tmp_path: Path) -> None:
    """A target is opened for the run and closed after it; results are there for the next one."""
    target = f"file:{tmp_path / 'runs.db'}"
    result = evaluate(ITEMS, echo, storage=target, verbose=0)
    assert result.storage_location == target
    assert not (tmp_path / "runs.db-wal").exists()
    again = evaluate_experiment(str(result.experiment_name), [Equals()], storage=target, verbose=0)
    assert len(again.test_results) == 10


def test_a_dataset_is_evaluated_where_it_is(tmp_path: Path) -> None:
    """Without ``storage`` a dataset's own store takes the experiment, and stays open."""
    storage = open_storage(f"file:{tmp_path / 'own.db'}")
    dataset = from_items(ITEMS, storage=storage)
    result = evaluate(dataset, echo, verbose=0)
    assert result.storage_location == storage.location
    assert the_experiment(storage).id == result.experiment_id
    storage.close()


def test_another_store_keeps_the_items_it_cannot_look_up(storage: Storage) -> None:
    """Where the dataset lies in another store, items are kept with the results."""
    other = open_storage("memory:")
    dataset = from_items(ITEMS, storage=other, name="elsewhere")
    evaluate(dataset, echo, **quietly(storage))
    items = list(storage.list_experiment_items(the_experiment(storage).id))
    assert items[0].input is None  # two stores in memory have one name: they count as one
    path_store = open_storage("memory:")
    renamed = _Renamed(path_store)
    evaluate(dataset, echo, storage=renamed, verbose=0)  # type: ignore[arg-type]
    (experiment,) = path_store.list_experiments()
    kept = list(path_store.list_experiment_items(experiment.id))
    assert [item.input["question"] for item in kept] == [f"q{n}" for n in range(10)]  # type: ignore[index]


class _Renamed:
    """A store of another name."""

    location = "file:elsewhere.db"

    def __init__(self, inner: Storage) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)


def test_none_stands_for_the_default(storage: Storage) -> None:
    """Options that are passed on as None are as if they were left out."""
    names = (*EvaluateOptions.__annotations__,)
    options = {name: None for name in names if name not in ("storage", "scoring_threads")}
    result = evaluate(ITEMS, echo, **{**options, "storage": storage, "verbose": 0})  # type: ignore[arg-type, typeddict-item]
    assert len(result.test_results) == 10


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"dataset_item_ids": "an-id"}, "dataset_item_ids is a str, not a list"),
        ({"experiment_tags": "tag"}, "experiment_tags is a str"),
        ({"prompts": {"a": "b"}}, "prompts is a dict"),
        ({"scoring_functions": echo}, "scoring_functions is a function"),
        ({"experiment_scoring_functions": 3}, "experiment_scoring_functions is a int"),
        ({"experiment_config": ["a"]}, "experiment_config is a list"),
        ({"experiment_name": 3}, "experiment_name is a int"),
        ({"scoring_key_mapping": ["a"]}, "scoring_key_mapping is a list"),
        ({"budget": 3}, "budget is a int"),
        ({"resume": 3}, "resume is a int"),
        ({"experiment_type": "big"}, "experiment_type='big' is unknown"),
        ({"error_tolerance": 15}, "error_tolerance=15 is unknown"),
        ({"error_tolerance": True}, "error_tolerance=True is unknown"),
        ({"timeout_seconds": "5"}, "timeout_seconds='5'"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds=nan"),
        ({"nb_samples": 2.5}, "nb_samples=2.5"),
        ({"verbose": -1}, "verbose=-1"),
        (
            {"dataset_item_ids": ["a"], "dataset_sampler": Reversed()},
            "dataset_item_ids and dataset_sampler both choose items",
        ),
    ],
)
def test_values_of_the_wrong_kind_are_refused(storage: Storage, options: dict, said: str) -> None:
    """A value that cannot mean anything is refused before anything runs, with what to pass."""
    with pytest.raises(ConfigError, match=said) as caught:
        evaluate(ITEMS, echo, **quietly(storage, **options))
    assert caught.value.remedy
    assert list(storage.list_experiments()) == []


def test_metrics_that_are_no_list_are_refused(storage: Storage) -> None:
    """A single metric has to be put into a list."""
    with pytest.raises(ConfigError, match="scoring_metrics is a Equals"):
        evaluate(ITEMS, echo, Equals(), **quietly(storage))  # type: ignore[arg-type]


def test_options_that_mean_nothing_are_refused(storage: Storage) -> None:
    """A function takes no option that would have no effect on it."""
    for name in ("experiment_name", "experiment_scoring_functions", "blueprint_id", "resume"):
        with pytest.raises(TypeError, match=name):
            evaluate_on_dict_items(ITEMS, echo, **quietly(storage, **{name: "x"}))
    for name in ("max_errors", "executor", "experiment_config", "prompts", "seed"):
        with pytest.raises(TypeError, match=name):
            evaluate_experiment("e", [Equals()], **quietly(storage, **{name: 1}))  # type: ignore[arg-type]
    for name in ("nb_samples", "trial_count", "experiment_tags", "optimization_id"):
        with pytest.raises(TypeError, match=name):
            evaluate_resume("e", echo, **quietly(storage, **{name: 1}))
    with pytest.raises(TypeError, match="scoring_threads"):
        evaluate(ITEMS, echo, **quietly(storage, scoring_threads=1))
    both = quietly(storage, scoring_threads=1, task_threads=1)
    with pytest.raises(TypeError, match="another name"):
        evaluate_on_dict_items(ITEMS, echo, **both)


def test_processes_refuse_a_budget_set_around_the_call(storage: Storage) -> None:
    """A budget or cache of ``use_models`` would not reach other processes either."""
    with use_models(budget=Budget(max_requests=1)), pytest.raises(ConfigError, match="budget="):
        evaluate(ITEMS, echo, **quietly(storage, executor="loky"))
    cached = use_models(cache=storage, cache_mode="read_write")
    with cached, pytest.raises(ConfigError, match="cache="):
        evaluate(ITEMS, echo, **quietly(storage, executor="loky"))


def test_a_cache_set_around_the_call_stays_in_force(storage: Storage) -> None:
    """``cache="off"``, the default, does not switch off what the caller has switched on."""

    async def task(item: dict) -> dict:
        reply = await get_model("fake/echo").generate(item["question"])
        return {"output": reply.text, "cached": reply.cached}

    with use_models(cache=storage, cache_mode="read_write"):
        evaluate(ITEMS[:2], task, **quietly(storage))
        again = evaluate(ITEMS[:2], task, **quietly(storage))
    assert [r.test_case.task_output["cached"] for r in again.test_results] == [True, True]  # type: ignore[index]


class Varied(BaseMetric):
    def score(self, output: str, **ignored: object) -> float:
        return float(output[1:]) / 10


def test_verbose_one_prints_the_result(
    storage: Storage, capsys: pytest.CaptureFixture[str]
) -> None:
    """The result goes to standard output: figures, and where everything is stored."""
    evaluate(ITEMS, echo, [Varied()], storage=storage)
    out = capsys.readouterr().out
    assert "Varied" in out
    assert "0.450" in out
    assert "memory:" in out
    assert "std" not in out


def test_verbose_two_adds_the_spread(storage: Storage, capsys: pytest.CaptureFixture[str]) -> None:
    """A second table gives standard deviation, smallest and largest value of every score."""
    evaluate(ITEMS, echo, [Varied()], storage=storage, verbose=2)
    lines = capsys.readouterr().out.splitlines()
    header = next(n for n, line in enumerate(lines) if line.split()[:2] == ["score", "n"])
    assert lines[header].split() == ["score", "n", "mean", "std", "min", "max"]
    assert lines[header + 2].split() == ["Varied", "10", "0.450", "0.303", "0.000", "0.900"]


@pytest.mark.parametrize(("encoding", "is_ascii"), [("ascii", True), ("utf-8", False)])
def test_output_keeps_to_what_the_terminal_can_show(
    storage: Storage, monkeypatch: pytest.MonkeyPatch, encoding: str, is_ascii: bool
) -> None:
    """Where standard output takes only ASCII nothing else is printed; lines fit the terminal."""
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    monkeypatch.setenv("COLUMNS", "70")
    evaluate(ITEMS, echo, [Varied(name="größe")], storage=storage, verbose=2)
    sys.stdout.flush()
    text = raw.getvalue().decode()
    assert text.isascii() is is_ascii
    assert max(map(len, text.splitlines())) <= 70


def test_programs_without_standard_output_work(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where there is no console nothing is printed, and nothing fails."""
    monkeypatch.setattr(sys, "stdout", None)
    assert len(evaluate(ITEMS, echo, storage=storage).test_results) == 10


def test_dict_items_log_what_their_result_cannot_say(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """A run on dicts that stops early says so, since its result has no place for it."""

    def task(item: dict) -> dict:
        raise ValueError("wrong")

    items = [{"n": n} for n in range(500)]
    options = quietly(storage, max_errors=1, task_threads=1)
    result = evaluate_on_dict_items(items, task, **options)
    assert len(result.test_results) == 2
    assert "more tasks failed than max_errors allows" in caplog.text
    assert "2 of 2 tasks failed" in caplog.text


def test_dict_items_take_options_that_choose_and_score(storage: Storage) -> None:
    """Mapping, samples, trials and tolerance work without a dataset; only traces are stored."""
    result = evaluate_on_dict_items(
        [{"question": "a", "expected": "a"}, {"question": "b", "expected": "x"}],
        echo,
        [Equals()],
        scoring_key_mapping={"reference": "expected"},
        nb_samples=1,
        trial_count=2,
        scoring_threads=1,
        storage=storage,
    )
    assert [r.score_results[0].value for r in result.test_results] == [1.0, 1.0]
    assert result.aggregate_evaluation_scores()["equals_metric"].n == 2
    assert len(list(storage.list_traces())) == 2
    assert list(storage.list_experiments()) == []
    tolerant = evaluate_on_dict_items(
        [{"question": "a"}], echo, [Equals()], storage=storage, error_tolerance=20
    )
    assert tolerant.test_results[0].score_results[0].scoring_failed


def test_the_asynchronous_door_has_the_same_options(storage: Storage) -> None:
    """aevaluate resolves, runs and stores as evaluate does."""
    import asyncio

    async def task(item: dict) -> dict:
        return echo(item)

    result = asyncio.run(
        aevaluate(ITEMS, task, [Equals()], **quietly(storage, experiment_name="a", nb_samples=2))
    )
    assert (result.experiment_name, len(result.test_results)) == ("a", 2)
    assert get_dataset(storage, str(the_experiment(storage).dataset_name))
