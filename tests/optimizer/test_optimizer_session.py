"""What a session shows, allows and refuses."""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport
from opik_eval.storage.opening import open_storage
from opik_optimizer import Budget
from opik_optimizer.budget import LeaseSize
from opik_optimizer.errors import OptimizerError, ReflectionError, SettingsError
from opik_optimizer.evaluation import Evaluation
from opik_optimizer.guards import Rejection
from opik_optimizer.optimizer import BaseOptimizer
from opik_optimizer.session import Session
from opik_optimizer.settings import OptimizerOptions, check_names, roles_of, settings_of
from opik_optimizer.testing.optimizer_contract import essence
from opik_optimizer.testing.task import SimulatedAgent, SimulatedTask, rule, simulated_reflection


class Answer(BaseModel):
    prompt: str


def explore(search, *, model=None, task=None, **options):
    """Run a function as the search of an optimizer."""

    class Explorer(BaseOptimizer):
        async def search(self, session: Session) -> None:
            await search(session)

    task = task or SimulatedTask(items=40)
    chosen = {"agent": SimulatedAgent(task), "storage": "memory:", **options}
    optimizer = Explorer(model=model, verbose=0)
    return optimizer.optimize_prompt(task.prompt(), task.dataset(), task.metric, **chosen)


def edited(session: Session, text: str):
    (key, old) = next(iter(session.seed_candidate.components(["system"]).items()))
    return session.propose(session.seed_candidate, {key: f"{old} {text}"}, operator="test")


def test_a_session_shows_the_task_but_not_the_holdout() -> None:
    """Metric, columns and examples are there; labels stay hidden, the holdout out of reach."""

    async def search(session: Session) -> None:
        context = session.task_context
        assert "metric" in context
        assert "question (a placeholder of the prompt), for example: Question 0-" in context
        assert "answer (hidden answer)" in context
        assert session.item(session.train_ids[0])["question"]
        assert not {*session.train_ids} & {*session.validation_ids}
        with pytest.raises(OptimizerError, match="not in the train or validation split"):
            session.item("0" * 16)
        with pytest.raises(OptimizerError, match="hidden"):
            await session.evaluate(session.seed_candidate, split="holdout")
        with pytest.raises(OptimizerError, match="train_ids or validation_ids"):
            await session.evaluate(session.seed_candidate, session.train_ids)
        assert session.best_possible == float("inf")

    explore(search)


def test_feedback_carries_everything_known_of_an_item() -> None:
    """All columns, the output, the expected answer, the score and the metric's reason."""

    async def search(session: Session) -> None:
        evaluation = await session.evaluate(
            session.seed_candidate, session.train_ids[:6], split="train"
        )
        feedback = session.feedback(evaluation)
        assert len(feedback) == 6
        assert len(session.feedback(evaluation, session.train_ids[:2])) == 2
        wrong = next(part for part in feedback if part.score == 0.0)
        assert {"question", "rule"} <= set(wrong.inputs)
        assert (wrong.output, bool(wrong.expected)) == ("no idea", True)
        assert wrong.reason is not None
        assert session.stop_reason is None

    explore(search)


def test_a_race_without_racing_is_one_block_and_complete() -> None:
    """With racing=False every candidate is run on the whole sample, in the sample's order."""

    async def search(session: Session) -> None:
        child = edited(session, "Please.")
        outcome = await session.race(child)
        assert (outcome.blocks, outcome.dropped) == (1, False)
        assert outcome.evaluation.item_ids == session.validation_ids
        assert session.is_complete(outcome.evaluation)
        assert not session.consider(outcome.evaluation)
        session.record_trial(outcome.evaluation, accepted=False, reason="equal")
        entry = session.record_round(note="x")
        assert entry.details == {"note": "x"}
        session.stop("enough")
        session.stop("later")

    result = explore(search, racing=False)
    assert result.stop_reason == "enough"
    assert result.trials[0].decision == "rejected"


def test_a_worse_candidate_is_dropped_and_recorded_as_such() -> None:
    """A race ends early, and what is incomplete cannot become the incumbent."""
    task = SimulatedTask(items=80, floor=0.0)

    async def search(session: Session) -> None:
        good = edited(session, " ".join(rule(n) for n in range(3)))
        best = await session.evaluate(good)
        assert session.consider(best)
        assert session.best is best
        outcome = await session.race(session.seed_candidate, against=best)
        assert not outcome.dropped or outcome.blocks < 4
        bad = await session.race(edited(session, "Hm."))
        assert bad.dropped
        session.record_trial(bad.evaluation, accepted=False, reason="worse")
        with pytest.raises(OptimizerError, match="whole validation sample"):
            session.consider(bad.evaluation)
        train = await session.evaluate(good, session.train_ids[:3], split="train")
        session.record_trial(train, accepted=False, reason="minibatch")
        session.record_trial(best, accepted=True, reason="better")

    result = explore(search, task=task)
    assert [t.decision for t in result.trials] == ["dropped", "rejected", "accepted"]
    assert result.trials[0].metric_calls > 0


def test_a_guard_refuses_before_anything_is_spent() -> None:
    """The rejection is returned, recorded, and costs nothing."""

    async def search(session: Session) -> None:
        spent = session.remaining.metric_calls
        refused = edited(session, "The answer is {answer}.")
        assert isinstance(refused, Rejection)
        assert refused.guard == "leak"
        assert session.remaining.metric_calls == spent
        assert isinstance(edited(session, "Please."), type(session.seed_candidate))
        again = edited(session, "Please.")
        assert isinstance(again, Rejection)
        assert again.guard == "duplicate"

    result = explore(search, budget=Budget(metric_calls=100))
    assert [t.decision for t in result.trials] == ["refused", "refused"]
    assert result.trials[0].reason.startswith("leak: ")


def test_a_prompt_can_be_proposed_as_a_whole() -> None:
    """Changes may be prompts by name."""

    async def search(session: Session) -> None:
        seed = session.seed_candidate
        (name, prompt) = next(iter(seed.prompts.items()))
        changed = prompt.copy()
        changed.messages[0]["content"] = "Be exact."
        child = session.propose([seed], {name: changed}, operator="test", note="why")
        assert child.text(["system"]) == "Be exact."
        assert (child.parents, child.note) == ((seed.id,), "why")

    explore(search)


@pytest.mark.parametrize("method", ["consider", "record_trial", "record_failure", "record_round"])
def test_what_belongs_to_a_commit_is_refused_inside_a_proposal(method: str) -> None:
    """Its order would depend on timing."""

    async def search(session: Session) -> None:
        calls = {
            "consider": lambda: session.consider(session.baseline),
            "record_trial": lambda: session.record_trial(
                session.baseline, accepted=True, reason=""
            ),
            "record_failure": lambda: session.record_failure("no"),
            "record_round": session.record_round,
        }

        async def work() -> None:
            calls[method]()

        await session.pipeline(
            lambda k, lease: work(), lambda k, outcome: None, lease=LeaseSize(metric_calls=0)
        )

    with pytest.raises(OptimizerError, match=f"{method} was called inside a proposal"):
        explore(search)


def test_inside_a_proposal_the_session_is_that_of_its_issue() -> None:
    """Incumbent and remaining budget do not change under a proposal's feet."""
    seen: list[tuple[float, object]] = []

    async def search(session: Session) -> None:
        good = edited(session, rule(0) + " " + rule(1))

        async def work(index: int) -> Evaluation | None:
            if index == 0:
                return await session.evaluate(good)
            before = session.best.score
            await session.evaluate(session.seed_candidate)
            seen.append((before, session.best.score == before))
            assert session.remaining.metric_calls == len(session.validation_ids)
            return None

        def commit(index: int, outcome: Evaluation | None) -> None:
            if outcome is not None:
                assert session.consider(outcome)

        await session.pipeline(
            lambda k, lease: work(k) if k < 12 else None,
            commit,
            lease=LeaseSize(metric_calls=len(session.validation_ids)),
        )

    explore(search, budget=Budget(metric_calls=2000))
    assert len(seen) == 11
    assert all(unchanged for _, unchanged in seen)
    assert len({score for score, _ in seen}) == 2


def test_a_reply_is_asked_for_once_and_replayed() -> None:
    """Equal questions are one call; a resumed run makes none, and books the same usage."""
    asked: list[object] = []

    def reply(request) -> dict[str, object]:
        asked.append(request)
        return {"prompt": "Be exact."}

    transport = FunctionTransport(reply, features=frozenset({"json_schema"}))
    model = ChatModel(name="fake/once", transport=transport)

    async def search(session: Session) -> None:
        question = [{"role": "user", "content": "Improve this."}]
        first = await session.ask(question, Answer, purpose="test")
        again = await session.ask(question, Answer, purpose="test")
        other = await session.ask(question, Answer, purpose="test", repeat=1)
        assert first == again == other

    storage = open_storage("memory:")
    options = {"model": model, "storage": storage, "budget": Budget(model_calls=2)}
    first = explore(search, **options)
    assert len(asked) == 2
    assert first.phases["reflection"].model_calls == 2
    assert essence(explore(search, **options)) == essence(first)
    assert len(asked) == 2


def test_a_useless_reply_is_a_reflection_error_and_stays_one() -> None:
    """The error carries the text; a resumed run meets it again without a call."""

    async def search(session: Session) -> None:
        with pytest.raises(ReflectionError) as failure:
            await session.ask([{"role": "user", "content": "?"}], Answer, purpose="test")
        assert failure.value.reply == "I would rather not."

    storage = open_storage("memory:")
    options = {"model": simulated_reflection(errors=1.0), "storage": storage}
    first = explore(search, **options)
    assert first.llm_calls == 2
    assert essence(explore(search, **options)) == essence(first)


def test_without_a_reflection_model_asking_is_a_clear_error(monkeypatch) -> None:
    """It says what to pass; searches that ask nothing need none."""
    monkeypatch.setenv("OPIK_DEFAULT_LLM", "nobody/knows-this")

    async def search(session: Session) -> None:
        await session.ask([{"role": "user", "content": "?"}], Answer, purpose="test")

    with pytest.raises((SettingsError, ReflectionError, OptimizerError)):
        explore(search)


def test_settings_read_what_the_user_said() -> None:
    """Roles, tools, seed and budget in the forms that Opik has."""
    own = OptimizerOptions()
    given = check_names(
        {"optimize_prompts": ["user"], "optimize_tools": {"a": True, "b": False}, "seed": 3},
        function="f",
    )
    found = settings_of(given, own)
    assert (found.roles, found.tools, found.seed) == (("user",), ("a",), 3)
    assert found.budget.trials == 10
    assert settings_of({"optimize_tools": True}, own).tools is True
    assert settings_of({"budget": Budget(tokens=5)}, own).budget.trials is None
    both = settings_of({"budget": Budget(trials=5), "max_trials": 3}, own)
    assert both.budget.trials == 3
    assert settings_of({"max_trials": None}, own).budget.trials is None
    assert roles_of(True) == roles_of("all")
    assert roles_of(False) == ()
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'zzzzzzzz'$"):
        check_names({"zzzzzzzz": 1}, function="f")
