"""What no candidate may do, whatever algorithm made it. Checked before anything is spent on it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from opik_eval.serialization import content_hash
from opik_optimizer.candidate import Candidate
from opik_optimizer.columns import columns_of, label_columns
from opik_optimizer.errors import SettingsError
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.tools import tool_texts, without_texts
from opik_optimizer.verbatim import VerbatimIndex

_SPACES = re.compile(r"\s+")
_LEAST_TOKENS = 4096
_GROWTH = 8


@dataclass(frozen=True, kw_only=True)
class Rejection:
    """A candidate that was not evaluated.

    Attributes:
        guard: Which rule it breaks: ``empty``, ``roles``, ``tools``, ``placeholders``, ``leak``,
            ``verbatim``, ``edit_size``, ``prompt_size``, ``duplicate`` or ``near_duplicate``.
        reason: How, in words that a reflection model can learn from too.
        candidate: What was rejected.
    """

    guard: str
    reason: str
    candidate: Candidate = field(repr=False)


@dataclass(frozen=True, kw_only=True)
class GuardSettings:
    """What the guards allow.

    Attributes:
        roles: Roles whose messages may be changed, added and removed.
        tools: Tools whose descriptions may be changed; ``True`` = all.
        max_verbatim_words: Most consecutive words that may be copied from the data; ``None`` = any.
        verbatim_operators: Operators whose purpose is to copy.
        max_edit: Largest share of the text that may differ from the parent, 0 to 1; ``None`` = any.
        max_prompt_tokens: Largest size of the prompts; ``None`` = 8 times the initial size, or 4096
            tokens if that is more; infinity = any.
        near_duplicate: Similarity, 0 to 1, from which on a candidate repeats another; 1 = equal but
            for case and spaces.
        allow_new_columns: Placeholders of further columns may be added, labels excepted.
    """

    roles: frozenset[str] = frozenset({"system"})
    tools: frozenset[str] | bool = False
    max_verbatim_words: int | None = 7
    verbatim_operators: frozenset[str] = frozenset({"demonstrations"})
    max_edit: float | None = None
    max_prompt_tokens: float | None = None
    near_duplicate: float = 1.0
    allow_new_columns: bool = False

    def __post_init__(self) -> None:
        for name in ("max_edit", "near_duplicate"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1:
                raise SettingsError(f"{name} must lie in (0, 1], not {value!r}")
        if self.max_verbatim_words is not None and self.max_verbatim_words < 1:
            raise SettingsError("max_verbatim_words must be at least 1, or None for any number")


class Guards:
    """The guards of one run. What they say depends on their arguments alone, never on the order.

    Args:
        seed: The initial candidate: what it has must stay, what it lacks must not come in.
        items: Items whose texts must not be copied, whose columns are known.
        settings: What is allowed.

    Example:
        >>> seed = Candidate.of(ChatPrompt(system="Be brief.", user="{question}"))
        >>> guards = Guards(seed, items=[{"question": "2+2", "answer": "4"}])
        >>> def child(text):
        ...     return seed.with_components({"chat-prompt/system/0": text}, operator="mutation")
        >>> guards.check(seed, child("Be exact.")) is None
        True
        >>> guards.check(seed, child("Say {answer}.")).guard
        'leak'
    """

    def __init__(
        self,
        seed: Candidate,
        *,
        items: Collection[Mapping[str, object]] = (),
        settings: GuardSettings | None = None,
    ) -> None:
        self.seed = seed
        self.settings = settings or GuardSettings()
        self.columns = columns_of(items)
        self.labels = label_columns(self.columns, self._placeholders(seed))
        self._items = items
        self._signatures: dict[str, tuple[str, list[str]]] = {}  # computed once, never changed

    def check(
        self,
        parents: Candidate | Sequence[Candidate],
        child: Candidate,
        *,
        known: Collection[Candidate] = (),
    ) -> Rejection | None:
        """Return why a candidate must not be evaluated, or ``None``.

        Args:
            parents: What it was made from.
            child: The candidate.
            known: Candidates that it must not repeat, beside its parents.
        """
        ancestors = [parents] if isinstance(parents, Candidate) else list(parents)
        checks: Sequence[tuple[str, Callable[[], str | None]]] = (
            ("empty", lambda: self._empty(child)),
            ("roles", lambda: self._roles(child)),
            ("tools", lambda: self._tools(child)),
            ("placeholders", lambda: self._lost(child)),
            ("leak", lambda: self._leak(child)),
            ("verbatim", lambda: self._verbatim(ancestors, child)),
            ("edit_size", lambda: self._edit_size(ancestors, child)),
            ("prompt_size", lambda: self._prompt_size(child)),
            ("duplicate", lambda: _duplicate(child, [*ancestors, *known])),
            ("near_duplicate", lambda: self._near_duplicate(child, [*ancestors, *known])),
        )
        for guard, find in checks:
            if (reason := find()) is not None:
                return Rejection(guard=guard, reason=reason, candidate=child)
        return None

    @cached_property
    def _index(self) -> VerbatimIndex:
        return VerbatimIndex(self._items, size=(self.settings.max_verbatim_words or 0) + 1)

    def _pairs(self, child: Candidate) -> Iterator[tuple[str, ChatPrompt, ChatPrompt]]:
        for name, prompt in self.seed.prompts.items():
            yield name, prompt, child.prompts[name]

    def _empty(self, child: Candidate) -> str | None:
        blank = [key for key, text in child.components().items() if not text.strip()]
        were = self.seed.components()
        new = [key for key in blank if were.get(key, "some").strip()]
        return f"the text of {', '.join(new)} is empty" if new else None

    def _roles(self, child: Candidate) -> str | None:
        roles = self.settings.roles
        for name, before, after in self._pairs(child):
            frozen = [[m for m in p.messages if m["role"] not in roles] for p in (before, after)]
            if frozen[0] != frozen[1]:
                changed = ", ".join(sorted({str(m["role"]) for part in frozen for m in part}))
                return (
                    f"prompt {name!r}: messages of the roles {changed} were changed, added or "
                    f"removed; only {', '.join(sorted(roles)) or 'none'} may be"
                )
            media = [sorted(map(content_hash, _media(p))) for p in (before, after)]
            if media[0] != media[1]:
                return f"prompt {name!r}: images or other media were changed"
        return None

    def _tools(self, child: Candidate) -> str | None:
        allowed = self.settings.tools
        for name, before, after in self._pairs(child):
            if without_texts(before.tools) != without_texts(after.tools):
                return f"prompt {name!r}: names or schemas of tools were changed"
            texts = tool_texts(after.tools)
            changed = {
                key.partition("/")[0]
                for key, text in tool_texts(before.tools).items()
                if texts[key] != text
            }
            frozen = changed - (allowed if isinstance(allowed, frozenset) else frozenset())
            if allowed is not True and frozen:
                return f"prompt {name!r}: the tools {sorted(frozen)} must not be changed"
        return None

    def _lost(self, child: Candidate) -> str | None:
        for name, before, after in self._pairs(child):
            kept = after.placeholders(self.columns)
            had = filter(self._matters, before.placeholders(self.columns))
            lost = [placeholder for placeholder in had if placeholder not in kept]
            if lost:
                return f"prompt {name!r} lost the placeholder {{{lost[0]}}}; keep it as it is"
        return None

    def _leak(self, child: Candidate) -> str | None:
        had = self._placeholders(self.seed)
        for name in self._placeholders(child):
            column = name.partition(".")[0] if name not in self.columns else name
            if name in had or column not in self.columns:
                continue
            if column in self.labels:
                return f"the new placeholder {{{name}}} would show the expected answer"
            if not self.settings.allow_new_columns:
                return f"the placeholder {{{name}}} is new; the prompt must not use further columns"
        return None

    def _verbatim(self, ancestors: Sequence[Candidate], child: Candidate) -> str | None:
        limit = self.settings.max_verbatim_words
        if limit is None or child.operator in self.settings.verbatim_operators:
            return None
        allowed = [text for c in (self.seed, *ancestors) for text in _texts(c)]
        for text in _texts(child):
            copied = self._index.copied(text, allowed)
            if copied is not None:
                return f"more than {limit} consecutive words are copied from the data: {copied!r}"
        return None

    def _edit_size(self, ancestors: Sequence[Candidate], child: Candidate) -> str | None:
        limit = self.settings.max_edit
        if limit is None or not ancestors:
            return None
        smallest = min(1 - similarity(parent.text(), child.text()) for parent in ancestors)
        if smallest <= limit:
            return None
        return f"{smallest:.0%} of the text was changed, and at most {limit:.0%} may be"

    def _prompt_size(self, child: Candidate) -> str | None:
        limit = self.settings.max_prompt_tokens
        if limit is None:
            limit = max(_LEAST_TOKENS, _GROWTH * self.seed.tokens)
        if child.tokens <= limit:
            return None
        return f"the prompts have {child.tokens} tokens, and {limit:g} are allowed"

    def _near_duplicate(self, child: Candidate, known: Sequence[Candidate]) -> str | None:
        frame, texts = self._signature(child)
        for other in known:
            their_frame, theirs = self._signature(other)
            if their_frame != frame:
                continue
            alike = 1.0 if texts == theirs else 0.0
            if not alike and self.settings.near_duplicate < 1:
                alike = similarity("\n".join(texts), "\n".join(theirs))
            if alike >= self.settings.near_duplicate:
                return f"it repeats candidate {other.id} (similarity {math.floor(alike * 100)} %)"
        return None

    def _placeholders(self, candidate: Candidate) -> list[str]:
        prompts = candidate.prompts.values()
        return list(dict.fromkeys(n for p in prompts for n in p.placeholders(self.columns)))

    def _matters(self, placeholder: str) -> bool:
        """Tell whether a placeholder stands for a column; all do where no columns are known."""
        if not self.columns or placeholder in self.columns:
            return True
        return placeholder.partition(".")[0] in self.columns

    def _signature(self, candidate: Candidate) -> tuple[str, list[str]]:
        """Return what must be equal of near-duplicates, and the texts that must be alike."""
        if candidate.id not in self._signatures:
            self._signatures[candidate.id] = (_frame(candidate), _normalised(candidate))
        return self._signatures[candidate.id]


def similarity(first: str, second: str) -> float:
    """Return how alike two texts are, from 0 to 1: 1 minus the normalised Indel distance."""
    from rapidfuzz.distance import Indel

    return float(Indel.normalized_similarity(first, second))


def _duplicate(child: Candidate, known: Sequence[Candidate]) -> str | None:
    same = next((other for other in known if other.id == child.id), None)
    return None if same is None else f"it is the same as candidate {same.id}"


def _texts(candidate: Candidate) -> list[str]:
    return [*candidate.components(tools=True).values()]


def _normalised(candidate: Candidate) -> list[str]:
    return [_SPACES.sub(" ", text).strip().casefold() for text in _texts(candidate)]


def _frame(candidate: Candidate) -> str:
    """Return the hash of all that is no text: a difference there makes no near-duplicate."""
    blank = dict.fromkeys(candidate.components(tools=True), "")
    return candidate.with_components(blank, operator="frame").id


def _media(prompt: ChatPrompt) -> Iterator[object]:
    for message in prompt.messages:
        content = message.get("content")
        yield from (
            p for p in (content if isinstance(content, list) else ()) if p["type"] != "text"
        )


__all__ = ["GuardSettings", "Guards", "Rejection", "similarity"]
