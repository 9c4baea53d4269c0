"""The words and signs of a filter, one after the other, and errors that say where."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from opik_eval.errors import ConfigError

_TOKEN = re.compile(
    r"""
    \s*(?:
      (?P<text>"(?:[^"\\]|\\.|"")*"|'(?:[^'\\]|\\.|'')*')
    | (?P<sign>!=|>=|<=|=|>|<|[(),\[\]])
    | (?P<word>[^\s"'()\[\],=<>!]+)
    )
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True)
class Token:
    """A piece of a filter.

    Attributes:
        kind: ``text`` (in quotes), ``sign``, ``word`` or ``end``.
        text: As it is written, with its quotes.
        start: Where it begins.
    """

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Where it ends."""
        return self.start + len(self.text)

    @property
    def value(self) -> str:
        """What it says: the text without quotes and escapes, anything else as it is."""
        if self.kind != "text":
            return self.text
        quote, inner = self.text[0], self.text[1:-1]
        return re.sub(rf"\\([\\\"'])|{quote}{quote}", lambda m: m[1] or quote, inner)


class Tokens:
    """The tokens of a filter and a position among them.

    Raises:
        ConfigError: A quote is never closed, or a sign is none of the language's.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self._tokens = self._split()
        self._position = 0

    def peek(self) -> Token:
        """Return the next token without passing it."""
        return self._tokens[self._position]

    def next(self) -> Token:
        """Pass the next token; the end is never passed."""
        token = self.peek()
        self._position = min(self._position + 1, len(self._tokens) - 1)
        return token

    def accept(self, text: str) -> bool:
        """Pass the next token if it is that sign or word, and say so; case does not matter."""
        token = self.peek()
        found = token.kind in ("sign", "word") and token.text.lower() == text
        self._position += found
        return found

    def expect(self, sign: str) -> None:
        """Pass that sign; anything else is an error."""
        if not self.accept(sign):
            self.fail(self.peek(), f"expected `{sign}`")

    def continues_path(self) -> bool:
        """Return True if the next token adds to a path: ``[``, or what follows a dot at once."""
        token, before = self.peek(), self._tokens[self._position - 1]
        if token.start != before.end:
            return False
        if token.kind == "text":
            return before.text.endswith(".")
        return token.text == "[" or token.text.startswith(".")

    def fail(self, token: Token, problem: str, remedy: str | None = None) -> NoReturn:
        """Raise a ConfigError that shows the filter, the position and the token."""
        where = f"at position {token.start}, {token.text!r}" if token.text else "at the end"
        raise ConfigError(f"filter {self._source!r}, {where}: {problem}", remedy=remedy)

    def _split(self) -> list[Token]:
        tokens: list[Token] = []
        position, end = 0, len(self._source.rstrip())
        while position < end:
            match = _TOKEN.match(self._source, position)
            if match is None:
                rest = self._source[position:].lstrip()
                problem = "this quote is never closed" if rest[0] in "\"'" else "not understood"
                self.fail(Token("?", rest[:20], len(self._source) - len(rest)), problem)
            kind = str(match.lastgroup)
            tokens.append(Token(kind, match[kind], match.start(kind)))
            position = match.end()
        return [*tokens, Token("end", "", end)]
