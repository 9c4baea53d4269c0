"""The simulated reflection model: it knows what it is told, and errs at its stated rates."""

from __future__ import annotations

import json
import statistics

import pytest
from pydantic import BaseModel

from benchmarks.optimizers.simulation.catalogue import make_task
from benchmarks.optimizers.simulation.model import simulated_model
from benchmarks.optimizers.simulation.replies import Writer
from benchmarks.optimizers.simulation.vocabulary import IDLE, rule_sentence
from opik_eval.models.clock import LoopClock, run_in_virtual_time


def test_rates_of_the_reflector():
    """Over many requests: 4 % of rules dropped, 80 % of hints absorbed, 25 % chatter."""
    task = make_task("rules", seed=0)
    known, hinted = task.landscape.rules[:5], task.landscape.rules[5:7]
    prompt = " ".join([task.seed_prompts["answer"], *(rule_sentence(r.phrase) for r in known)])
    feedback = " ".join(f"Wrong: {rule.hint}." for rule in hinted)
    replies = [task.reflect(f"{prompt}\n\n{feedback}\nrequest {n}") for n in range(3000)]

    def share(sentences: list[str]) -> float:
        return statistics.fmean(s in reply for s in sentences for reply in replies)

    guess = 0.30 / len(task.landscape.rules)
    assert share([rule_sentence(r.phrase) for r in known]) == pytest.approx(0.96, abs=0.01)
    assert share([rule_sentence(r.phrase) for r in hinted]) == pytest.approx(
        0.8 + 0.2 * guess, abs=0.02
    )
    unknown = [rule_sentence(r.phrase) for r in task.landscape.rules[7:]]
    assert share(unknown) == pytest.approx(guess, abs=0.01)
    assert share(list(IDLE)) * len(IDLE) == pytest.approx(0.25, abs=0.03)
    assert all(reply.startswith(task.seed_prompts["answer"]) for reply in replies)


def test_reflector_knows_nothing_but_the_text():
    """Feedback without hints teaches no more than the rate of guesses."""
    task = make_task("rules", seed=1)
    replies = [task.reflect(f"{task.seed_prompt} Wrong. {n}") for n in range(300)]
    learnt = [len(task.traits(reply).present) for reply in replies]
    assert max(learnt) == 1
    assert statistics.fmean(learnt) == pytest.approx(0.30, abs=0.08)


def test_equal_requests_are_drawn_anew_and_reproducibly():
    """The second reply to a text differs from the first as it does in a world made again."""
    one, same = make_task("rules", seed=2), make_task("rules", seed=2)
    text = " ".join([str(one.seed_prompt), *(rule.hint for rule in one.landscape.rules)])
    replies = [one.reflect(text) for _ in range(5)]
    assert replies == [same.reflect(text) for _ in range(5)]
    assert len(set(replies)) > 1


def test_reflector_tells_the_current_prompt_from_others():
    """The current prompt is kept, half of another one is borrowed, a failed one is left alone."""
    task = make_task("rules", seed=7)
    mine, other, failed = (rule_sentence(rule.phrase) for rule in task.landscape.rules[:3])
    opening = task.seed_prompts["answer"]
    replies = [
        task.reflect(
            f"<history>\n{opening} {other}\n</history>\nTexts that did not help:\n```\n"
            f"{opening} {failed}\n```\n## Current prompt\n\n{opening}\n{mine}\n## Task {n}\n"
        )
        for n in range(1000)
    ]
    guess = 0.30 / len(task.landscape.rules)
    for sentence, share in ((mine, 0.96), (other, 0.5), (failed, 0)):
        found = statistics.fmean(sentence in reply for reply in replies)
        assert found == pytest.approx(share + (1 - share) * guess, abs=0.05)


def test_model_tells_answers_from_reflections():
    """A question after a prompt is answered for that prompt; other requests yield a prompt."""
    task = make_task("rules", seed=3)
    model, item = simulated_model(task), task.train[0]
    answer = model.generate_sync(
        [
            {"role": "system", "content": task.seed_prompt},
            {"role": "user", "content": item["question"]},
        ]
    )
    assert answer.text == make_task("rules", seed=3).answer(task.seed_prompt, item)
    assert answer.cost_usd is not None
    assert answer.cost_usd > 0
    reply = model.generate_sync(f"Improve: {task.seed_prompt}\n{item['question']} Wrong.\nGo on.")
    assert str(task.seed_prompt) in reply.text
    assert (task.meter.answers, task.meter.reflections) == (1, 1)


class _Message(BaseModel):
    role: str
    content: str


class _Mode(BaseModel):
    root_cause: str
    item_ids: list[str]


class _Reply(BaseModel):
    reasoning: str
    improved_prompt: str
    messages: list[_Message]
    modes: list[_Mode]
    confidence: float
    note: str | None = None


def test_model_fills_the_fields_of_a_schema():
    """Fields for prompts get prompts, fields for analysis the hints, fields for ids the items."""
    task = make_task("rules", seed=4)
    model, hint = simulated_model(task), task.landscape.rules[0].hint
    item = task.train[5]
    reply = model.generate_sync(
        f"{task.seed_prompt}\n{item['id']} Wrong: {hint}.", response_format=_Reply
    ).parsed
    assert isinstance(reply, _Reply)
    assert reply.reasoning == hint
    assert reply.improved_prompt.startswith(str(task.seed_prompt))
    assert reply.messages[0].role == "system"
    assert reply.messages[0].content.startswith(str(task.seed_prompt))
    assert item["id"] in reply.modes[0].item_ids


def test_lists_are_as_long_as_asked():
    """A list of prompts has the length that the schema or the text asks for."""

    class Several(BaseModel):
        prompts: list[str]

    def fill(text: str) -> object:
        writer = Writer(text=text, prompt=lambda: "p", analysis=lambda: "a")
        return writer.fill(Several.model_json_schema())

    assert fill("Write 4 new prompts.") == {"prompts": ["p"] * 4}
    assert fill("Write three better candidate prompts.") == {"prompts": ["p"] * 3}
    assert fill("Write a prompt.") == {"prompts": ["p"]}


def test_latency_is_kept_on_the_clock():
    """Answers and reflections take their time, on whatever clock is given."""
    task = make_task("rules", seed=5)

    async def elapsed() -> float:
        clock = LoopClock()
        model = simulated_model(task, answer_seconds=2, reflection_seconds=5, clock=clock)
        await model.generate(task.train[0]["question"])
        await model.generate("improve")
        return clock.now()

    started = run_in_virtual_time(_now())
    assert run_in_virtual_time(elapsed()) - started == pytest.approx(7, abs=0.1)


async def _now() -> float:
    return LoopClock().now()


def test_reply_without_schema_is_fenced():
    """A plain request gets its prompt in a fence, as text-based optimizers expect."""
    task = make_task("rules", seed=6)
    text = simulated_model(task).generate_sync("improve this").text
    assert text.startswith("```\n")
    assert text.endswith("\n```")
    with pytest.raises(json.JSONDecodeError):
        json.loads(text)
