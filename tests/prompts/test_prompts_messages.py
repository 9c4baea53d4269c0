"""Chat messages: checked, rendered with all their keys, shown as text."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import PromptError
from opik_eval.prompts.messages import (
    audio_part,
    file_part,
    image_part,
    message_placeholders,
    render_messages,
    text_part,
    to_text,
    validate_messages,
    video_part,
)

CALL = {"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}
CONVERSATION = [
    {"role": "system", "content": "Be {{ manner }}."},
    {
        "role": "user",
        "name": "ann",
        "content": [
            text_part("What is on {{ picture }}?"),
            image_part("{{ picture }}", detail="low"),
            video_part("https://x/{{ clip }}.mp4"),
            audio_part("{{ sound }}"),
            {"type": "audio_url", "audio_url": {"url": "https://x/a.mp3"}},
            file_part(data="data:application/pdf;base64,{{ pdf }}", filename="a.pdf"),
        ],
    },
    {"role": "assistant", "content": None, "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "{{ result }}"},
]
VALUES = {
    "manner": "kind",
    "picture": "https://x/{{ clip }}.png",
    "clip": "c",
    "sound": "UklG",
    "pdf": "JVBE",
    "result": 3,
}


def test_contents_are_rendered_and_every_other_key_is_kept():
    """Texts, URLs and data are filled in; names, calls and details survive; input is untouched."""
    original = copy.deepcopy(CONVERSATION)
    rendered = render_messages(CONVERSATION, VALUES)
    assert original == CONVERSATION
    assert rendered == [
        {"role": "system", "content": "Be kind."},
        {
            "role": "user",
            "name": "ann",
            "content": [
                {"type": "text", "text": "What is on https://x/{{ clip }}.png?"},
                {
                    "type": "image_url",
                    "image_url": {"url": "https://x/{{ clip }}.png", "detail": "low"},
                },
                {"type": "video_url", "video_url": {"url": "https://x/c.mp4"}},
                {"type": "input_audio", "input_audio": {"data": "UklG", "format": "wav"}},
                {"type": "audio_url", "audio_url": {"url": "https://x/a.mp3"}},
                {
                    "type": "file",
                    "file": {
                        "file_data": "data:application/pdf;base64,JVBE",
                        "filename": "a.pdf",
                    },
                },
            ],
        },
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ]


def test_placeholders_of_all_contents_are_listed_in_order():
    """Names in texts, URLs and data, each once."""
    assert message_placeholders(CONVERSATION) == [
        "manner",
        "picture",
        "clip",
        "sound",
        "pdf",
        "result",
    ]


def test_a_message_that_cannot_be_rendered_is_named():
    """The error says which message lacks which value."""
    with pytest.raises(PromptError, match=r"message 1 \(user\): .*'question'") as refusal:
        render_messages(
            [
                {"role": "system", "content": ""},
                {"role": "user", "content": "{{ question }}"},
            ],
            {"query": 1},
        )
    assert refusal.value.remedy


def test_lenient_rendering_leaves_unknown_placeholders():
    """Where that is asked for, a placeholder without value stays."""
    message = {"role": "user", "content": "{a} {b}"}
    [rendered] = render_messages([message], {"a": 1}, type="python", strict=False)
    assert rendered["content"] == "1 {b}"


def test_content_that_is_absent_stays_absent():
    """A message of tool calls alone gets no key that it did not have."""
    message = {"role": "assistant", "tool_calls": [CALL]}
    assert render_messages([message], {}) == [message]


@given(content=st.text(), name=st.text())
def test_rendering_without_placeholders_changes_nothing(content, name):
    """Messages whose values hold no template come out equal."""
    messages = [{"role": "user", "name": name, "content": [text_part("{{ x }}")]}]
    [rendered] = render_messages(messages, {"x": content})
    assert rendered == {"role": "user", "name": name, "content": [text_part(content)]}


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        ([], "an empty list"),
        ("hello", "a str"),
        (None, "a NoneType"),
        (["hello"], "message 0: is a str"),
        ([{"content": "x"}], "message 0: has the role None"),
        ([{"role": "robot", "content": "x"}], "role 'robot'; there are system, developer"),
        ([{"role": "user"}], "has no content"),
        ([{"role": "assistant", "content": None}], "has no content"),
        ([{"role": "user", "content": None, "tool_calls": [CALL]}], "has no content"),
        ([{"role": "tool", "content": "3"}], "no 'tool_call_id'"),
        ([{"role": "user", "content": 3}], "has a int as content"),
        ([{"role": "user", "content": ["x"]}], "part 0: is a str"),
        ([{"role": "user", "content": [{"type": "smell"}]}], "part 0: has the type 'smell'"),
        ([{"role": "user", "content": [{"type": "text"}]}], "text part without 'text'"),
        (
            [{"role": "user", "content": [text_part(""), {"type": "image_url", "image_url": "u"}]}],
            "part 1: is of type 'image_url' and needs",
        ),
    ],
)
def test_malformed_messages_are_refused(messages, problem):
    """The error names the message, the part and what is wrong."""
    with pytest.raises(PromptError, match=problem) as refusal:
        validate_messages(messages)
    assert refusal.value.remedy


def test_valid_messages_are_returned_as_a_list():
    """Any sequence of messages will do."""
    assert validate_messages(tuple(CONVERSATION)) == CONVERSATION


def test_a_conversation_is_shown_as_text():
    """Links in full, embedded data by size, tool calls by name."""
    messages = [
        {"role": "user", "content": [text_part("Look:"), image_part("https://x/a.png")]},
        {"role": "user", "content": [image_part("data:image/png;base64,AAAA")]},
        {"role": "assistant", "content": "Adding.", "tool_calls": [CALL, {"id": "c2"}]},
        {"role": "tool", "tool_call_id": "c1", "content": "3"},
    ]
    assert to_text(messages) == (
        "user: Look:\n[image_url https://x/a.png]\n\n"
        "user: [image_url data:image/png;base64, 26 characters]\n\n"
        'assistant: Adding.\n[tool call add({"a": 1})]\n[tool call {"id":"c2"}]\n\n'
        "tool: 3"
    )
