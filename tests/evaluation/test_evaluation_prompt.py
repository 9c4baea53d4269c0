"""evaluate_prompt: templates, models, trials, and models that cannot be called."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from opik_eval import evaluate_prompt, get_model
from opik_eval.errors import (
    AuthenticationError,
    ConfigError,
    InvalidRequestError,
    ModelUnavailableError,
    PromptError,
)
from opik_eval.evaluation.options import EvaluateOptions
from opik_eval.evaluation.prompt import PromptTask, check_callable
from opik_eval.experiments.loading import load_result
from opik_eval.metrics import Contains, Equals
from opik_eval.models import ChatModel, FunctionTransport, RetryPolicy
from opik_eval.models.base import Completion
from opik_eval.storage.base import Storage
from opik_eval.testing.fake_replies import FakeReply, failure
from opik_eval.testing.fake_server import FakeServer

ITEMS = [{"question": f"q{n}", "reference": f"Say q{n}", "tags": ["a", "b"]} for n in range(6)]
PROMPT = [{"role": "user", "content": "Say {{question}}"}]
ONCE = RetryPolicy(max_attempts=1)


def quietly(storage: Storage, **options: object) -> EvaluateOptions:
    return {"storage": storage, "verbose": 0, **options}  # type: ignore[typeddict-item]


def outputs(result: Any) -> list[str]:
    return [r.test_case.task_output["output"] for r in result.test_results]


@pytest.mark.parametrize(
    ("template", "kind"),
    [
        ("Say {{question}}", "mustache"),
        ("Say {question}", "python"),
        ("Say {{ question }}{% for t in [] %}{{ t }}{% endfor %}", "jinja2"),
    ],
)
def test_templates_of_all_kinds(storage: Storage, template: str, kind: Any) -> None:
    """Each kind of template is rendered with the item; metrics see messages and reply."""
    result = evaluate_prompt(
        ITEMS, template, "fake/echo", [Equals()], template_type=kind, **quietly(storage)
    )
    assert outputs(result) == [f"Say q{n}" for n in range(6)]
    assert {r.score_results[0].value for r in result.test_results} == {1.0}
    first = result.test_results[0].test_case.task_output
    assert first is not None
    assert first["input"] == [{"role": "user", "content": "Say q0"}]


def test_python_templates_need_their_fields(storage: Storage) -> None:
    """A placeholder of any kind that no field fills is found before the run."""
    for template, kind in (("{nowhere}", "python"), ("{{ nowhere.deep }}", "jinja2")):
        with pytest.raises(PromptError, match="nowhere"):
            evaluate_prompt(
                ITEMS,
                template,
                "fake/echo",
                template_type=kind,
                **quietly(storage),  # type: ignore[arg-type]
            )
    assert list(storage.list_experiments()) == []


def test_images_are_rendered_and_sent(storage: Storage) -> None:
    """Parts of a message keep their kind; their texts and addresses are filled in."""
    sent: list[Any] = []

    def answer(messages: Any) -> str:
        sent.append(messages)
        return "a cat"

    messages = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is {{what}}?"},
                {"type": "image_url", "image_url": {"url": "{{picture}}", "detail": "low"}},
            ],
        },
    ]
    with FakeServer(answer) as server:
        model = get_model("vision", api_base=server.base_url, api_key="")
        items = [{"what": "this", "picture": "data:image/png;base64,AAAA"}]
        result = evaluate_prompt(items, messages, model, **quietly(storage))
    assert outputs(result) == ["a cat"]
    assert sent[0][1]["content"] == [
        {"type": "text", "text": "What is this?"},
        {
            "type": "image_url",
            "image_url": {"url": "data:image/png;base64,AAAA", "detail": "low"},
        },
    ]


class Shouting:
    """A model of the user's own."""

    name = "mine/shouting"

    async def generate(self, messages: Any, **ignored: Any) -> Completion:
        return Completion(text=messages[-1]["content"].upper(), model=self.name)


def test_model_objects_are_used_as_they_are(storage: Storage) -> None:
    """A model object is called, not looked up again by its name."""
    result = evaluate_prompt(
        ITEMS[:2], PROMPT, Shouting(), [Contains(reference="Q")], **quietly(storage)
    )  # type: ignore[arg-type]
    assert outputs(result) == ["SAY Q0", "SAY Q1"]
    (experiment,) = storage.list_experiments()
    assert (experiment.config or {})["model"] == "mine/shouting"


def test_the_default_model_is_that_of_the_settings(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a model the settings decide; if they name none, the error lists what there is."""
    from opik_eval import config

    with pytest.raises(ConfigError, match="no default"):
        evaluate_prompt(ITEMS, PROMPT, **quietly(storage))
    monkeypatch.setenv("OPIK_DEFAULT_LLM", "fake/fixed?text=yes")
    config.settings.cache_clear()
    assert outputs(evaluate_prompt(ITEMS[:1], PROMPT, **quietly(storage))) == ["yes"]


def test_trials_sample_anew_and_a_cache_remembers_each(storage: Storage) -> None:
    """Every trial is a call of its own, also with a cache; the next run finds each of them."""
    calls = [0]

    def count(messages: Any) -> str:
        calls[0] += 1
        return f"reply {calls[0]}"

    model = ChatModel(name="fake/counting", transport=FunctionTransport(count))
    options = quietly(storage, trial_count=3, cache="read_write", task_threads=1)
    first = evaluate_prompt(ITEMS[:2], PROMPT, model, **options)
    assert len(set(outputs(first))) == 6
    second = evaluate_prompt(ITEMS[:2], PROMPT, model, **options)
    assert outputs(second) == outputs(first)
    assert calls[0] == 6


def test_parameters_are_sent_and_remembered(storage: Storage) -> None:
    """Sampling parameters reach the provider and the experiment's config."""
    with FakeServer("ok") as server:
        model = get_model("m", api_base=server.base_url, api_key="")
        evaluate_prompt(
            ITEMS[:1], PROMPT, model, model_parameters={"temperature": 0.5}, **quietly(storage)
        )
        assert server.requests[0].body["temperature"] == 0.5


def test_a_prompt_resumes_unless_it_changed(storage: Storage) -> None:
    """Prompt, model and parameters are what a resumed run is recognised by."""

    def reused(messages: Any, model: Any = "fake/echo", **more: Any) -> int:
        again = quietly(storage, resume="run")
        return evaluate_prompt(ITEMS, messages, model, **more, **again).reused_items

    evaluate_prompt(ITEMS, PROMPT, "fake/echo", **quietly(storage, experiment_name="run"))
    assert reused(PROMPT) == 6
    assert reused(PROMPT, get_model("fake/echo", temperature=0)) == 0
    assert reused(PROMPT, model_parameters={"temperature": 1}) == 0
    assert reused("Tell {{question}}") == 0
    assert reused("Tell {{question}}") == 6


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([], "messages is empty"),
        ("", "messages is empty"),
        ([{"role": "wizard", "content": "x"}], "role 'wizard'"),
        ([{"role": "user"}], "no content"),
        ("{% if %}", "jinja2|template|tag"),
    ],
)
def test_prompts_that_cannot_be_sent_are_refused(
    storage: Storage, messages: Any, said: str
) -> None:
    """A prompt that is empty, malformed or broken is an error before anything is made."""
    with pytest.raises((ConfigError, PromptError), match=said):
        evaluate_prompt(ITEMS, messages, "fake/echo", template_type="jinja2", **quietly(storage))
    assert list(storage.list_experiments()) == []


def test_a_missing_key_is_found_before_anything_is_made(storage: Storage) -> None:
    """Without a key there is no experiment and no task; the error names the variable to set."""
    with pytest.raises(AuthenticationError, match="OPENAI_API_KEY is not set") as caught:
        evaluate_prompt(ITEMS, PROMPT, "openai/gpt-5-nano", **quietly(storage))
    assert "set OPENAI_API_KEY" in (caught.value.remedy or "")
    assert list(storage.list_experiments()) == []
    assert list(storage.list_datasets()) == []


def test_an_unknown_model_is_found_before_anything_is_made(storage: Storage) -> None:
    """A name that nobody serves is an error with a suggestion."""
    with pytest.raises(ConfigError, match="opnai"):
        evaluate_prompt(ITEMS, PROMPT, "opnai/gpt-5-nano", **quietly(storage))
    with pytest.raises(ConfigError, match="hosted_vllm"):
        evaluate_prompt(ITEMS, PROMPT, "hosted_vllm/qwen", **quietly(storage))
    with pytest.raises(ConfigError, match="cannot run here") as caught:
        evaluate_prompt(ITEMS, PROMPT, "local/no-such-model", **quietly(storage))
    assert "no-such-model" in str(caught.value)
    assert list(storage.list_experiments()) == []


def test_models_that_can_be_called_pass_the_check() -> None:
    """Fakes, objects of the user's own and what litellm serves need nothing beforehand."""
    for model in (
        get_model("fake/echo"),
        Shouting(),
        get_model("anthropic/claude-sonnet-4-5"),
        get_model("openai/gpt-5-nano", api_key="sk-test"),
        get_model("m", api_base="http://127.0.0.1:9/v1", api_key=""),
    ):
        check_callable(model)  # type: ignore[arg-type]


def test_a_refused_key_stops_at_the_first_call(storage: Storage) -> None:
    """A wrong key would fail every item: the run ends with the provider's error, few calls made."""
    with FakeServer("ok", api_key="right") as server:
        model = get_model("m", api_base=server.base_url, api_key="wrong-key")
        with pytest.raises(AuthenticationError) as caught:
            evaluate_prompt(
                ITEMS, PROMPT, model, **quietly(storage, experiment_name="run", task_threads=1)
            )
        assert len(server.requests) == 1
        partial = caught.value.partial_result  # type: ignore[attr-defined]
        assert (partial.status, partial.test_results) == ("failed", [])
        (experiment,) = storage.list_experiments()
        assert experiment.status == "failed"
        right = get_model("m", api_base=server.base_url, api_key="right")
        result = evaluate_prompt(ITEMS, PROMPT, right, **quietly(storage, resume="run"))
    assert (result.status, result.task_errors) == ("completed", 0)
    assert load_result(storage, "run").stop_reason is None


def test_a_model_the_server_does_not_know_stops_at_the_first_call(storage: Storage) -> None:
    """A 404 is met by every item."""
    with FakeServer(failure(404, "no such model")) as server:
        model = get_model("m", api_base=server.base_url, api_key="", retry=ONCE)
        with pytest.raises(InvalidRequestError, match="no such model"):
            evaluate_prompt(ITEMS, PROMPT, model, **quietly(storage, task_threads=1))
        assert len(server.requests) == 1


def test_a_server_that_is_not_there_stops_the_run(storage: Storage) -> None:
    """Connection refused before the first reply ends the run with what to check."""
    model = get_model("m", api_base="http://127.0.0.1:9/v1", api_key="", retry=ONCE)
    with pytest.raises(ModelUnavailableError, match=r"no reply from 127\.0\.0\.1:9") as caught:
        evaluate_prompt(ITEMS, PROMPT, model, **quietly(storage))
    assert "check that the server runs" in str(caught.value)
    (experiment,) = storage.list_experiments()
    assert experiment.status == "failed"


def test_a_server_that_fails_later_costs_items(storage: Storage) -> None:
    """Once a server has answered, its failures are those of single items."""
    replies: list[str | FakeReply] = ["ok", failure(500, "broken"), failure(404, "gone"), "ok"]
    with FakeServer("ok") as server:
        server.script(*replies[:2])
        model = get_model("m", api_base=server.base_url, api_key="", retry=ONCE)
        result = evaluate_prompt(ITEMS, PROMPT, model, **quietly(storage, task_threads=1))
    assert result.status == "completed"
    assert [r.error is not None for r in result.test_results] == [False, True] + 4 * [False]


def test_a_reply_that_is_refused_for_its_content_costs_its_item(storage: Storage) -> None:
    """A 400 may be about one item's text, so the run goes on."""
    with FakeServer("ok") as server:
        server.script(failure(400, "bad content"))
        model = get_model("m", api_base=server.base_url, api_key="", retry=ONCE)
        result = evaluate_prompt(ITEMS, PROMPT, model, **quietly(storage, task_threads=1))
    assert [r.error is not None for r in result.test_results] == [True] + 5 * [False]


def test_prompts_run_in_other_processes_too(tmp_path: Path, storage: Storage) -> None:
    """A named model is found anew in each process; one with options travels with them."""
    options = quietly(storage, executor="loky", task_threads=2)
    result = evaluate_prompt(ITEMS, PROMPT, "fake/echo", [Equals()], **options)
    assert outputs(result) == [f"Say q{n}" for n in range(6)]
    with FakeServer("from the server") as server:
        model = get_model("gpt-4o", api_base=server.base_url, api_key="k")
        task = pickle.loads(pickle.dumps(PromptTask(tuple(PROMPT), model)))
        assert task.model.api_base == server.base_url
        again = evaluate_prompt(ITEMS[:2], PROMPT, model, **options)
    assert outputs(again) == ["from the server"] * 2
