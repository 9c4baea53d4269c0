"""Agents: the default one with its tools, classes and functions of the user's."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from opik_eval.errors import BudgetExceededError, ModelUnavailableError
from opik_eval.models import Budget, use_models
from opik_eval.models.base import Completion, ModelRequest, TokenLogprob, ToolCall, Usage
from opik_eval.models.client import ChatModel, get_model
from opik_eval.models.fake import FunctionTransport, ScriptedTransport
from opik_optimizer.agent import Agent, AgentCall, AgentRun, OptimizableAgent, as_agent
from opik_optimizer.chat_agent import ChatAgent
from opik_optimizer.errors import AgentError, SettingsError
from opik_optimizer.objective import ObjectiveScore
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.several_replies import Replies, best_of, sum_usage

ITEM = {"q": "hello"}
TOOL = {"type": "function", "function": {"name": "look_up"}}


def run(agent: object, prompt: ChatPrompt | None = None, **fields: object) -> AgentRun:
    prompts = {"p": prompt or ChatPrompt(user="{q}", model="fake/echo")}
    return asyncio.run(as_agent(agent).run(AgentCall(prompts=prompts, item=ITEM, **fields)))  # type: ignore[arg-type]


def scripted(*replies: object) -> ChatModel:
    return ChatModel(name="fake/script", transport=ScriptedTransport(list(replies)))  # type: ignore[arg-type]


def calls(*names: str, arguments: str = '{"word": "x"}') -> Completion:
    asked = tuple(
        ToolCall(id=str(n), name=name, arguments=arguments) for n, name in enumerate(names)
    )
    return Completion(text="", model="m", tool_calls=asked, usage=Usage(total_tokens=10))


def test_the_default_agent_runs_the_prompt() -> None:
    """The rendered prompt is sent to its model with its parameters; the call is counted."""
    transport = ScriptedTransport(["hi"])
    model = ChatModel(name="fake/script", transport=transport)
    prompt = ChatPrompt(
        user="{q}", model=model, model_parameters={"temperature": 0, "allow_tool_use": True}
    )
    found = run(None, prompt, seed=7)
    assert (found.output, found.model_calls, found.tool_calls) == ("hi", 1, 0)
    (request,) = transport.requests
    assert request.messages == [{"role": "user", "content": "hello"}]
    assert request.params == {"temperature": 0, "seed": 7}


def test_repeats_ask_anew() -> None:
    """Each repeat is a request of its own for a response cache."""
    asked: list[int] = []

    class Counting:
        name = "counting"

        async def generate(
            self, messages: object, *, repeat: int = 0, **rest: object
        ) -> Completion:
            asked.append(repeat)
            return Completion(text="x", model="counting")

    run(None, ChatPrompt(user="{q}", model=Counting()), repeat=3)  # type: ignore[arg-type]
    assert asked == [3]


def test_tools_are_called_until_the_model_answers() -> None:
    """Sync and async tools are called, their results told; calls of both kinds are counted."""
    transport = ScriptedTransport([calls("look_up", "later"), calls("look_up"), "done"])

    async def later(word: str) -> dict[str, str]:
        return {"word": word}

    prompt = ChatPrompt(
        user="{q}",
        model=ChatModel(name="fake/script", transport=transport),
        tools=[TOOL],
        function_map={"look_up": lambda word: word.upper(), "later": later},
    )
    found = run(None, prompt)
    assert (found.output, found.model_calls, found.tool_calls) == ("done", 3, 3)
    told = [m["content"] for m in transport.requests[-1].messages if m["role"] == "tool"]
    assert told == ["X", '{"word":"x"}', "X"]
    assert transport.requests[0].params["tools"] == [TOOL]


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (calls("unknown"), "there is no tool 'unknown'"),
        (calls("look_up", arguments="[1]"), "no JSON object"),
        (calls("look_up", arguments="{"), "Error: JSONDecodeError"),
        (calls("look_up"), "Error: KeyError"),
    ],
)
def test_failures_of_tools_are_told_to_the_model(reply: Completion, text: str) -> None:
    """Whatever goes wrong with a tool becomes text for the model, and the run goes on."""

    def look_up(word: str) -> str:
        raise KeyError(word)

    transport = ScriptedTransport([reply, "sorry"])
    model = ChatModel(name="fake/script", transport=transport)
    prompt = ChatPrompt(user="{q}", model=model, tools=[TOOL], function_map={"look_up": look_up})
    assert run(None, prompt).output == "sorry"
    assert text in str(transport.requests[-1].messages[-1]["content"])


def test_a_tool_may_spend_the_budget() -> None:
    """A tool whose own model call does not fit the budget ends the run."""

    def look_up(word: str) -> str:
        return get_model("fake/echo").generate_sync(word).text

    prompt = ChatPrompt(
        user="{q}",
        model=scripted(calls("look_up"), "x"),
        tools=[TOOL],
        function_map={"look_up": look_up},
    )
    with pytest.raises(BudgetExceededError), use_models(budget=Budget(max_requests=1)):
        run(None, prompt)


def test_a_model_that_never_answers_is_told_to() -> None:
    """After the last round tools are switched off, so the number of calls is bounded."""

    def reply(request: ModelRequest) -> Completion | str:
        return "at last" if request.params.get("tool_choice") == "none" else calls("look_up")

    model = ChatModel(name="fake/f", transport=FunctionTransport(reply))
    prompt = ChatPrompt(
        user="{q}", model=model, tools=[TOOL], function_map={"look_up": lambda word: word}
    )
    found = run(None, prompt)
    assert (found.output, found.model_calls, found.tool_calls) == ("at last", 6, 5)


@pytest.mark.parametrize("parameters", [{}, {"allow_tool_use": False}])
def test_tools_can_be_switched_off(parameters: Mapping[str, object]) -> None:
    """Neither the run nor the prompt may forbid tools for the model to see them."""
    transport = ScriptedTransport(["x"])
    prompt = ChatPrompt(
        user="{q}",
        model=ChatModel(name="fake/script", transport=transport),
        tools=[TOOL],
        model_parameters=parameters,
    )
    run(None, prompt, allow_tool_use=bool(parameters))
    assert "tools" not in transport.requests[0].params


def test_what_the_default_agent_cannot_run_is_refused() -> None:
    """Bundles, MCP tools that were not looked up and several replies are errors up front."""
    prompt = ChatPrompt(user="{q}", model="fake/echo")
    server = {"type": "mcp", "server_label": "s", "server_url": "http://x"}
    for prompts, text in (
        ({"a": prompt, "b": prompt}, "bundle"),
        ({"a": ChatPrompt(user="u", tools=[server])}, "MCP"),
        ({"a": ChatPrompt(user="u", model_parameters={"n": 0})}, "n=0"),
        ({"a": ChatPrompt(user="u", model_parameters={"n": True})}, "n=True"),
        ({"a": ChatPrompt(user="u", model_parameters={"n": 3}, tools=[TOOL])}, "n=3"),
        ({"a": ChatPrompt(user="u", model_parameters={"selection_policy": "last"})}, "last"),
    ):
        with pytest.raises(SettingsError, match=text):
            as_agent().check(prompts)
    as_agent().check({"a": prompt})


@pytest.mark.parametrize(
    ("policy", "output", "alternatives"),
    [
        ("first", "one", ()),
        ("concat", "one\n\ntwo\n\nthree", ()),
        ("best_by_metric", "one", ("one", "two", "three")),
        (None, "one", ("one", "two", "three")),
    ],
)
def test_several_replies_become_one_answer(
    policy: str | None, output: str, alternatives: tuple[str, ...]
) -> None:
    """``n`` replies are n calls, and the policy says what the answer is."""
    model = scripted("one", "two", "three")
    parameters = {"n": 3, "selection_policy": policy, "temperature": 1}
    found = run(None, ChatPrompt(user="{q}", model=model, model_parameters=parameters))
    assert (found.output, found.alternatives, found.model_calls) == (output, alternatives, 3)
    assert found.usage.total_tokens is not None


def test_a_random_reply_is_the_same_in_every_run() -> None:
    """``random`` depends on the item and the prompt, not on the process."""
    parameters = {"n": 3, "selection_policy": "random"}
    outputs = {
        run(
            None,
            ChatPrompt(user="{q}", model=scripted("a", "b", "c"), model_parameters=parameters),
        ).output
        for _ in range(3)
    }
    assert len(outputs) == 1
    assert outputs <= {"a", "b", "c"}


def test_the_likeliest_reply_counts() -> None:
    """``max_logprob`` takes the reply whose tokens are likeliest on average, or fails."""
    replies = [
        Completion(text=text, model="m", logprobs=logprobs)
        for text, logprobs in (
            (
                "long",
                (TokenLogprob(token="a", logprob=-1.0), TokenLogprob(token="b", logprob=-3.0)),
            ),
            ("sure", (TokenLogprob(token="c", logprob=-1.5),)),
        )
    ]
    runs = [AgentRun(output=reply.text) for reply in replies]
    wanted = Replies(count=2, policy="max_logprob")
    assert wanted.join(runs, replies, key=0).output == "sure"
    with pytest.raises(AgentError, match="log-probabilities"):
        wanted.join(runs, [replies[0], replace(replies[1], logprobs=None)], key=0)


def test_the_best_reply_by_the_metric_is_the_one_that_counts() -> None:
    """A result has the output and the score of the best of n replies: pass@n."""
    model = scripted(*["bad", "good", "worse"] * 4)
    found = asyncio.run(
        best_of(
            run(None, ChatPrompt(user="{q}", model=model, model_parameters={"n": 3})),
            _quality,
        )
    )
    assert (found[0].output, found[1].score) == ("good", 1.0)


async def _quality(output: object) -> ObjectiveScore:
    scores = {"good": 1.0, "bad": 0.5, "worse": None}
    return ObjectiveScore(score=scores[str(output)])


def test_errors_of_the_model_come_through() -> None:
    """The default agent hides no failure of its model."""
    with pytest.raises(ModelUnavailableError):
        run(None, ChatPrompt(user="{q}", model=scripted(*[ModelUnavailableError("down")] * 20)))


class Classic(OptimizableAgent):
    def __init__(self, suffix: str = "!") -> None:
        self.suffix = suffix

    def invoke_agent(self, prompts, dataset_item, allow_tool_use=False, seed=None):  # type: ignore[no-untyped-def]
        model = get_model(prompts["p"].model)
        return model.generate_sync(prompts["p"].get_messages(dataset_item)).text + self.suffix


class Modern(OptimizableAgent):
    async def ainvoke_agent(self, prompts, dataset_item, allow_tool_use=False, seed=None):  # type: ignore[no-untyped-def]
        return f"{dataset_item['q']} {allow_tool_use} {seed}"


async def by_name(messages, seed):  # type: ignore[no-untyped-def]
    return f"{messages[0]['content']} {seed}"


def by_place(texts, row):  # type: ignore[no-untyped-def]
    return texts["p"].get_messages(row)[0]["content"]


def test_agents_of_all_forms() -> None:
    """Classes, sync and async, and functions by name and by position all run."""
    assert run(Classic()).output == "hello!"
    assert run(Classic).output == "hello!"
    assert run(Modern(), allow_tool_use=True, seed=3).output == "hello True 3"
    assert run(by_name, seed=4).output == "hello 4"
    assert run(by_place).output == "hello"
    assert run(lambda prompt, item: prompt.user + item["q"]).output == "{q}hello"
    assert run(lambda prompts: AgentRun(output="x", model_calls=9)).model_calls == 9


def test_model_calls_of_the_users_agent_are_counted() -> None:
    """Calls through ``opik_eval.models`` are metered, whatever the agent says."""
    found = run(Classic())
    assert found.model_calls == 1
    assert (found.usage.total_tokens or 0) > 0
    assert found.cost_usd == 0


def test_agents_get_copies() -> None:
    """An agent may change what it is given; the next call sees nothing of it."""
    prompt = ChatPrompt(user="{q}")

    def vandal(prompts, dataset_item):  # type: ignore[no-untyped-def]
        prompts["p"].set_messages([{"role": "user", "content": "gone"}])
        dataset_item.clear()
        return "x"

    run(vandal, prompt)
    assert prompt.user == "{q}"
    assert ITEM == {"q": "hello"}


def test_failures_of_the_agent_have_one_type() -> None:
    """An exception, and no answer at all, are agent errors; a spent budget stays one."""
    with pytest.raises(AgentError, match="ZeroDivisionError"):
        run(lambda prompts: 1 / 0)
    with pytest.raises(AgentError, match="returned None"):
        run(lambda prompts: None)
    with pytest.raises(BudgetExceededError), use_models(budget=Budget(max_requests=0)):
        run(Classic())


def test_sync_agents_run_in_the_given_threads() -> None:
    """A synchronous agent leaves the event loop free, so several run at once."""
    barrier = threading.Barrier(3, timeout=20)

    def waiting(prompts):  # type: ignore[no-untyped-def]
        barrier.wait()
        return threading.current_thread().name

    async def together() -> list[AgentRun]:
        with ThreadPoolExecutor(3, thread_name_prefix="mine") as executor:
            call = AgentCall(prompts={"p": ChatPrompt(user="{q}")}, item=ITEM, executor=executor)
            return await asyncio.gather(*(as_agent(waiting).run(call) for _ in range(3)))

    assert all(str(found.output).startswith("mine") for found in asyncio.run(together()))


def test_fingerprints_follow_the_code() -> None:
    """Another agent, configuration or tool function has another fingerprint."""
    plain = {"p": ChatPrompt(user="{q}")}
    tooled = {"p": ChatPrompt(user="{q}", tools=[TOOL], function_map={"look_up": len})}
    keys = [
        as_agent(None).fingerprint(plain),
        as_agent(None).fingerprint(tooled),
        as_agent(ChatAgent(max_tool_rounds=1)).fingerprint(plain),
        as_agent(Classic()).fingerprint(plain),
        as_agent(Classic("?")).fingerprint(plain),
        as_agent(Classic()).fingerprint(tooled),
        as_agent(by_name).fingerprint(plain),
    ]
    assert len(set(keys)) == len(keys)
    assert as_agent(Classic()).fingerprint(plain) == keys[3]


def test_what_is_no_agent_is_refused() -> None:
    """An agent without a method, and anything that cannot be called, are errors."""
    with pytest.raises(SettingsError, match="neither invoke_agent"):
        as_agent(OptimizableAgent())
    with pytest.raises(SettingsError, match="no agent"):
        as_agent(3)
    own: Agent = ChatAgent()
    assert as_agent(own) is own
    as_agent(by_name).check({})


def test_usage_adds_up() -> None:
    """Counts add up; what no reply told stays unknown."""
    total = sum_usage([Usage(total_tokens=1, cached_tokens=1), Usage(total_tokens=2)])
    assert total == Usage(total_tokens=3, cached_tokens=1)
