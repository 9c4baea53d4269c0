"""Names for what users leave unnamed."""

from __future__ import annotations

from hashlib import sha256

_FIRST = "amber brisk calm clear deep eager early fair fine fond glad keen kind lucid mild neat"
_SECOND = (
    "alder birch cedar comet delta ember fjord grove heron lark maple otter reed sable tern vale"
)


def invented_name(identifier: str) -> str:
    """Return the name that belongs to an id: the same id, the same name.

    Example:
        >>> invented_name("01a201cc-e074-7c80-98f7-e15ed4ebec8b") == invented_name(
        ...     "01a201cc-e074-7c80-98f7-e15ed4ebec8b"
        ... )
        True
    """
    digest = sha256(identifier.encode()).digest()
    first, second = _FIRST.split(), _SECOND.split()
    number = int.from_bytes(digest[2:4], "big") % 10_000
    return f"{first[digest[0] % len(first)]}_{second[digest[1] % len(second)]}_{number:04}"
