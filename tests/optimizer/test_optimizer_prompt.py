"""Prompts: built, filled, copied, stored, and taken from elsewhere."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval import Opik
from opik_eval.errors import PromptError
from opik_eval.models.client import get_model
from opik_eval.prompts import audio_part, file_part, image_part, text_part
from opik_eval.storage.base import Storage
from opik_optimizer.errors import SettingsError, ToolError
from opik_optimizer.prompt import ChatPrompt, as_prompts, content_id, describe_model

SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search.",
        "parameters": {"type": "object", "properties": {"q": {"type": "string"}}},
    },
}
TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
MESSAGES = st.lists(
    st.builds(
        lambda role, text: {"role": role, "content": text},
        st.sampled_from(["system", "user", "assistant"]),
        TEXT | TEXT.map(lambda t: [text_part(t), image_part("http://x/{i}.png")]),
    ),
    min_size=1,
    max_size=4,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)


@given(MESSAGES, st.dictionaries(TEXT, JSON, max_size=3), TEXT, st.none() | st.just("fake/echo"))
def test_json_round_trip(
    messages: list[dict[str, object]], parameters: dict[str, object], name: str, model: str | None
) -> None:
    """A prompt comes back from JSON with everything JSON can hold, and with the same id."""
    prompt = ChatPrompt(
        name=name, messages=messages, tools=[SEARCH], model=model, model_parameters=parameters
    )
    back = ChatPrompt.from_json(prompt.to_json())
    assert back == prompt
    assert back.to_dict() == prompt.to_dict()
    assert content_id({"p": back}) == content_id({"p": prompt})


@given(MESSAGES)
def test_copies_share_nothing_that_changes(messages: list[dict[str, object]]) -> None:
    """Changing a copy, or what it was made from, leaves the prompt as it was."""
    prompt = ChatPrompt(messages=messages, tools=[SEARCH], model_parameters={"a": {"b": 1}})
    before = prompt.to_json()
    messages[0]["content"] = "changed"
    copy = prompt.copy()
    copy.messages[0]["content"] = "changed"
    copy.tools[0]["function"]["description"] = "changed"  # type: ignore[index]
    copy.model_parameters["a"]["b"] = 2  # type: ignore[index]
    prompt.get_messages()[0]["role"] = "tool"
    assert prompt.to_json() == before


def test_functions_come_back_by_name() -> None:
    """JSON keeps the names of functions; the functions are passed again."""
    prompt = ChatPrompt(user="{q}", tools=[SEARCH], function_map={"search": len})
    document = json.loads(prompt.to_json())
    assert document["function_map"] == ["search"]
    assert ChatPrompt.from_dict(document, function_map={"search": len}).function_map == {
        "search": len
    }


def test_all_parts_are_filled() -> None:
    """Texts, URLs, data and files take values; the message's other keys stay."""
    parts = [
        text_part("{q}"),
        image_part("{url}", detail="low"),
        audio_part("{audio}"),
        file_part(data="{file}"),
    ]
    prompt = ChatPrompt(messages=[{"role": "user", "name": "{q}", "content": parts}])
    values = {"q": "Why {url}?", "url": "u", "audio": "a", "file": "f"}
    (message,) = prompt.get_messages(values)
    assert message["name"] == "{q}"
    assert message["content"] == [
        text_part("Why {url}?"),
        image_part("u", detail="low"),
        audio_part("a"),
        file_part(data="f"),
    ]
    assert prompt.placeholders() == ["q", "url", "audio", "file"]


def test_messages_without_content_are_left() -> None:
    """An assistant message of tool calls alone needs no content and gets none."""
    call = {"role": "assistant", "tool_calls": [{"id": "1"}]}
    prompt = ChatPrompt(messages=[{"role": "user", "content": "{q}"}, call])
    assert prompt.get_messages({"q": "x"})[1] == call


def test_strict_rendering_names_the_missing_column() -> None:
    """In strict mode a placeholder without a value is an error that shows the columns."""
    with pytest.raises(PromptError, match=r"\{q\}.*'question'"):
        ChatPrompt(user="{q}").get_messages({"question": "?"}, strict=True)


@pytest.mark.parametrize(
    ("arguments", "error", "text"),
    [
        ({}, PromptError, "needs messages"),
        ({"user": "a", "messages": [{"role": "user", "content": "b"}]}, PromptError, "either"),
        ({"messages": [{"role": "owner", "content": "b"}]}, PromptError, "owner"),
        ({"user": "a", "tools": [{"type": "x"}]}, ToolError, "'x'"),
        ({"user": "a", "model_parameters": {}, "model_kwargs": {}}, PromptError, "two names"),
    ],
)
def test_malformed_prompts_are_refused(
    arguments: dict[str, object], error: type[Exception], text: str
) -> None:
    """Each mistake is an error that names it."""
    with pytest.raises(error, match=text):
        ChatPrompt(**arguments)  # type: ignore[arg-type]


def test_opik_names_of_the_parts() -> None:
    """``model_kwargs`` is another name of the parameters; ``system`` and ``user`` are contents."""
    prompt = ChatPrompt(system="s", user="u", model_kwargs={"temperature": 0})
    assert prompt.model_parameters == prompt.model_kwargs == {"temperature": 0}
    assert (prompt.system, prompt.user) == ("s", "u")
    assert ChatPrompt(user="u").system is None
    prompt.set_messages([{"role": "user", "content": "v"}])
    assert prompt.user == "v"
    assert str(prompt) == "user: v"
    assert "chat-prompt" in repr(prompt)
    assert prompt != "v"


def test_other_messages_keep_the_rest() -> None:
    """``with_messages`` changes the messages of a copy alone."""
    prompt = ChatPrompt(user="u", model="fake/echo", model_parameters={"a": 1})
    other = prompt.with_messages([{"role": "user", "content": "v"}])
    assert (other.user, prompt.user) == ("v", "u")
    assert (other.model, other.model_parameters) == ("fake/echo", {"a": 1})


def test_a_model_is_known_by_name_address_and_parameters() -> None:
    """Models with an address or parameters of their own are described with them, and come back."""
    model = get_model("fake/echo", api_base="http://localhost:1/v1", temperature=0)
    described = describe_model(model)
    assert described == {
        "name": "fake/echo",
        "api_base": "http://localhost:1/v1",
        "params": {"temperature": 0},
    }
    prompt = ChatPrompt(user="u", model=model)
    assert ChatPrompt.from_json(prompt.to_json()) == prompt
    assert describe_model(get_model("fake/echo")) == "fake/echo"


def test_results_and_bundles() -> None:
    """A result, a bundle and a prompt all give prompts by name, as copies."""
    prompt = ChatPrompt(name="a", user="u")
    bundle = {"a": prompt, "b": ChatPrompt(user="v")}
    result = SimpleNamespace(prompt=bundle)
    assert as_prompts(result) == as_prompts(bundle)
    assert as_prompts(bundle)["b"].name == "b"
    assert as_prompts(prompt)["a"] is not prompt
    assert ChatPrompt.from_result(SimpleNamespace(prompt=prompt)) == prompt
    assert ChatPrompt.from_result(result, "b").user == "v"
    with pytest.raises(SettingsError, match="name one of"):
        ChatPrompt.from_result(result)
    for wrong in ({}, "a text", 3):
        with pytest.raises(SettingsError):
            as_prompts(wrong)


def test_a_document_without_messages_is_refused() -> None:
    """Only documents of prompts are read as such."""
    with pytest.raises(PromptError, match="has 'messages'"):
        ChatPrompt.from_dict({"prompt": "x"})


def test_library_prompts_keep_their_meaning(storage: Storage) -> None:
    """Mustache, python and plain jinja2 prompts render the same after conversion."""
    client = Opik(storage=storage)
    values = {"q": "why", "c": "{q}"}
    for kind, text in (
        ("mustache", 'Q {{ q }} {{c}} {"a": 1}'),
        ("python", 'Q {q} {c} {{"a": 1}}'),
        ("jinja2", "Q {{ q }} {{c}}"),
    ):
        library = client.create_prompt(f"p-{kind}", text, type=kind)  # type: ignore[arg-type]
        (prompt,) = as_prompts(library).values()
        assert prompt.get_messages(values)[0]["content"] == library.format(**values)
    chat = client.create_chat_prompt("chat", [{"role": "system", "content": "S {{ q }}"}])
    assert as_prompts(chat)["chat"].system == "S {q}"


@pytest.mark.parametrize("text", ["{% if q %}x{% endif %}", "{{ q | upper }}", "{# c #}{{ q }}"])
def test_jinja_that_says_more_is_refused(storage: Storage, text: str) -> None:
    """Conditions, filters and comments of jinja2 are no placeholders."""
    library = Opik(storage=storage).create_prompt("p", text, type="jinja2")
    with pytest.raises(PromptError, match="plain placeholders"):
        as_prompts(library)


def test_size_counts_visible_text() -> None:
    """Tokens are four bytes of the visible texts, rounded up; media do not count."""
    parts = [text_part("12345"), image_part("data:" + "x" * 999)]
    prompt = ChatPrompt(messages=[{"role": "user", "content": parts}])
    assert prompt.tokens == 2
