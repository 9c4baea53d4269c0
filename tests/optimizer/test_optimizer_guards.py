"""Guards: each rule rejects what breaks it, says why, and lets everything else pass."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.prompts import image_part, text_part
from opik_optimizer.candidate import Candidate
from opik_optimizer.errors import SettingsError
from opik_optimizer.guards import Guards, GuardSettings, Rejection
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.verbatim import VerbatimIndex, words_of

TOOL = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
    },
}
ITEMS = [
    {
        "question": "Which river runs through the old town of the city of Bern in Switzerland?",
        "context": "short",
        "answer": "Aare",
    },
    {
        "question": "Who wrote it?",
        "context": "c",
        "answer": "one two three four five six seven eight",
    },
]
SYSTEM, USER = "p/system/0", "p/user/1"
SEED = Candidate.of(
    {"p": ChatPrompt(system="Use {context}. Be brief.", user="{question}", tools=[TOOL])}
)


def check(
    changes: Mapping[str, str], operator: str = "mutation", **settings: object
) -> Rejection | None:
    child = SEED.with_components(changes, operator=operator)
    guards = Guards(SEED, items=ITEMS, settings=GuardSettings(**settings))  # type: ignore[arg-type]
    return guards.check(SEED, child)


def check_messages(*messages: Mapping[str, object], **settings: object) -> Rejection | None:
    child = SEED.with_prompts({"p": SEED.prompts["p"].with_messages(messages)}, operator="x")
    return Guards(SEED, items=ITEMS, settings=GuardSettings(**settings)).check(SEED, child)  # type: ignore[arg-type]


def guard_of(rejection: Rejection | None) -> str | None:
    return None if rejection is None else rejection.guard


@pytest.mark.parametrize(
    ("text", "guard"),
    [
        ("Use {context}. Be exact.", None),
        ("Be exact.", "placeholders"),
        ("Use {context} and {answer}.", "leak"),
        ("Use {context} and {question}", None),
        ("Use {context}; reply as {final}", None),
        (" ", "empty"),
        ("Use  {context}. be BRIEF.", "near_duplicate"),
        ("{context} Remember: the old town of the city of Bern is nice.", "verbatim"),
        ("{context} The old town of the city is nice.", None),
        ("{context} ONE, two; three-four five six seven eight", "verbatim"),
        ("{context} " + "word " * 9000, "prompt_size"),
    ],
)
def test_each_rule_rejects_what_breaks_it(text: str, guard: str | None) -> None:
    """What a candidate may not do is rejected by the right guard, what it may do passes."""
    assert guard_of(check({SYSTEM: text})) == guard


def test_rejections_say_why() -> None:
    """A reason names the placeholder, or shows the words that were copied."""
    assert "{context}" in check({SYSTEM: "x"}).reason  # type: ignore[union-attr]
    copied = check({SYSTEM: "{context} the old town of the city of Bern is nice"})
    assert "'the old town of the city of bern'" in copied.reason  # type: ignore[union-attr]
    assert copied.candidate.components()[SYSTEM].startswith("{context} the")  # type: ignore[union-attr]


def test_new_columns_need_permission_and_labels_get_none() -> None:
    """A column that the initial prompt does not use may be allowed, an answer never."""
    seed = Candidate.of(ChatPrompt(name="p", system="Be brief.", user="{question}"))

    def guard(text: str, *, allowed: bool) -> str | None:
        child = seed.with_components({SYSTEM: text}, operator="x")
        settings = GuardSettings(allow_new_columns=allowed)
        return guard_of(Guards(seed, items=ITEMS, settings=settings).check(seed, child))

    assert guard("{context}", allowed=False) == "leak"
    assert guard("{context}", allowed=True) is None
    assert guard("{answer}", allowed=True) == "leak"
    assert guard("{answer.x}", allowed=True) == "leak"


def test_an_answer_that_the_prompt_shows_is_no_label() -> None:
    """A judge's prompt may show a column called ``answer``; it then is an input."""
    seed = Candidate.of(ChatPrompt(name="p", system="Judge.", user="{question} {answer}"))
    child = seed.with_components({SYSTEM: "Judge {answer}."}, operator="x")
    assert Guards(seed, items=ITEMS).check(seed, child) is None


def test_without_columns_all_placeholders_stay() -> None:
    """Where no items are known, no placeholder may be lost."""
    child = SEED.with_components({SYSTEM: "x"}, operator="x")
    assert guard_of(Guards(SEED).check(SEED, child)) == "placeholders"


SYSTEM_MESSAGE = {"role": "system", "content": "{context} New."}
USER_MESSAGE = {"role": "user", "content": "{question}"}
EXTRA = {"role": "assistant", "content": "Sure."}


@pytest.mark.parametrize(
    ("messages", "roles", "guard"),
    [
        ([SYSTEM_MESSAGE, USER_MESSAGE], {"system"}, None),
        ([SYSTEM_MESSAGE, SYSTEM_MESSAGE, USER_MESSAGE], {"system"}, None),
        ([SYSTEM_MESSAGE, USER_MESSAGE, EXTRA], {"system"}, "roles"),
        ([SYSTEM_MESSAGE, EXTRA, USER_MESSAGE], {"system", "assistant"}, None),
        ([SYSTEM_MESSAGE], {"system"}, "roles"),
        ([SYSTEM_MESSAGE, {"role": "user", "content": "{question}!"}], {"system"}, "roles"),
        ([SYSTEM_MESSAGE, USER_MESSAGE], {"user"}, "roles"),
        ([{"role": "user", "content": "{context} {question}"}], {"system", "user"}, None),
    ],
)
def test_roles_are_obeyed(
    messages: list[Mapping[str, object]], roles: set[str], guard: str | None
) -> None:
    """Messages of other roles may be neither changed nor added nor removed."""
    assert guard_of(check_messages(*messages, roles=frozenset(roles))) == guard


def test_media_are_kept() -> None:
    """Images beside an editable text must stay as they are."""
    parts = [text_part("Look."), image_part("{question}")]
    seed = Candidate.of(ChatPrompt(name="p", messages=[{"role": "user", "content": parts}]))
    prompt = seed.prompts["p"]
    other = prompt.with_messages([{"role": "user", "content": [text_part("{question}")]}])
    child = seed.with_prompts({"p": other}, operator="x")
    settings = GuardSettings(roles=frozenset({"user"}))
    assert guard_of(Guards(seed, items=ITEMS, settings=settings).check(seed, child)) == "roles"
    edited = seed.with_components({"p/user/0/0": "See."}, operator="x")
    assert Guards(seed, items=ITEMS, settings=settings).check(seed, edited) is None


@pytest.mark.parametrize(
    ("tools", "guard"),
    [(False, "tools"), (True, None), (frozenset({"search"}), None), (frozenset({"x"}), "tools")],
)
def test_descriptions_of_tools_need_permission(tools: object, guard: str | None) -> None:
    """Descriptions may change where they are allowed to."""
    assert guard_of(check({"p/tool/search": "Find."}, tools=tools)) == guard


def test_names_and_schemas_of_tools_are_frozen() -> None:
    """No permission covers names and schemas."""
    changed = SEED.prompts["p"].copy()
    changed.tools[0]["function"]["name"] = "find"  # type: ignore[index]
    child = SEED.with_prompts({"p": changed}, operator="x")
    settings = GuardSettings(tools=True)
    assert guard_of(Guards(SEED, items=ITEMS, settings=settings).check(SEED, child)) == "tools"


def test_what_ancestors_say_is_not_copied() -> None:
    """Words that the seed or a parent has may be repeated; so may those of demonstrations."""
    text = "{context} the old town of the city of Bern is nice"
    assert check({SYSTEM: text}, operator="demonstrations") is None
    assert check({SYSTEM: text}, max_verbatim_words=None) is None
    assert check({SYSTEM: text}, max_verbatim_words=8) is None
    parent = SEED.with_components({SYSTEM: text}, operator="demonstrations")
    child = parent.with_components({SYSTEM: text + "."}, operator="mutation")
    assert Guards(SEED, items=ITEMS).check(parent, child) is None


def test_the_size_of_an_edit_is_that_from_the_nearest_parent() -> None:
    """With a limit, a rewrite is rejected unless one of the parents is near enough."""
    text = "Use {context}. Quite another text altogether, as anyone can see."
    assert guard_of(check({SYSTEM: text}, max_edit=0.2)) == "edit_size"
    assert check({SYSTEM: "Use {context}. Be kind."}, max_edit=0.4) is None
    other = SEED.with_components({SYSTEM: text}, operator="x")
    child = other.with_components({SYSTEM: text + "!"}, operator="merge")
    guards = Guards(SEED, items=ITEMS, settings=GuardSettings(max_edit=0.2))
    assert guards.check([SEED, other], child) is None
    assert guard_of(guards.check([SEED], child)) == "edit_size"


def test_repetitions_are_found_among_all_that_is_known() -> None:
    """The same, and nearly the same, is rejected; another model makes another candidate."""
    guards = Guards(SEED, items=ITEMS)
    first = SEED.with_components({SYSTEM: "{context} Be exact."}, operator="x")
    again = SEED.with_components({SYSTEM: "{context} Be exact."}, operator="y")
    shouted = SEED.with_components({SYSTEM: "{context}  BE exact. "}, operator="y")
    assert guards.check(SEED, again) is None
    assert guard_of(guards.check(SEED, again, known=[first])) == "duplicate"
    assert guard_of(guards.check(SEED, shouted, known=[first])) == "near_duplicate"
    other = shouted.prompts["p"].copy()
    other.model_parameters["temperature"] = 1
    child = SEED.with_prompts({"p": other}, operator="y")
    assert guards.check(SEED, child, known=[first]) is None


def test_near_duplicates_by_similarity() -> None:
    """With a threshold below 1, small differences repeat a candidate too."""
    assert guard_of(check({SYSTEM: "Use {context}. Be briefer."}, near_duplicate=0.9)) == (
        "near_duplicate"
    )
    assert check({SYSTEM: "Never trust {context}! Think."}, near_duplicate=0.9) is None


@given(
    st.lists(st.sampled_from("abcde"), max_size=12), st.lists(st.sampled_from("abcde"), max_size=12)
)
def test_copies_are_found_as_by_comparing_all_runs(data: list[str], text: list[str]) -> None:
    """The index finds a copied run exactly where a comparison of all runs does."""
    size = 3
    known = {tuple(data[n : n + size]) for n in range(len(data) - size + 1)}
    runs = [tuple(text[n : n + size]) for n in range(len(text) - size + 1)]
    copied = VerbatimIndex([{"q": " ".join(data)}], size=size).copied(" ".join(text))
    assert (copied is not None) == any(run in known for run in runs)
    if copied is not None:
        words = copied.split()
        assert " ".join(words) in " ".join(text)
        assert all(tuple(words[n : n + size]) in known for n in range(len(words) - size + 1))


def test_what_items_have_in_common_is_nobodys_text() -> None:
    """A form that many items share may be quoted; nested texts count, other values do not."""
    form = "choose one of the four letters"
    items = [{"q": [f"{form} {n}"], "meta": {"x": f"unique words here {n}"}} for n in range(20)]
    index = VerbatimIndex(items, size=4)
    assert index.copied(form) is None
    assert index.copied("so unique words here 7 it is") == "unique words here 7"
    assert VerbatimIndex([{"n": 3}], size=1).copied("3") is None
    assert words_of("It's {x}, ok?") == ["it", "s", "x", "ok"]


def test_settings_that_make_no_sense_are_refused() -> None:
    """Limits out of range are errors."""
    for fields in ({"max_edit": 0}, {"near_duplicate": 2}, {"max_verbatim_words": 0}):
        with pytest.raises(SettingsError):
            GuardSettings(**fields)  # type: ignore[arg-type]
