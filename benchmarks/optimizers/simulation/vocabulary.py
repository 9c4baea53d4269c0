"""The language of the simulation: rules that help, the hints that point to them, idle sentences.

A prompt has a rule if the rule's key phrase occurs in it. A hint names the same thing in other
words, so that feedback that is copied into a prompt does not help by itself.
"""

from __future__ import annotations

RULES: tuple[tuple[str, str], ...] = (
    ("convert the amount to cents", "the amount was left in another unit"),
    ("write the date as year-month-day", "the date had a form nobody can sort"),
    ("put the family name first", "the names came in the wrong order"),
    ("check every negation twice", "a denial in the text was overlooked"),
    ("read the table by rows", "the figures were taken from a wrong column"),
    ("quote the paragraph number", "it does not say where the claim comes from"),
    ("round only the last figure", "intermediate figures were cut short"),
    ("subtract refunds before taxes", "money that went back was still counted"),
    ("break ties by the earliest entry", "two entries were equal and the later one won"),
    ("ignore cases outside the region", "something from elsewhere was included"),
    ("merge repeated entries", "the same entry was counted more than once"),
    ("treat blanks as zero", "an empty field spoiled the result"),
    ("use the rate of the booking day", "the exchange was done at another day's price"),
    ("answer with the label alone", "there was chatter around the verdict"),
    ("work through steps backwards", "it started at the wrong end"),
    ("carry the unit to the end", "the dimension got lost on the way"),
    ("keep debits negative", "plus and minus were confused"),
    ("skip bank holidays", "a day on which nobody works was included"),
    ("prefer the latest revision", "an outdated edition was used"),
    ("count the limit itself as inside", "a borderline case fell on the wrong side"),
)
"""Pairs of key phrase and hint."""

IDLE: tuple[str, ...] = tuple(
    f"{start} {end}."
    for end in (
        "with the care that an expert would take",
        "while keeping the reader in mind throughout",
        "as this matters a great deal to everybody involved",
        "in a tone that is friendly and professional alike",
        "without ever losing sight of the larger picture",
        "and take a deep breath before you begin to write",
    )
    for start in ("Please proceed", "Do the work", "Approach it", "Handle the whole thing")
)
"""Sentences that never help."""


def rule_sentence(phrase: str) -> str:
    """Return the sentence by which a rule enters a prompt."""
    return f"Always {phrase}."
