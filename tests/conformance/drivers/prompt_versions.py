"""Prompts: created, created again, changed, read in every way, searched and tagged."""

import opik
from driving import PROJECT, drive

NAME = f"{PROJECT} greeting"


def flow(client):
    first = client.create_prompt(
        NAME, "Hello {{name}}", metadata={"tone": "warm"}, change_description="first"
    )
    same = client.create_prompt(NAME, "Hello {{name}}", metadata={"tone": "warm"})
    assert (same.commit, same.version) == (first.commit, "v1")
    second = client.create_prompt(
        NAME, "Goodbye {{name}}", metadata={"tone": "cold"}, change_description="second"
    )
    assert second.version == "v2"
    assert client.create_prompt(NAME, "Goodbye {{name}}").version in ("v2", "v3")
    latest = client.get_prompt(NAME, no_cache=True)
    assert latest.prompt == "Goodbye {{name}}"
    assert client.get_prompt(NAME, version="v1").prompt == "Hello {{name}}"
    assert client.get_prompt(NAME, commit=second.commit).metadata == {"tone": "cold"}
    assert client.get_prompt("nobody wrote this") is None
    history = client.get_prompt_history(NAME)
    assert [prompt.version for prompt in history][-2:] == ["v2", "v1"]
    assert [prompt.prompt for prompt in client.get_prompt_history(NAME, search="Hello")] == [
        "Hello {{name}}"
    ]
    found = client.get_prompt_history(NAME, filter_string='metadata.tone = "cold"')
    assert [prompt.version for prompt in found] == ["v2"], found

    plain = client.create_prompt(f"{PROJECT} bare", "no placeholders")
    assert client.create_prompt(f"{PROJECT} bare", "no placeholders").commit == plain.commit
    jinja = client.create_prompt(
        f"{PROJECT} jinja", "{% if a %}{{ a }}{% endif %}", type=opik.PromptType.JINJA2
    )
    assert (
        client.create_prompt(jinja.name, jinja.prompt, type=opik.PromptType.JINJA2).commit
        == jinja.commit
    )
    messages = [
        {"role": "system", "content": "Be {{tone}}"},
        {"role": "user", "content": [{"type": "text", "text": "{{q}}"}]},
    ]
    chat = client.create_chat_prompt(f"{PROJECT} chat", messages, tags=["chat"], description="talk")
    assert client.get_chat_prompt(chat.name).template == messages
    assert client.create_chat_prompt(chat.name, messages).commit == chat.commit
    assert [prompt.name for prompt in client.search_prompts('tags contains "chat"')] == [chat.name]
    assert client.search_prompts('name contains "nobody"') == []
    client.get_prompts_client().batch_update_prompt_version_tags(
        [first.version_id], ["old"], merge=True
    )
    assert client.get_prompt(NAME, version="v1", no_cache=True).tags == ["old"]
    client.create_environment("production")
    client.set_prompt_environments(NAME, ["production"], version="v1")
    assert client.get_prompt(NAME, environment="production", no_cache=True).version == "v1"
    client.trace(name="prompted", metadata={"a": 1}).end()
    return {"first": first.commit, "second": second.commit, "versions": len(history)}


if __name__ == "__main__":
    drive(flow)
