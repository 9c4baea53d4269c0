"""Result, history and how they are shown."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

from opik_eval.ids import new_id
from opik_eval.storage.opening import open_storage
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import ResultError
from opik_optimizer.evaluation import Evaluation, ItemResult
from opik_optimizer.events import (
    BaselineEvaluated,
    BudgetUpdated,
    CandidateRejected,
    IncumbentChanged,
    ItemEvaluated,
    RunFailed,
    RunFinished,
    RunStarted,
    SearchStopped,
    TrialRecorded,
    WarningRaised,
)
from opik_optimizer.history import History, Trial
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.recording import StoreRecorder, experiment_id_of
from opik_optimizer.reporting import (
    ConsoleReporter,
    print_result,
    prompt_changes,
    result_text,
    score_curve,
)
from opik_optimizer.result import Interval, OptimizationResult, PairedTest, PhaseUsage

SEED = Candidate.of(ChatPrompt(system="Answer.", user="{question}", model="fake/echo"))
CHILD = SEED.with_components(
    {"chat-prompt/system/0": "Answer in one word."}, operator="reflection", note="too long"
)


def evaluation(candidate: Candidate, *values: float | None) -> Evaluation:
    results = tuple(
        ItemResult(
            item_id=f"i{n}",
            score=value,
            output="yes",
            reason="right" if value else "wrong",
            error="ValueError: no answer" if value is None else None,
        )
        for n, value in enumerate(values)
    )
    return Evaluation(candidate=candidate, split="validation", results=results)


def a_result(**changes: object) -> OptimizationResult:
    history = History()
    scores: dict[str, float | None] = {"i0": 1.0, "i1": 1.0}
    history.add(
        Trial(
            index=0,
            candidate_id=CHILD.id,
            parents=CHILD.parents,
            operator="reflection",
            decision="accepted",
            reason="better on 1 of 2 items",
            score=1.0,
            item_scores=scores,
            prompt_tokens=9,
        )
    )
    history.close_round(best_so_far=1.0)
    history.add(Trial(index=1, decision="refused", reason="loses {question}", operator="mutation"))
    whole = OptimizationResult(
        optimizer="MetaPromptOptimizer",
        metric_name="accuracy",
        prompts={n: p.to_dict() for n, p in CHILD.prompts.items()},
        initial_prompts={n: p.to_dict() for n, p in SEED.prompts.items()},
        score=1.0,
        interval=Interval(mean=1.0, low=0.3, high=1.0, n=2),
        estimate=Interval(mean=0.8, low=0.2, high=1.0, n=4),
        initial_score=0.5,
        initial_interval=Interval(mean=0.5, low=0.1, high=0.9, n=2),
        holdout_score=Interval(mean=0.75, low=0.3, high=0.95, n=2),
        initial_holdout_score=Interval(mean=0.5, low=0.1, high=0.9, n=2),
        validation_test=PairedTest(
            difference=0.5, low=0, high=1, p_value=1.0, test="x", n=2, wins=1, losses=0, ties=1
        ),
        p_value=0.03,
        is_baseline=False,
        stop_reason="max_trials",
        selection_reason="it beats the initial prompt",
        candidate_id=CHILD.id,
        evaluation_id="e",
        optimization_id="o",
        rounds=history.rounds(),
        llm_calls=7,
        tokens=120,
        phases={"search": PhaseUsage(metric_calls=2)},
        storage_location="file:x.db",
        details={"optimized_parameters": {"temperature": 0.2}},
    )
    return whole.model_copy(update=changes)


def test_a_result_survives_saving_and_loading(tmp_path: Path) -> None:
    """The loaded result is equal, its prompt is usable."""
    result = a_result()
    loaded = OptimizationResult.load(result.save(tmp_path / "deep" / "result.json"))
    assert loaded == result
    assert isinstance(loaded.prompt, ChatPrompt)
    assert loaded.prompt.get_messages({"question": "Why?"})[0]["content"] == "Answer in one word."
    assert json.loads(result.model_dump_json())["score"] == 1.0


@pytest.mark.parametrize("content", ["", "[]", '{"schema_version": 1}', '{"schema_version": 99}'])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, content: str) -> None:
    """What cannot be read is an error that names the file."""
    path = tmp_path / "result.json"
    path.write_text(content)
    with pytest.raises(ResultError, match=r"result\.json"):
        OptimizationResult.load(path)


def test_a_failed_save_leaves_the_old_file(tmp_path: Path) -> None:
    """Nothing half-written takes the place of what was there."""
    path = tmp_path / "result.json"
    a_result().save(path)
    before = path.read_text()
    broken = a_result().model_copy(update={"details": {"x": object()}})
    with pytest.raises(Exception, match="serialize"):
        broken.save(path)
    assert path.read_text() == before
    assert list(tmp_path.iterdir()) == [path]


def test_opik_names_answer() -> None:
    """Code written for Opik finds what it looks for."""
    result = a_result()
    assert result.get_optimized_model() == "fake/echo"
    assert result.get_optimized_model_kwargs() == {}
    assert result.get_optimized_parameters() == {"temperature": 0.2}
    assert result.llm_token_usage_total == {"total_tokens": 120}
    assert result.llm_cost_total is None
    assert result.improvement == 0.5
    assert result.history[0]["best_score"] == 1.0


def test_the_frame_has_one_row_per_trial() -> None:
    """Every trial is a row, refused ones included."""
    frame = a_result().to_frame()
    assert list(frame["decision"]) == ["accepted", "refused"]
    assert list(frame["round"]) == [0, 1]


def test_the_report_shows_scores_tests_cost_and_changes() -> None:
    """What a reader needs to trust the number is on one page."""
    text = result_text(a_result(), width=100)
    for expected in (
        "0.500 -> 1.000",
        "holdout (unseen)",
        "expected on new items",
        "1 accepted, 0 dropped early, 1 refused",
        "Cost: unknown",
        "- Answer.",
        "+ Answer in one word.",
    ):
        assert expected in text
    assert str(a_result()) == result_text(a_result())


def test_the_report_says_that_the_initial_prompt_stands() -> None:
    """Without an improvement there is no diff, and the reason is in the first line."""
    result = a_result(is_baseline=True, selection_reason="nothing was better", rounds=())
    text = result_text(result)
    assert text.startswith("MetaPromptOptimizer: the initial prompt stands; nothing was better")
    assert "Changes:" not in text
    assert score_curve(result) == ""


def test_printing_keeps_brackets(capsys: pytest.CaptureFixture[str]) -> None:
    """Text in brackets is printed as it is, not taken for a style."""
    a_result().display()
    printed = capsys.readouterr().out
    assert "[system]" in printed
    stream = io.StringIO()
    print_result(a_result(), file=stream)
    assert stream.getvalue() == printed


def test_equal_prompts_have_no_changes() -> None:
    """A prompt that did not change is not listed."""
    prompts = {"a": {"messages": []}, "b": {"messages": [{"role": "user", "content": "x"}]}}
    changed = {**prompts, "a": {"messages": [], "model_parameters": {"temperature": 0}}}
    assert prompt_changes(prompts, prompts) == []
    assert prompt_changes(prompts, changed)[0] == "  a"


def test_a_run_is_stored_as_an_optimization_with_trials() -> None:
    """Optimization, experiments, items, traces and scores are in the store, once, with links."""
    storage, run = open_storage("memory:"), new_id()
    recorder = StoreRecorder(
        storage,
        run,
        "GepaOptimizer",
        "accuracy",
        dataset_name="d",
        inputs={"i0": {"question": "?"}},
    )
    trial = Trial(index=0, decision="dropped", reason="worse", candidate_id=CHILD.id)
    evaluated = evaluation(CHILD, 1.0, None)
    events = [
        RunStarted(
            optimization_id=run,
            optimizer="GepaOptimizer",
            metric_name="accuracy",
            train_items=2,
            validation_items=2,
            holdout_items=0,
            limits={},
        ),
        BaselineEvaluated(optimization_id=run, evaluation=evaluation(SEED, 1.0, 0.0)),
        TrialRecorded(optimization_id=run, trial=trial, evaluation=evaluated),
        TrialRecorded(optimization_id=run, trial=trial, evaluation=evaluated),
        RunFinished(optimization_id=run, result=a_result()),
    ]
    for event in events:
        recorder.on_event(event)
    stored = storage.find_optimization(run)
    assert stored is not None
    assert (stored.status, stored.objective_name) == ("completed", "accuracy")
    experiments = list(storage.list_experiments(optimization_id=run))
    assert {e.type for e in experiments} == {"trial", "mini-batch"}
    items = list(storage.list_experiment_items(experiment_id_of(run, evaluated.id)))
    assert len(items) == 2
    failed = next(item for item in items if item.error_info is not None)
    assert failed.scores is not None
    assert failed.scores[0].scoring_failed
    traces = list(storage.list_traces())
    assert len(traces) == 4
    assert {t.source for t in traces} == {"optimization"}
    assert len(list(storage.list_feedback_scores("trace"))) == 3


def test_a_failed_run_is_stored_with_its_error() -> None:
    """The record of a run that died says why."""
    storage, run = open_storage("memory:"), new_id()
    recorder = StoreRecorder(storage, run, "GepaOptimizer", "accuracy")
    recorder.on_event(RunFailed(optimization_id=run, error=ValueError("no"), status="error"))
    stored = storage.find_optimization(run)
    assert stored is not None
    assert stored.status == "error"
    assert stored.metadata is not None
    assert stored.metadata["error"] == "ValueError: no"


def test_the_console_tells_the_news() -> None:
    """Each decision is one line; work under way is none."""
    stream, run = io.StringIO(), "1"
    reporter = ConsoleReporter(file=stream)
    better = evaluation(CHILD, 1.0, 1.0)
    trial = Trial(index=0, decision="accepted", reason="better")
    for event in (
        RunStarted(
            optimization_id=run,
            optimizer="HRPO",
            metric_name="accuracy",
            train_items=3,
            validation_items=2,
            holdout_items=1,
            limits={"metric_calls": 9},
            resumed=True,
        ),
        WarningRaised(optimization_id=run, message="small data"),
        BaselineEvaluated(optimization_id=run, evaluation=evaluation(SEED, 1.0, 0.0)),
        ItemEvaluated(
            optimization_id=run, candidate_id="c", result=better.results[0], replayed=False
        ),
        BudgetUpdated(optimization_id=run, used={"metric_calls": 4}),
        CandidateRejected(optimization_id=run, operator="x", guard="placeholders", reason="lost"),
        TrialRecorded(optimization_id=run, trial=trial, evaluation=better),
        IncumbentChanged(optimization_id=run, evaluation=better, previous_score=0.5),
        SearchStopped(optimization_id=run, reason="max_trials"),
        RunFinished(optimization_id=run, result=a_result()),
    ):
        reporter.on_event(event)
    assert stream.getvalue().splitlines() == [
        "HRPO: accuracy on 2 items (train 3, holdout 1, resumed)",
        "warning: small data",
        "baseline: 0.500",
        "refused (placeholders): lost",
        "new best: 0.500 -> 1.000 (reflection)",
        "stopped: max_trials",
    ]
