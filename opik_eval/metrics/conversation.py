"""What can be told of a conversation without a model: loops, and facts that get lost."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

from opik_eval.errors import MetricError
from opik_eval.metrics.arguments import require_value
from opik_eval.metrics.base import DataclassMetric, ScoreResult
from opik_eval.metrics.words import first_phrase, phrase_form, words

FALLBACK_PHRASES = (
    "as an ai",
    "as a language model",
    "i am not able to help",
    "i can't help with that",
    "i cannot help with that",
    "i do not understand",
    "i don't have enough information",
    "i'm not sure i understand",
    "i'm sorry, but i can't",
    "something went wrong",
)
"""Phrases of replies that answer nothing."""

_REQUEST = (
    "allow can could explain give help let list may might please provide remind shall should show "
    "tell would"
)
_REQUEST_STARTS = frozenset(_REQUEST.split())
_COMMON = (
    "about also been could from have here into just like more name number over should some than "
    "that their them then there these they this those very want were what when where which will "
    "with would your"
)
_STOPWORDS = frozenset(_COMMON.split())
_SENTENCE = re.compile(r"[^.!?。！？\n]+[.!?。！？]*")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")


class Turn(NamedTuple):
    """One message of a conversation."""

    role: str
    text: str


def require_conversation(value: object, argument: str, *, metric: str) -> tuple[Turn, ...]:
    """Return the messages of a conversation that say something.

    Args:
        value: Dicts with ``role`` and ``content``; the content is a text, or parts of which those
            of type ``text`` count, or ``None`` (a tool call).
        argument: Name of the argument, for the error.
        metric: Name of the metric, for the error.

    Raises:
        MetricError: It is no conversation.

    Example:
        >>> require_conversation([{"role": "user", "content": "Hi"}], "conversation", metric="m")
        (Turn(role='user', text='Hi'),)
    """
    require_value(value, argument, metric=metric)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise _no_conversation(metric, argument, f"it is a {type(value).__name__}")
    turns = (_turn(message, f"{argument}[{i}]", metric) for i, message in enumerate(value))
    return tuple(turn for turn in turns if turn.text.strip())


@dataclass
class ConversationDegenerationMetric(DataclassMetric):
    """How much an assistant repeats itself or evades, 0 (not at all) to 1; lower is better.

    Each reply is rated by the mean of four shares: runs of words that occur more than once in it;
    words shared with the reply before (Jaccard); 1 if it contains a fallback phrase; and unevenness
    of its word frequencies (1 minus normalised entropy). The score is that of the worst reply; all
    ratings are in the metadata. A reply of one word is not uneven, as it is in Opik.

    Args:
        ngram_size: Length of the runs of words, at least 2.
        fallback_phrases: Phrases that mark a reply without answer; the built-in English ones if
            absent.

    Raises:
        MetricError: The runs are shorter than 2 words.

    Example:
        >>> again = {"role": "assistant", "content": "Please try again later."}
        >>> ConversationDegenerationMetric().score(conversation=[again, again]).value
        0.25
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)
    higher_is_better: ClassVar[bool | None] = False

    ngram_size: int = 3
    fallback_phrases: Sequence[str] | None = None
    name: str = field(default="conversation_degeneration_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.ngram_size < 2:
            raise MetricError(
                f"metric {self.name!r} got ngram_size={self.ngram_size!r}",
                remedy="give 2 or more; single words repeat in any text",
            )

    def score(
        self, conversation: Sequence[Mapping[str, object]], **_ignored: object
    ) -> ScoreResult:
        """Rate the replies of the assistant.

        Raises:
            MetricError: It is no conversation, or the assistant says nothing in it.
        """
        turns = require_conversation(conversation, "conversation", metric=self.name)
        replies = [turn.text for turn in turns if turn.role == "assistant"]
        if not replies:
            raise MetricError(
                f"metric {self.name!r} found no reply of the assistant in 'conversation'",
                remedy="give messages with the role 'assistant' and a content",
            )
        ratings: list[dict[str, float]] = []
        previous: list[str] = []
        for reply in replies:
            tokens = words(reply)
            ratings.append(self._rating(reply, tokens, previous))
            previous = tokens or previous  # a wordless reply does not hide a loop around it
        worst = max(rating["degeneration_score"] for rating in ratings)
        mean = math.fsum(rating["degeneration_score"] for rating in ratings) / len(ratings)
        return ScoreResult(
            self.name,
            worst,
            reason=f"the worst of {len(replies)} replies is rated {worst:.3f}",
            metadata={"per_turn": ratings, "average_score": mean, "peak_score": worst},
        )

    def _rating(self, reply: str, tokens: list[str], previous: list[str]) -> dict[str, float]:
        factors = {
            "repetition_ratio": self._repetition(tokens),
            "overlap_previous": _jaccard(tokens, previous),
            "fallback_hit": float(self._evades(reply)),
            "normalized_entropy": _unevenness(tokens),  # Opik's name for 1 - entropy
        }
        return {**factors, "degeneration_score": math.fsum(factors.values()) / len(factors)}

    def _repetition(self, tokens: list[str]) -> float:
        size = self.ngram_size
        runs = list(zip(*(tokens[start:] for start in range(size)), strict=False))
        if len({*runs}) == len(runs):
            return 0.0
        return sum([count for count in Counter(runs).values() if count > 1]) / len(runs)

    def _evades(self, reply: str) -> bool:
        phrases = FALLBACK_PHRASES if self.fallback_phrases is None else self.fallback_phrases
        return first_phrase(phrase_form(reply), phrases) is not None


@dataclass
class KnowledgeRetentionMetric(DataclassMetric):
    """Share of the terms a user stated that the assistant's last reply contains, 0 to 1.

    Terms are words of four letters or more that are no stopwords, words with a digit, and Han
    characters, from the first turns in which the user states something; questions and requests are
    left out sentence by sentence (Opik leaves out the whole turn, and forgets numbers). Without any
    term there is nothing to forget: 1. Without any reply nothing is kept: 0.

    Args:
        turns_to_consider: How many of the user's first turns count, at least 1.

    Raises:
        MetricError: No turn would count.

    Example:
        >>> conversation = [
        ...     {"role": "user", "content": "My router is a Netgear. What now?"},
        ...     {"role": "assistant", "content": "Restart the Netgear."},
        ... ]
        >>> KnowledgeRetentionMetric().score(conversation=conversation).value
        0.5
    """

    value_range: ClassVar[tuple[float, float]] = (0.0, 1.0)

    turns_to_consider: int = 5
    name: str = field(default="knowledge_retention_metric", kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.turns_to_consider < 1:
            raise MetricError(
                f"metric {self.name!r} got turns_to_consider={self.turns_to_consider!r}",
                remedy="give 1 or more",
            )

    def score(
        self, conversation: Sequence[Mapping[str, object]], **_ignored: object
    ) -> ScoreResult:
        """Look for the user's terms in the last reply.

        Raises:
            MetricError: It is no conversation.
        """
        turns = require_conversation(conversation, "conversation", metric=self.name)
        replies = [turn.text for turn in turns if turn.role == "assistant"]
        if not replies:
            return ScoreResult(self.name, 0.0, reason="the assistant does not reply")
        stated = [_statements(turn.text) for turn in turns if turn.role == "user"]
        first = [text for text in stated if text][: self.turns_to_consider]
        terms = _terms(" ".join(first))
        if not terms:
            return ScoreResult(self.name, 1.0, reason="the user states nothing to remember")
        kept = terms & _terms(replies[-1])
        return ScoreResult(
            self.name,
            len(kept) / len(terms),
            reason=f"the last reply contains {len(kept)} of the {len(terms)} terms of the user",
            metadata={"reference_terms": sorted(terms), "retained_terms": sorted(kept)},
        )


def _turn(message: object, place: str, metric: str) -> Turn:
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise _no_conversation(metric, place, "it is no dict with a 'role'")
    content = message.get("content")
    if content is None or isinstance(content, str):
        return Turn(message["role"], content or "")
    if isinstance(content, Sequence) and not isinstance(content, bytes):
        texts = [part.get("text") for part in content if isinstance(part, Mapping)]
        return Turn(message["role"], " ".join(text for text in texts if isinstance(text, str)))
    raise _no_conversation(metric, place, f"its content is a {type(content).__name__}")


def _no_conversation(metric: str, place: str, problem: str) -> MetricError:
    return MetricError(
        f"metric {metric!r} reads a conversation, but cannot read {place!r}: {problem}",
        remedy="give a list of messages such as {'role': 'user', 'content': 'Hello'}",
    )


def _jaccard(one: list[str], other: list[str]) -> float:
    if not one or not other:
        return 0.0
    return len({*one} & {*other}) / len({*one, *other})


def _unevenness(tokens: list[str]) -> float:
    counts = Counter(tokens)
    if len(counts) < 2:
        return float(len(tokens) != 1)
    if len({*counts.values()}) == 1:
        return 0.0  # exactly
    total, log = len(tokens), math.log
    # The terms of counts that occur often are computed once.
    terms = [times * n * log(n / total) for n, times in Counter(counts.values()).items()]
    return max(0.0, 1 + math.fsum(terms) / total / log(len(counts)))


def _statements(text: str) -> str:
    return " ".join(part for part in _SENTENCE.findall(text) if not _is_request(part))


def _is_request(sentence: str) -> bool:
    if "?" in sentence or "？" in sentence:
        return True
    first = words(sentence)[:1]
    return not first or first[0] in _REQUEST_STARTS


def _terms(text: str) -> set[str]:
    return {
        word
        for word in words(text)
        if (len(word) >= 4 and word not in _STOPWORDS)
        or any(character.isdigit() for character in word)
        or _HAN.fullmatch(word)
    }


__all__ = [
    "FALLBACK_PHRASES",
    "ConversationDegenerationMetric",
    "KnowledgeRetentionMetric",
    "Turn",
    "require_conversation",
]
