"""What is recorded of values, errors and secrets.

A recorded value is a snapshot: plain JSON types made at the moment of capture, so that what the
program does to the object later does not change the record. A value that JSON cannot hold becomes
its ``repr``; a value that refuses even that is named by its type. Capturing never raises.

**Secrets.** The value of a key that looks like a credential (``api_key``, ``x-api-key``,
``authorization``, ``password``, ``client_secret``, ``aws_secret_access_key``, ``access_token`` ...;
not ``max_tokens``, not ``token``) is replaced by ``[redacted]``: in every captured argument of that
name, and at any depth of the recorded input of a model call (spans of type ``llm``).
"""

from __future__ import annotations

import re
import traceback
from collections.abc import Mapping
from typing import cast

from opik_eval.records import ErrorInfo
from opik_eval.serialization import to_jsonable

REDACTED = "[redacted]"
_SECRET = re.compile(
    r"""(?:^|_)(?:
        api_?key | secret | secret_key | access_key | private_key | authorization | password |
        passwd | credentials? | cookie |
        (?:access|auth|bearer|refresh|session|ad|hf|api)_token
    )$""",
    re.VERBOSE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_IMMUTABLE = frozenset({str, int, bool, type(None)})
_TEXT = frozenset({str})


def snapshot(value: object) -> object:
    """Return ``value`` as plain JSON types that share nothing with it.

    Example:
        >>> snapshot({"answer": ("a", 1)})
        {'answer': ['a', 1]}
    """
    if type(value) in _IMMUTABLE:
        return value
    if _is_flat(value):
        return cast("dict[str, object]", value).copy()
    try:
        return to_jsonable(value)
    except Exception as error:  # noqa: BLE001 - runs code of user types (__repr__, tolist ...)
        return f"<{type(value).__qualname__} that cannot be recorded: {type(error).__name__}>"


def _is_flat(value: object) -> bool:
    """Tell whether a value is a dictionary of immutable values, as most are."""
    return (
        type(value) is dict
        and _TEXT.issuperset(map(type, value))
        and _IMMUTABLE.issuperset(map(type, value.values()))
    )


def looks_secret(key: str) -> bool:
    """Tell whether the value under this key is to be kept out of records.

    Example:
        >>> [looks_secret(key) for key in ("api_key", "X-Api-Key", "max_tokens")]
        [True, True, False]
    """
    snake = _CAMEL.sub("_", key).lower().replace("-", "_")
    return _SECRET.search(snake) is not None


def redact(value: object) -> object:
    """Return JSON types with the values of secret-looking keys replaced, at any depth."""
    if isinstance(value, Mapping):
        return {
            key: REDACTED if looks_secret(str(key)) and item is not None else redact(item)
            for key, item in value.items()
        }
    return [redact(item) for item in value] if isinstance(value, list) else value


def error_info_of(error: BaseException) -> ErrorInfo:
    """Return an exception as it is stored, with its traceback and causes."""
    try:
        message = str(error)
    except Exception:  # noqa: BLE001 - __str__ of a user's exception
        message = "<message cannot be shown>"
    return ErrorInfo(
        exception_type=type(error).__name__,
        message=message,
        traceback="".join(traceback.format_exception(error)),
    )


def flat_usage(value: object) -> dict[str, int]:
    """Return token counts as one flat mapping; nested counts get dotted names.

    Example:
        >>> flat_usage({"total_tokens": 3, "details": {"cached": 1, "audio": None}})
        {'total_tokens': 3, 'details.cached': 1}
    """
    plain = snapshot(value)
    return _flat(plain, "") if isinstance(plain, dict) else {}


def _flat(counts: Mapping[str, object], prefix: str) -> dict[str, int]:
    flat: dict[str, int] = {}
    for key, count in counts.items():
        if isinstance(count, Mapping):
            flat |= _flat(count, f"{prefix}{key}.")
        elif isinstance(count, int | float) and not isinstance(count, bool):
            flat[prefix + key] = int(count)
    return flat
