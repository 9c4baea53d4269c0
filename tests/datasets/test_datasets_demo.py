"""The bundled data set and its two prompts."""

from __future__ import annotations

from collections import Counter
from importlib.resources import files
from itertools import combinations
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rapidfuzz import fuzz

from opik_eval.datasets.demo import (
    INSTRUCTION,
    INTENTS,
    Split,
    demonstration_prompt,
    instruction_prompt,
    load_demo,
    parse_intent,
)
from opik_eval.errors import DatasetError
from opik_eval.ids import derived_id

SPLITS = get_args(Split)
ITEMS = [item for split in SPLITS for item in load_demo(split)]


@pytest.mark.parametrize(("split", "count"), [("train", 120), ("validation", 60), ("test", 120)])
def test_every_block_of_six_holds_each_intent_once(split, count):
    """Splits have their sizes, and every prefix of whole blocks is balanced."""
    intents = [item["intent"] for item in load_demo(split)]
    assert len(intents) == count
    blocks = zip(*[iter(intents)] * len(INTENTS), strict=True)
    assert all(set(block) == set(INTENTS) for block in blocks)


def test_ids_come_from_the_message():
    """An item's id says which message it is, in every version and split."""
    assert all(item["id"] == derived_id("opik-eval-demo", item["message"]) for item in ITEMS)
    assert len({item["id"] for item in ITEMS}) == 300


def test_no_two_messages_are_near_duplicates():
    """Within and across splits no two messages resemble each other, whatever the word order."""
    texts = [item["message"].lower() for item in ITEMS]
    pairs = list(combinations(texts, 2))
    assert max(fuzz.ratio(*pair) for pair in pairs) < 65
    assert max(fuzz.token_sort_ratio(*pair) for pair in pairs) < 70
    assert max(fuzz.token_set_ratio(*pair) for pair in pairs) < 85


def test_messages_begin_in_many_ways():
    """No template shows: hardly any opening of three words is used twice, and lengths vary."""
    openings = Counter(tuple(item["message"].lower().split()[:3]) for item in ITEMS)
    assert max(openings.values()) <= 4
    lengths = [len(item["message"].split()) for item in ITEMS]
    assert (min(lengths), max(lengths)) == (4, 60)
    assert all(item["message"] == " ".join(item["message"].split()) for item in ITEMS)


def test_data_card_counts_what_is_there():
    """The data card names every intent with its counts."""
    card = (files("opik_eval.datasets") / "demo" / "README.md").read_text(encoding="utf-8")
    counts = {split: Counter(item["intent"] for item in load_demo(split)) for split in SPLITS}
    for intent in INTENTS:
        row = next(line for line in card.splitlines() if line.startswith(f"| `{intent}` |"))
        assert [int(cell) for cell in row.split("|")[3:-1]] == [
            counts[split][intent] for split in SPLITS
        ]


def test_unknown_split_is_refused():
    """A misspelt split is an error that lists the splits."""
    with pytest.raises(DatasetError, match="train, validation, test"):
        load_demo("dev")


def test_prompts_differ_in_the_demonstrations_alone():
    """Both prompts begin and end alike; between them stand eight turns from the train split."""
    first, *turns, last = demonstration_prompt()
    assert [first, last] == instruction_prompt()
    assert first["content"] == INSTRUCTION
    assert last["content"] == "{{message}}"
    assert [turn["role"] for turn in turns] == ["user", "assistant"] * 8
    train = {item["message"]: item["intent"] for item in load_demo("train")}
    for question, answer in zip(turns[::2], turns[1::2], strict=True):
        assert parse_intent(answer["content"]) == train[question["content"]]
    assert {parse_intent(answer["content"]) for answer in turns[1::2]} == set(INTENTS)


@pytest.mark.parametrize(
    ("reply", "intent"),
    [
        ("return_item", "return_item"),
        ("Intent: CANCEL-ORDER.", "cancel_order"),
        ("the customer's Refund Status, not order_status", "refund_status"),
        ("order_status_update", None),
        ("reorder_status", None),
        ("I would like to return an item", None),
        ("", None),
    ],
)
def test_first_label_of_a_reply_counts(reply, intent):
    """The first label in a reply is the answer; a reply without one has no answer."""
    assert parse_intent(reply) == intent


@given(
    st.text(alphabet="abc .\n!"),
    st.sampled_from(INTENTS),
    st.sampled_from(["_", " ", "-"]),
    st.text(),
)
def test_label_is_found_among_other_words(before, intent, separator, after):
    """Whatever stands around it, the first label with its own borders is found."""
    assert parse_intent(f"{before} {intent.replace('_', separator)}. {after}") == intent
