"""Texts are cut, merged and crossed without a word being lost."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from opik_optimizer.text_edits import cross_texts, join_pieces, merge_texts, pieces_of

SENTENCES = st.lists(st.sampled_from([f"Rule {n} is 0.{n}." for n in range(8)]), unique=True)


@given(st.text(alphabet="ab .!?\n{}5", max_size=60))
def test_cutting_loses_nothing(text: str) -> None:
    """The pieces of a text, one after the other, are the text."""
    assert "".join(pieces_of(text)) == text


def test_numbers_and_placeholders_are_not_cut() -> None:
    """A point inside a number or a name ends no sentence."""
    assert pieces_of("Use 0.5 of {item.name}. Stop") == ["Use 0.5 of {item.name}. ", "Stop"]


@given(SENTENCES)
def test_joining_says_each_sentence_once(sentences: list[str]) -> None:
    """Joined sentences keep their order; a repetition is left out."""
    assert join_pieces([*sentences, *sentences]) == " ".join(sentences)


@given(SENTENCES, st.lists(st.booleans(), min_size=9), st.lists(st.booleans(), min_size=9))
def test_merging_two_deletions_deletes_both(
    sentences: list[str], first: list[bool], second: list[bool]
) -> None:
    """What either side dropped is gone, and what both kept is there."""
    kept = [
        [s for s, keep in zip(sentences, keeps, strict=False) if keep] for keeps in (first, second)
    ]
    merged = merge_texts(" ".join(sentences), *(" ".join(part) for part in kept))
    both = [sentence for sentence in sentences if sentence in kept[0] and sentence in kept[1]]
    assert merged is None or merged == " ".join(both)


def test_equal_changes_are_no_conflict() -> None:
    """What both sides changed in the same way is taken once."""
    assert merge_texts("A. B.", "A. C.", "A. C. D.") in (None, "A. C. D.")
    assert merge_texts("A. B.", "A. C.", "A. C.") == "A. C."
    assert merge_texts("A. B.", "A. C.", "A. D.") is None


@given(SENTENCES, SENTENCES, st.randoms(use_true_random=False))
def test_a_cross_keeps_what_both_say(first: list[str], second: list[str], rng: object) -> None:
    """A cross has what the parents share in one order, and nothing that neither has."""
    texts = [" ".join(part) for part in (first, second)]
    crossed = cross_texts(*texts, lambda: rng.random() < 0.5)  # type: ignore[attr-defined]
    assert set(pieces_of(crossed + " ")) <= {f"{s} " for s in (*first, *second)} | {" "}
    if first == second:
        assert crossed == texts[0]
    assert cross_texts(*texts, lambda: True) == texts[1]
    assert cross_texts(*texts, lambda: False) == texts[0]
