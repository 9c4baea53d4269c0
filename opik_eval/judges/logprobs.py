"""How likely a model found each score: read from the log-probabilities of its reply.

A single grade hides how sure the model was. Where a provider reports the rivals of every token, the
grade's rivals are right there, and the mean over them is finer and steadier than the one that was
written (Liu et al. 2023, "G-Eval: NLG Evaluation using GPT-4 with Better Human Alignment").

The grade is found by rebuilding the reply from its tokens and looking for the value of its JSON
key, so it does not matter how the text was cut into tokens: ``8``, `` 8``, ``8}`` and ``":8`` all
count as 8. A grade of two digits may be one token (``10``) or two (``1``, ``0``); in that case
the token after the ``1`` says how its probability is shared between 1 and 10. That token is known
only if the model wrote the ``1`` itself; as a mere rival the ``1`` could mean either, and is left
out.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple

from opik_eval.models.base import TokenLogprob

_DIGITS = re.compile(r"\s*(\d+)(.?)", re.DOTALL)


class _Reading(NamedTuple):
    """A number that a token begins with; ``is_open`` = the token ends there, so more may follow."""

    number: int
    is_open: bool


def score_probabilities(
    tokens: Sequence[TokenLogprob], written: int, *, highest: int = 10, key: str = "score"
) -> Mapping[int, float] | None:
    """Return the probability of each whole score from 0 to ``highest``, not normalised.

    Args:
        tokens: The reply's tokens with their rivals.
        written: The score that the reply states; guards against reading the wrong place.
        highest: Highest possible score, below 100.
        key: JSON key of the score.

    Returns:
        Score to probability, or ``None`` if the score cannot be found among the tokens.

    Example:
        >>> digit = TokenLogprob(token="8", logprob=math.log(0.75), top=(("6", math.log(0.25)),))
        >>> tokens = [TokenLogprob(token='{"score": ', logprob=0.0), digit]
        >>> dict(score_probabilities(tokens, 8))
        {6: 0.25, 8: 0.75}
    """
    place = _locate(tokens, written, key)
    if place is None:
        return None
    index, prefix = place
    rivals = _alternatives(tokens[index])
    readings = {text: reading for text in rivals if (reading := _read(text, prefix))}
    following = tokens[index + 1] if index + 1 < len(tokens) else None
    has_two_digit_tokens = any(reading.number > 9 for reading in readings.values())

    masses: defaultdict[int, float] = defaultdict(float)
    for text, reading in readings.items():
        could_go_on = reading.is_open and 0 < reading.number * 10 <= highest
        if could_go_on and text == tokens[index].token and following is not None:
            for number, share in _shares(reading.number, following):
                masses[number] += rivals[text] * share
        elif not could_go_on or has_two_digit_tokens:
            masses[reading.number] += rivals[text]
    possible = {number: masses[number] for number in sorted(masses) if number <= highest}
    return possible if math.fsum(possible.values()) > 0 else None


def expected_score(probabilities: Mapping[int, float]) -> float:
    """Return the mean score under probabilities that need not add up to one.

    Example:
        >>> round(expected_score({8: 0.6, 7: 0.3, 9: 0.1}), 3)
        7.8
    """
    weighted = math.fsum(number * mass for number, mass in probabilities.items())
    return weighted / math.fsum(probabilities.values())


def _locate(tokens: Sequence[TokenLogprob], written: int, key: str) -> tuple[int, str] | None:
    """Return the token in which the score begins, and what that token holds before it."""
    text = "".join(token.token for token in tokens)
    # An escaped quote cannot begin the key, so a reason that quotes one is no match.
    found = list(re.finditer(rf'(?<!\\)"{re.escape(key)}"\s*:\s*"?(\d+)', text))
    if not found or int(found[-1][1]) != written:
        return None
    begin = found[-1].start(1)
    ends = list(accumulate(len(token.token) for token in tokens))
    index = next(i for i, end in enumerate(ends) if end > begin)
    return index, text[ends[index] - len(tokens[index].token) : begin]


def _alternatives(token: TokenLogprob) -> dict[str, float]:
    known = {**dict(token.top), token.token: token.logprob}
    return {text: math.exp(min(logprob, 0.0)) for text, logprob in known.items()}


def _read(text: str, prefix: str) -> _Reading | None:
    if text.startswith(prefix):
        text = text[len(prefix) :]
    elif prefix.strip():
        return None
    match = _DIGITS.match(text)
    return None if match is None else _Reading(int(match[1]), is_open=not match[2])


def _shares(first_digit: int, following: TokenLogprob) -> Iterator[tuple[int, float]]:
    """Yield the numbers that begin with a digit, with the share of its probability each has."""
    remaining = 1.0
    for text, probability in _alternatives(following).items():
        if more := re.match(r"\d+", text):
            yield int(f"{first_digit}{more[0]}"), probability
            remaining -= probability
    yield first_digit, max(remaining, 0.0)


__all__ = ["expected_score", "score_probabilities"]
