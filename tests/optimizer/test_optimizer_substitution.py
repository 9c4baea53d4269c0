"""Placeholders are replaced once, and nothing else is touched."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import PromptError
from opik_optimizer.substitution import inert, map_texts, placeholders_in, substitute, texts_of

NAMES = st.text("abcxyz_", min_size=1, max_size=4)
PIECES = st.one_of(st.text("ab {}\n", max_size=4), NAMES.map(lambda name: f"{{{name}}}"))


def reference(text: str, values: dict[str, str]) -> str:
    """Scan by hand: at each brace take the shortest span without braces or line ends."""
    result, place = "", 0
    while place < len(text):
        end = text.find("}", place)
        name = text[place + 1 : end] if text[place] == "{" and end > 0 else ""
        if name and not set(name) & set("{}\n") and name in values:
            result += values[name]
            place = end + 1
        else:
            result += text[place]
            place += 1
    return result


@given(st.lists(PIECES).map("".join), st.dictionaries(NAMES, st.lists(PIECES).map("".join)))
def test_a_value_is_never_read_as_a_template(text: str, values: dict[str, str]) -> None:
    """Whatever values contain, the result is that of one left-to-right scan."""
    assert substitute(text, values) == reference(text, values)


@given(st.lists(PIECES).map("".join), st.dictionaries(NAMES, st.just("v")))
def test_inert_texts_take_no_values(text: str, values: dict[str, str]) -> None:
    """What was made inert stays as it is, whatever the values."""
    assert substitute(inert(text), values, strict=True) == inert(text)
    assert inert(inert(text)) == inert(text)
    assert inert(text).replace(" ", "") == text.replace(" ", "")


@given(st.text())
def test_texts_without_values_stay(text: str) -> None:
    """Without values a text is left as it is."""
    assert substitute(text, {}) == text


@given(st.lists(PIECES).map("".join), st.dictionaries(NAMES, st.just("v")))
def test_strict_refuses_exactly_the_missing(text: str, values: dict[str, str]) -> None:
    """Strict mode raises if and only if a named placeholder has no value."""
    missing = [name for name in placeholders_in(text) if name not in values]
    if missing:
        with pytest.raises(PromptError, match=missing[0]):
            substitute(text, values, strict=True)
    else:
        assert substitute(text, values, strict=True) == substitute(text, values)


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ('Reply as {"answer": {n}}', 'Reply as {"answer": 3}'),
        ("{meta.source} {meta.none} {n.x}", "wiki {meta.none} {n.x}"),
        ("{{n}}", "{3}"),
        ("{my column}", "yes"),
        ("{list} {nothing}|", '["a"] |'),
        ("{ n }", "{ n }"),
    ],
)
def test_what_counts_as_a_placeholder(template: str, expected: str) -> None:
    """Names, paths and column names count; code, spaces and double braces do not."""
    values = {
        "n": 3,
        "meta": {"source": "wiki"},
        "my column": "yes",
        "list": ["a"],
        "nothing": None,
    }
    assert substitute(template, values) == expected


def test_columns_of_any_name_are_placeholders() -> None:
    """A column whose name is no identifier is a placeholder where it is known."""
    assert placeholders_in("{a b} {c} {c}", columns={"a b"}) == ["a b", "c"]
    assert placeholders_in("{a b}") == []


def test_all_texts_of_a_content_are_mapped() -> None:
    """Texts of parts are mapped, their types and everything that is no text are not."""
    content = [
        {"type": "text", "text": "a"},
        {"type": "image_url", "image_url": {"url": "b", "n": 1}},
    ]
    assert list(texts_of(content)) == ["a", "b"]
    assert map_texts(content, str.upper) == [
        {"type": "text", "text": "A"},
        {"type": "image_url", "image_url": {"url": "B", "n": 1}},
    ]
    assert map_texts(None, str.upper) is None
