"""Pieces of payloads: lists of objects, ids, names of projects."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping, Sequence
from typing import cast

from opik_eval.config import DEFAULT_PROJECT
from opik_eval.ids import new_id
from opik_eval.server.failures import FrameworkError, RefusedError

Payload = Mapping[str, object]
MAX_ELEMENTS = 1000
_UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_UUID7S = re.compile(rf"(?:{_UUID7.pattern}\n)*")
_LENGTH = 36


def objects(payload: Payload, name: str, *, most: int = MAX_ELEMENTS) -> Sequence[Payload]:
    """Return a list of objects, at least one.

    Args:
        payload: What holds it.
        name: Its field.
        most: Greatest number of elements.

    Raises:
        RefusedError: It is missing, empty or too long, or an element is no object (422).
    """
    value = payload.get(name)
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise RefusedError(422, f"{name} must be a list of 1 to {most} elements")
    for position, element in enumerate(value):
        if type(element) is not dict:
            raise RefusedError(422, f"{name}[{position}] must be an object")
    return cast("Sequence[Payload]", value)


def texts(payload: Payload, name: str, *, most: int = MAX_ELEMENTS) -> list[str]:
    """Return a list of texts, at least one.

    Raises:
        RefusedError: It is missing, empty or too long, or an element is no text (422).
    """
    value = payload.get(name)
    if not isinstance(value, list) or not 1 <= len(value) <= most:
        raise RefusedError(422, f"{name} must be a list of 1 to {most} texts")
    if not all(isinstance(element, str) for element in value):
        raise RefusedError(422, f"{name} must hold texts only")
    return cast("list[str]", value)


def text(payload: Payload, name: str) -> str | None:
    """Return a text, ``None`` if it is absent or null.

    Raises:
        RefusedError: It is something else (422).
    """
    value = payload.get(name)
    if value is None or isinstance(value, str):
        return value
    raise RefusedError(422, f"{name} must be a text")


def required_text(payload: Payload, name: str) -> str:
    """Return a text that is not blank.

    Raises:
        RefusedError: It is missing, blank or no text (422).
    """
    value = text(payload, name)
    if value is None or not value.strip():
        raise RefusedError(422, f"{name} must not be blank")
    return value


def number(payload: Payload, name: str, *, least: int, most: int) -> int:
    """Return a whole number within bounds.

    Raises:
        RefusedError: It is missing, something else, too small or too large (422).
    """
    value = payload.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise RefusedError(422, f"{name} must be a whole number from {least} to {most}")
    return value


def identifier(value: object, name: str = "id") -> str:
    """Return a UUIDv7 in its canonical spelling, a fresh one for ``None``.

    Raises:
        FrameworkError: It is something else (400).
    """
    if value is None:
        return new_id()
    if isinstance(value, str):
        if _UUID7.fullmatch(value):
            return value
        try:
            spelled = str(uuid.UUID(value))
        except ValueError:
            spelled = ""
        if _UUID7.fullmatch(spelled):
            return spelled
    raise FrameworkError(
        400,
        f"{name} must be a version 7 UUID, but is {_shown(value)}",
        "ids carry their creation time and sort by it",
    )


def is_identifier(value: str) -> bool:
    """Return whether a text is a UUIDv7 in its canonical spelling."""
    return _UUID7.fullmatch(value) is not None


def are_identifiers(values: Sequence[object]) -> bool:
    """Return whether values are UUIDv7s in their canonical spelling, or ``None``."""
    texts = [value for value in values if isinstance(value, str)]
    if len(texts) + values.count(None) < len(values) or not {*map(len, texts)} <= {_LENGTH}:
        return False
    return _UUID7S.fullmatch("\n".join([*texts, ""])) is not None


def required_identifier(payload: Payload, name: str) -> str:
    """Return a UUIDv7 that a payload must have.

    Raises:
        RefusedError: It is missing (422).
        FrameworkError: It is no UUIDv7 (400).
    """
    if payload.get(name) is None:
        raise RefusedError(422, f"{name} must not be null")
    return identifier(payload[name], name)


def identifiers(payload: Payload, name: str = "ids", *, most: int = MAX_ELEMENTS) -> list[str]:
    """Return a list of UUIDv7s, at least one."""
    return [identifier(value, name) for value in texts(payload, name, most=most)]


def project_or_default(payload: Payload) -> str:
    """Return the name of the project that a payload goes to."""
    return (text(payload, "project_name") or "").strip() or DEFAULT_PROJECT


def _shown(value: object) -> str:
    return repr(value)[:80]
