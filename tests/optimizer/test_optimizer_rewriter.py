"""The reflection model: its templates, its answers, and whether it is strong enough."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from opik_eval.errors import AuthenticationError, BudgetExceededError
from opik_eval.models import Budget, use_models
from opik_eval.models.base import Completion
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import ScriptedTransport
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import (
    NoReflectionError,
    ReflectionError,
    SettingsError,
    WeakReflectionError,
)
from opik_optimizer.guards import Rejection
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.rewriter import MAX_FAILED_CALLS, Reflection, ReflectionWatch, Rewriter
from opik_optimizer.settings import OptimizerOptions
from opik_optimizer.templates import TemplateLibrary

SEED = Candidate.of(ChatPrompt(user="{q}"))


class Proposal(BaseModel):
    prompt: str


class Other(BaseModel):
    x: int


def ask(*script: object, **fields: object) -> Reflection:
    transport = ScriptedTransport(list(script))  # type: ignore[arg-type]
    rewriter = Rewriter(model=ChatModel(name="fake/script", transport=transport), **fields)  # type: ignore[arg-type]
    return asyncio.run(rewriter.ask("Improve.", Proposal, purpose="improving"))


def test_an_answer_is_an_instance() -> None:
    """The reply is read as the class that was asked for."""
    reflection = ask({"prompt": "better"})
    assert reflection.as_(Proposal).prompt == "better"
    with pytest.raises(ReflectionError, match="not a Other"):
        reflection.as_(Other)


def test_parameters_reach_the_model() -> None:
    """Parameters of every call and of this call are sent, the latter first."""
    transport = ScriptedTransport([{"prompt": "x"}])
    model = ChatModel(name="fake/script", transport=transport)
    rewriter = Rewriter(model=model, parameters={"temperature": 1, "top_p": 0.5})
    asyncio.run(rewriter.ask("?", Proposal, purpose="p", temperature=0))
    assert transport.requests[0].params == {"temperature": 0, "top_p": 0.5}


def test_a_reply_that_fits_nothing_is_kept_in_the_error() -> None:
    """After the repair turn the raw reply is in the error, for whoever looks into it."""
    with pytest.raises(ReflectionError, match="improving") as caught:
        ask("Sure, here it is!", "Sorry.")
    assert caught.value.reply == "Sorry."


def test_a_failing_model_is_a_reflection_error() -> None:
    """A call that fails for good is an error without a reply; a spent budget stays one."""
    with pytest.raises(ReflectionError, match="failed: no key") as caught:
        ask(AuthenticationError("no key"))
    assert caught.value.reply is None
    with pytest.raises(BudgetExceededError), use_models(budget=Budget(max_requests=0)):
        ask({"prompt": "x"})


def test_a_model_that_ignores_the_schema() -> None:
    """A model of the user's that parses nothing is found out."""

    class Loose:
        name = "loose"

        async def generate(self, *args: object, **kwargs: object) -> Completion:
            return Completion(text="hm", model="loose")

    with pytest.raises(ReflectionError, match="loose gave no Proposal"):
        asyncio.run(Rewriter(model=Loose()).ask("?", Proposal, purpose="p"))  # type: ignore[arg-type]


def test_no_model_at_all() -> None:
    """Without a model and a default the error says which argument to pass."""
    with pytest.raises(SettingsError, match="no reflection model"):
        Rewriter().resolved()


def test_a_weak_model_ends_the_run_before_more_is_spent() -> None:
    """If the first proposals are all unusable, the statement names each reason once."""
    watch = ReflectionWatch("tiny")
    watch.saw(ReflectionError("no JSON", reply="Sure!"))
    watch.saw(Rejection(guard="placeholders", reason="lost {q}", candidate=SEED))
    with pytest.raises(WeakReflectionError, match=r"tiny.*3 .*no JSON; placeholders") as caught:
        watch.saw(ReflectionError("no JSON", reply=""))
    assert caught.value.reply == "Sure!"
    assert "FewShotBayesianOptimizer" in str(caught.value)


def test_one_usable_proposal_is_enough() -> None:
    """A model that has succeeded once may fail as often as it likes."""
    watch = ReflectionWatch("fine", limit=2)
    watch.saw(ReflectionError("no JSON"))
    watch.saw(SEED)
    for _ in range(5):
        watch.saw(ReflectionError("no JSON", reply="Sure!"))
    assert watch.has_succeeded


def test_failed_calls_say_nothing_of_the_model() -> None:
    """Calls that fail count apart; if nothing else comes, the run ends, and says so."""
    flaky = ReflectionWatch("flaky")
    for _ in range(MAX_FAILED_CALLS - 1):
        flaky.saw(ReflectionError("no connection"))
    flaky.saw(ReflectionError("no JSON", reply="Sure!"))
    for _ in range(MAX_FAILED_CALLS):
        flaky.saw(ReflectionError("no connection"))
    flaky.saw(SEED)
    absent = ReflectionWatch("absent")
    for _ in range(MAX_FAILED_CALLS - 1):
        absent.saw(ReflectionError("no key"))
    with pytest.raises(NoReflectionError, match=r"absent did not answer.*10 calls.*\(no key\)"):
        absent.saw(ReflectionError("no key"))
    assert NoReflectionError.stop_reason == "no_reflection_model"


def test_the_model_that_analyses() -> None:
    """It is the one that writes unless the options say otherwise."""
    plain = OptimizerOptions(model="fake/a", model_parameters={"temperature": 1})
    assert Rewriter.of(plain, analysis=True) == Rewriter.of(plain)
    both = OptimizerOptions(model="fake/a", reasoning_model="fake/b")
    assert Rewriter.of(both, analysis=True) == Rewriter(model="fake/b")
    assert Rewriter.of(both) == Rewriter(model="fake/a")
    colder = OptimizerOptions(model="fake/a", reasoning_model_parameters={"temperature": 0})
    cold = Rewriter(model="fake/a", parameters={"temperature": 0})
    assert Rewriter.of(colder, analysis=True) == cold


def test_templates_are_edited_by_name() -> None:
    """Overrides are a mapping or a function; unknown names and values are refused."""
    library = TemplateLibrary({"a": "<!-- system -->\nS\n<!-- user -->\n{{ x }}", "b": "B {{ y }}"})
    before = library.versions()
    library.update({"b": "New {{ y }}"})
    assert library.keys() == ["a", "b"]
    assert library.messages("b", y="{{ z }}") == [{"role": "user", "content": "New {{ z }}"}]
    assert [m["role"] for m in library.messages("a", x=1)] == ["system", "user"]
    after = library.versions()
    assert before["a"] == after["a"]
    assert before["b"] != after["b"]
    with pytest.raises(SettingsError, match="there are a, b"):
        library.update({"c": "x"})
    with pytest.raises(SettingsError, match="no z"):
        library.set("b", "{{ z }}")
    assert library.get("b") == "New {{ y }}"


def test_templates_of_a_package() -> None:
    """A package's Markdown files are its templates; a run edits a copy."""
    package = "opik_eval.judges"
    own = TemplateLibrary.of_package(package)
    name = own.keys()[0]
    edited = TemplateLibrary.of_package(package, lambda library: library.set(name, "Mine."))
    assert edited.get(name) == "Mine."
    assert TemplateLibrary.of_package(package, {name: "Yours."}).get(name) == "Yours."
    assert TemplateLibrary.of_package(package).versions() == own.versions()
    with pytest.raises(SettingsError, match="no templates"):
        TemplateLibrary.of_package("opik_eval.records")
