"""Find JSON in what a model wrote: bare, in a code fence, or somewhere in prose."""

from __future__ import annotations

import json
import re
from bisect import bisect
from collections.abc import Iterator

_FENCE = re.compile(r"```[\w+-]*[ \t]*\r?\n?(.*?)```", re.DOTALL)
_OPENING = re.compile(r"[{\[]")
_THOUGHT_END = "</think>"
# Strings count only inside brackets: prose may hold single quotation marks.
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\]]|,(?=\s*[}\]])', re.DOTALL)
_PAIRS = {"}": "{", "]": "["}
_PATIENCE = 50
"""So many times the text may be read in vain while values are looked for that begin inside it."""


def find_json(text: str) -> Iterator[object]:
    r"""Yield the JSON values in a text, the likeliest first.

    The order: the whole text, the contents of code fences, then every object or array that begins
    somewhere in the text and is not part of one found before, then those that become JSON once
    trailing commas are dropped. What a reasoning model thinks aloud (up to ``</think>``) is not
    searched. Line breaks inside strings are accepted; NaN and infinities are not. The search inside
    a text that opens bracket after bracket and closes none ends early: its time grows with its
    length, not with the square of it.

    Example:
        >>> next(find_json('Sure! ```json\n{"score": 1}\n``` Hope it helps.'))
        {'score': 1}
        >>> next(find_json('I choose {"label": "spam",} because ...'))
        {'label': 'spam'}
    """
    answer = text.rpartition(_THOUGHT_END)[2]
    for whole in (text, answer, *_FENCE.findall(answer)):
        try:
            yield _decoder.decode(whole.strip())
        except (ValueError, RecursionError):
            continue
    yield from _embedded(answer)
    for region in _balanced_regions(answer):
        try:
            yield _decoder.decode(region)
        except (ValueError, RecursionError):
            continue


def _embedded(text: str) -> Iterator[object]:
    position, in_vain = 0, 0
    while (opening := _OPENING.search(text, position)) is not None:
        try:
            value, position = _decoder.raw_decode(text, opening.start())
        except json.JSONDecodeError as error:
            position = opening.end()
            in_vain += error.pos - opening.start()
            # A model stuck on "[[[[": every later start would go as far for nothing.
            if in_vain > _PATIENCE * len(text):
                return
        except ValueError:
            position = opening.end()
        except RecursionError:
            return  # the same, where Python reads no deeper
        else:
            yield value


def _balanced_regions(text: str) -> Iterator[str]:
    """Yield the outermost balanced objects and arrays, without trailing commas, in one pass."""
    regions: list[tuple[int, int]] = []
    unclosed: list[tuple[str, int]] = []
    commas: list[int] = []
    position = 0
    while (token := (_TOKEN if unclosed else _OPENING).search(text, position)) is not None:
        sign, position = token.group(), token.end()
        if sign in ("{", "["):
            unclosed.append((sign, token.start()))
        elif sign == ",":
            commas.append(token.start())
        elif sign in _PAIRS:
            kind, begin = unclosed.pop()
            if kind != _PAIRS[sign]:
                unclosed.clear()
                continue
            while regions and regions[-1][0] > begin:
                regions.pop()
            regions.append((begin, position))
    for begin, end in regions:
        cuts = commas[bisect(commas, begin) : bisect(commas, end)]
        starts = [begin, *(comma + 1 for comma in cuts)]
        yield "".join(text[a:b] for a, b in zip(starts, [*cuts, end], strict=True))


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


_decoder = json.JSONDecoder(strict=False, parse_constant=_refuse_constant)
