"""Candidates: their texts, their ids, their lineage."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.prompts import image_part, text_part
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import OptimizerError
from opik_optimizer.prompt import ChatPrompt

TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search.",
        "parameters": {
            "type": "object",
            "properties": {"q": {"type": "string", "description": "What."}},
        },
    },
}


def bundle() -> Candidate:
    return Candidate.of(
        {
            "plan": ChatPrompt(system="Plan.", user="{q}", tools=[TOOL]),
            "act": ChatPrompt(
                messages=[
                    {"role": "user", "content": [text_part("Look:"), image_part("{url}")]},
                    {"role": "assistant", "tool_calls": [{"id": "1"}]},
                ]
            ),
        }
    )


def test_components_are_the_editable_texts() -> None:
    """Messages, text parts and, on demand, descriptions of tools are components."""
    assert bundle().components(tools=True) == {
        "plan/system/0": "Plan.",
        "plan/user/1": "{q}",
        "plan/tool/search": "Search.",
        "plan/tool/search/q": "What.",
        "act/user/0/0": "Look:",
    }
    assert list(bundle().components(["user"])) == ["plan/user/1", "act/user/0/0"]
    assert list(bundle().components([], tools=["search"])) == [
        "plan/tool/search",
        "plan/tool/search/q",
    ]
    assert bundle().components([], tools=["other"]) == {}
    assert bundle().text(["user"]) == "{q}\n\nLook:"


@given(st.data())
def test_changes_go_where_they_belong(data: st.DataObject) -> None:
    """A change of some components changes these and no others, and never the parent."""
    seed = bundle()
    before = seed.components(tools=True)
    keys = data.draw(st.sets(st.sampled_from(sorted(before)), min_size=1))
    changes = {key: data.draw(st.text(max_size=5)) for key in keys}
    child = seed.with_components(changes, operator="mutation", note="why")
    assert child.components(tools=True) == {**before, **changes}
    assert seed.components(tools=True) == before
    assert (child.parents, child.operator, child.note) == ((seed.id,), "mutation", "why")
    assert (child == seed) == (child.components(tools=True) == before)


def test_lineage_is_no_content() -> None:
    """Candidates of equal content are equal; other models and parameters make others."""
    seed = Candidate.of(ChatPrompt(user="{q}"))
    same = Candidate(prompts=seed.prompts, parents=("x",), operator="merge", note="n")
    assert same == seed
    assert len({same, seed}) == 1
    other = Candidate.of(ChatPrompt(user="{q}", model_parameters={"temperature": 0}))
    assert len({seed, other, Candidate.of(ChatPrompt(user="{q}", model="fake/echo"))}) == 3
    assert seed != "seed"


def test_round_trip() -> None:
    """A candidate comes back from JSON types with content and lineage."""
    child = bundle().with_components({"plan/system/0": "x"}, operator="m", parents=["a", "b"])
    back = Candidate.from_dict(child.to_dict())
    assert back == child
    assert (back.parents, back.operator, back.note) == (("a", "b"), "m", None)


def test_unknown_names_are_refused() -> None:
    """A component or prompt that is not there is an error that lists what is."""
    with pytest.raises(OptimizerError, match="plan/system/0"):
        bundle().with_components({"plan/system/9": "x"}, operator="m")
    with pytest.raises(OptimizerError, match="'plan'"):
        bundle().with_prompts({"other": ChatPrompt(user="u")}, operator="m")


def test_size_is_that_of_all_prompts() -> None:
    """Tokens add up over the prompts."""
    assert Candidate.of({"a": ChatPrompt(user="1234"), "b": ChatPrompt(user="12345")}).tokens == 3
