"""Metrics by name, for run files and the command line.

The names are those of the classes in any spelling: ``equals``, ``Equals`` and ``equals_metric`` are
the same, as are ``token_f1`` and ``TokenF1``. A metric of your own is named by where it lives:
``my_package.my_module:MyMetric`` (a class or a function).
"""

from __future__ import annotations

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from types import ModuleType

from opik_eval.errors import ConfigError
from opik_eval.metrics.base import BaseMetric
from opik_eval.metrics.function import as_metric

# Judges live one layer above and are metrics too; they are loaded by name, only when asked for.
_PACKAGES = ("opik_eval.metrics", "opik_eval.judges")
_WITHOUT_NAME = frozenset({"BaseMetric", "FunctionMetric", "Judge"})
_WORD_START = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


@dataclass(frozen=True, kw_only=True)
class MetricEntry:
    """A metric that can be asked for by name.

    Attributes:
        name: Its name in run files, such as ``token_f1``.
        kind: Its class; the class's documentation says the rest.
        summary: First line of that documentation.
        options: Its configuration: name to default as Python text, ``None`` where it is required.
    """

    name: str
    kind: type[BaseMetric]
    summary: str
    options: Mapping[str, str | None]


def get_metric(name: str, /, **options: object) -> BaseMetric:
    """Return a metric by name.

    Args:
        name: Such as ``equals``, or ``module:name`` for one that is not built in.
        **options: Arguments of its constructor.

    Raises:
        ConfigError: There is no such metric, or it has no such option, or lacks one.

    Example:
        >>> get_metric("equals", case_sensitive=True).case_sensitive
        True
    """
    return _build(_load(name) if ":" in name else _find(name), name, options)


def list_metrics() -> list[MetricEntry]:
    """Return all built-in metrics and judges, sorted by name."""
    entries = [
        MetricEntry(
            name=_snake_case(kind.__name__),
            kind=kind,
            summary=(inspect.getdoc(kind) or "").partition("\n")[0],
            options=_options(kind),
        )
        for package, name in _built_in()
        if _is_metric(kind := getattr(package, name))
    ]
    return sorted(entries, key=lambda entry: entry.name)


def _built_in() -> Iterator[tuple[ModuleType, str]]:
    for package in map(import_module, _PACKAGES):
        yield from ((package, name) for name in package.__all__ if name not in _WITHOUT_NAME)


def _is_metric(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, BaseMetric)


def _find(name: str) -> type[BaseMetric]:
    wanted = _key(name)
    for package, public_name in _built_in():
        if _key(public_name) == wanted and _is_metric(kind := getattr(package, public_name)):
            return kind  # type: ignore[no-any-return]
    known = [entry.name for entry in list_metrics()]
    raise ConfigError(
        f"there is no metric called {name!r}",
        remedy=_suggestion(name, known) + "; a metric of your own is named 'module:Class'",
    )


def _load(name: str) -> Callable[..., BaseMetric]:
    module_name, _, attribute = name.partition(":")
    try:
        found = getattr(import_module(module_name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"the metric {name!r} cannot be loaded: {error}",
            remedy="write 'package.module:Class', importable from where you run",
        ) from error
    return found if isinstance(found, type) else partial(as_metric, found)


def _build(kind: Callable[..., BaseMetric], name: str, options: Mapping[str, object]) -> BaseMetric:
    try:
        inspect.signature(kind).bind(**options)
    except TypeError as error:
        unknown = next((option for option in options if option not in _options(kind)), None)
        raise ConfigError(
            f"the metric {name!r} cannot be made from {sorted(options)}: {error}",
            remedy=_suggestion(unknown or "", _options(kind)),
        ) from error
    return kind(**options)


def _options(kind: Callable[..., BaseMetric]) -> dict[str, str | None]:
    return {
        name: None if parameter.default is parameter.empty else repr(parameter.default)
        for name, parameter in inspect.signature(kind).parameters.items()
    }


def _suggestion(word: str, known: Iterable[str]) -> str:
    names = list(known)
    close = difflib.get_close_matches(word, names, n=1)
    choice = f"there are {', '.join(sorted(names))}"
    return f"did you mean {close[0]!r}? {choice}" if close else choice


def _key(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower()).removesuffix("metric")


def _snake_case(class_name: str) -> str:
    return _WORD_START.sub("_", class_name.removesuffix("Metric")).lower()


__all__ = ["MetricEntry", "get_metric", "list_metrics"]
