"""The prompt library: what makes a new version, what is found, what is refused."""

from __future__ import annotations

import pytest

from opik_eval.client import ChatPrompt, Prompt
from opik_eval.errors import ConflictError, PromptError

HELLO = [
    {"role": "system", "content": "You are {{who}}."},
    {"role": "user", "content": [{"type": "text", "text": "Hi {{name}}"}], "name": "n"},
]


def test_a_new_version_only_for_a_difference(client):
    """Template, type and metadata make a version; everything else does not."""
    first = client.create_prompt("p", "Hello {{name}}", metadata={"a": 1, "b": (2,)})
    assert (first.version, first.type, first.metadata) == ("v1", "mustache", {"a": 1, "b": (2,)})
    same = client.create_prompt(
        "p", "Hello {{name}}", metadata={"b": [2], "a": 1}, change_description="none", tags=["x"]
    )
    assert same.version_id == first.version_id
    changes = [
        client.create_prompt("p", "Dear {{name}}", metadata={"a": 1, "b": [2]}),
        client.create_prompt("p", "Dear {{name}}", metadata={"a": 2}),
        client.create_prompt("p", "Dear {{name}}", metadata={"a": 2}, type="jinja2"),
        client.create_prompt("p", "Dear {{name}}"),
        client.create_prompt("p", "Hello {{name}}", metadata={"a": 1, "b": [2]}),
    ]
    assert [prompt.version for prompt in changes] == ["v2", "v3", "v4", "v5", "v6"]
    assert len({prompt.commit for prompt in [first, *changes]}) == 6
    assert all(len(prompt.commit) == 8 for prompt in changes)
    history = client.get_prompt_history("p")
    assert [prompt.version for prompt in history] == ["v6", "v5", "v4", "v3", "v2", "v1"]


def test_getting(client):
    """The latest version, or that of a commit, a number, or both; else ``None``."""
    first = client.create_prompt("p", "1")
    second = client.create_prompt("p", "2")
    assert client.get_prompt("p").prompt == "2"
    assert client.get_prompt("p", commit=first.commit).prompt == "1"
    assert client.get_prompt("p", version="v2").version_id == second.version_id
    assert client.get_prompt("p", commit=first.commit, version="v1").prompt == "1"
    assert client.get_prompt("p", commit=first.commit, version="v2") is None
    assert client.get_prompt("p", version="v9") is None
    assert client.get_prompt("unknown") is None
    assert client.get_chat_prompt("unknown") is None
    assert client.get_prompt_history("unknown") == []


def test_formatting(client):
    """Values fill the placeholders of a text; a missing one is an error."""
    client.create_prompt("p", "Hello {{ name }}")
    prompt = client.get_prompt("p")
    assert isinstance(prompt, Prompt)
    assert prompt.format(name="Ann") == "Hello Ann"
    with pytest.raises(PromptError, match="name"):
        prompt.format()
    assert client.create_prompt("j", "{% if a %}yes{% endif %}", type="jinja2").format(a=1) == "yes"


def test_chat_prompts(client):
    """Messages keep all their keys, and every text in them is filled."""
    made = client.create_chat_prompt("chat", HELLO)
    assert client.create_chat_prompt("chat", list(HELLO)).version_id == made.version_id
    prompt = client.get_chat_prompt("chat")
    assert isinstance(prompt, ChatPrompt)
    assert prompt.messages == prompt.prompt == HELLO
    assert prompt.format(who="kind", name="Bo") == [
        {"role": "system", "content": "You are kind."},
        {"role": "user", "content": [{"type": "text", "text": "Hi Bo"}], "name": "n"},
    ]
    assert isinstance(client.get_prompt_history("chat")[0], ChatPrompt)
    with pytest.raises(PromptError):
        client.create_chat_prompt("chat", [{"role": "user"}])


def test_text_and_chat_do_not_mix(client):
    """A name is that of a text prompt or of a chat prompt, for writing and for reading."""
    client.create_prompt("text", "a")
    client.create_chat_prompt("chat", HELLO)
    for wrong in (
        lambda: client.create_chat_prompt("text", HELLO),
        lambda: client.create_prompt("chat", "a"),
        lambda: client.get_chat_prompt("text"),
        lambda: client.get_prompt("chat"),
    ):
        with pytest.raises(ConflictError, match=r"prompt '(text|chat)' is a \1 prompt"):
            wrong()
    assert len(client.get_prompt_history("text")) == 1


def test_description_and_tags_are_the_prompts(client):
    """They belong to the prompt, not the version, and can be changed without a new one."""
    client.create_prompt("p", "a", description="first", tags=["x"])
    client.create_prompt("p", "a")
    stored = client.storage.find_prompt("p")
    assert (stored.description, stored.tags) == ("first", ("x",))
    client.create_prompt("p", "a", description="second")
    stored = client.storage.find_prompt("p")
    assert (stored.description, stored.tags, stored.template_structure) == (
        "second",
        ("x",),
        "text",
    )
    assert len(client.get_prompt_history("p")) == 1
    changed = client.create_prompt("p", "b", change_description="better")
    assert changed.record.change_description == "better"


def test_searching(client):
    """All prompts, or those whose name contains a text in any case, each in its latest version."""
    client.create_prompt("Greeting", "1")
    client.create_prompt("Greeting", "2")
    client.create_chat_prompt("farewell", HELLO)
    assert {p.name: p.version for p in client.search_prompts()} == {
        "Greeting": "v2",
        "farewell": "v1",
    }
    assert [p.name for p in client.search_prompts("GREET")] == ["Greeting"]
    assert client.search_prompts("nothing") == []


def test_what_is_refused(client):
    """A blank name, an unknown type and an unknown keyword store nothing."""
    with pytest.raises(PromptError, match="needs a name"):
        client.create_prompt(" ", "a")
    with pytest.raises(PromptError, match="'mustach' is no type of template"):
        client.create_prompt("p", "a", type="mustach")
    with pytest.raises(TypeError, match=r"create_prompt\(\).*'metdata'; did you mean 'metadata'\?"):
        client.create_prompt("p", "a", metdata={})
    with pytest.raises(TypeError, match=r"create_chat_prompt\(\).*'xyz'; it takes \['change_desc"):
        client.create_chat_prompt("p", HELLO, xyz=1)
    assert client.search_prompts() == []
