"""The fakes by name, for ``get_model``, the command line and configuration files.

- ``fake/echo``: answers with the text of the last user message
- ``fake/fixed?text=yes``: answers always the same
- ``fake/latency?seconds=0.2``: echoes after a while
- ``fake/flaky?error_rate=0.1&rate_limit_rate=0.05&retry_after_seconds=2&seed=7``: echoes, or fails
- ``fake/label-noise?labels=spam|ham&error_rate=0.2&seed=7``: echoes, but sometimes another label

Text in options is written as in a URL: ``%20`` is a space, ``%26`` is ``&``.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl

from opik_eval.errors import ConfigError
from opik_eval.models.fake import (
    EchoTransport,
    FakeTransport,
    FlakyTransport,
    FunctionTransport,
    LabelNoiseTransport,
    LatencyTransport,
)

_Options = Mapping[str, "str | float | int"]


def fake_transport(name: str) -> FakeTransport:
    """Return the fake that a name such as ``fake/flaky?error_rate=0.1`` stands for.

    Raises:
        ConfigError: There is no such fake, or it has no such option.
    """
    kind, _, query = name.removeprefix("fake/").partition("?")
    builder = _NAMED.get(kind)
    if builder is None:
        raise ConfigError(
            f"there is no fake model {name!r}",
            remedy=f"use one of {', '.join(f'fake/{known}' for known in _NAMED)}",
        )
    defaults, build = builder
    options = dict(defaults)
    for key, text in parse_qsl(query, keep_blank_values=True):
        options[key] = _option(name, key, text, defaults)
    transport = build(options)
    transport.account = name
    return transport


def _option(name: str, key: str, text: str, defaults: _Options) -> str | float | int:
    if key not in defaults:
        close = difflib.get_close_matches(key, defaults, n=1)
        raise ConfigError(
            f"fake model {name!r} has no option {key!r}",
            remedy=f"did you mean {close[0]!r}?" if close else f"options: {', '.join(defaults)}",
        )
    try:
        return type(defaults[key])(text)
    except ValueError as error:
        raise ConfigError(f"option {key} of fake model {name!r} is no number: {text!r}") from error


def _build_flaky(options: _Options) -> FakeTransport:
    return FlakyTransport(
        EchoTransport(),
        error_rate=float(options["error_rate"]),
        rate_limit_rate=float(options["rate_limit_rate"]),
        retry_after_seconds=float(options["retry_after_seconds"]),
        seed=int(options["seed"]),
    )


def _build_label_noise(options: _Options) -> FakeTransport:
    return LabelNoiseTransport(
        EchoTransport(),
        str(options["labels"]).split("|"),
        error_rate=float(options["error_rate"]),
        seed=int(options["seed"]),
    )


_NAMED: Mapping[str, tuple[_Options, Callable[[_Options], FakeTransport]]] = {
    "echo": ({}, lambda _: EchoTransport()),
    "fixed": ({"text": "ok"}, lambda o: FunctionTransport(lambda _: str(o["text"]))),
    "latency": (
        {"seconds": 0.1},
        lambda o: LatencyTransport(EchoTransport(), float(o["seconds"])),
    ),
    "flaky": (
        {"error_rate": 0.1, "rate_limit_rate": 0.0, "retry_after_seconds": 0.0, "seed": 0},
        _build_flaky,
    ),
    "label-noise": ({"labels": "yes|no", "error_rate": 0.1, "seed": 0}, _build_label_noise),
}
