"""Templates: one pass from text and values to text.

Three kinds of template, chosen by ``type``:

- ``mustache`` (default): ``{{ name }}``, with ``{{ user.name }}`` and ``{{ items[0] }}`` for what
  lies inside. Nothing else: no sections, no escaping. Single braces are ordinary characters.
- ``jinja2``: the whole language, in a sandbox that cannot reach Python's internals or change the
  values. It turns every line end of a template into a line feed.
- ``python``: ``{name}``, with ``{{`` and ``}}`` for braces; no attributes, indices or formats.

In all of them a value is inserted as it is and never read as a template again. ``None`` is inserted
as nothing, text and numbers as they are, everything else as canonical JSON.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from opik_eval.errors import PromptError
from opik_eval.records.prompt import TemplateType
from opik_eval.serialization import dumps

if TYPE_CHECKING:
    from jinja2.sandbox import SandboxedEnvironment

_MUSTACHE = re.compile(r"\{\{([^{}\n]*)\}\}")
_PATH = re.compile(r"\w[\w \-]*(?:\.\w[\w \-]*|\[\d+\])*")
_STEP = re.compile(r"[^.\[\]]+")
_SECTION_SIGNS = tuple("#/^>&!=")
_PYTHON = re.compile(r"\{\{|\}\}|\{([^\W\d]\w*)\}|[{}]")
_JINJA_SIGNS = ("{{", "{%", "{#")


class PromptType(StrEnum):
    """The types of templates by name, as Opik has them; the plain texts do as well."""

    MUSTACHE = "mustache"
    JINJA2 = "jinja2"
    PYTHON = "python"


def render(
    template: str,
    values: Mapping[str, object],
    *,
    type: TemplateType = "mustache",
    strict: bool = True,
) -> str:
    """Return ``template`` with the values in the place of the placeholders.

    Args:
        template: The text.
        values: What the placeholders stand for. A key ``a.b`` goes before the ``b`` inside ``a``.
        type: Which kind of template it is.
        strict: Refuse placeholders without a value; otherwise they stay as they are.

    Raises:
        PromptError: A value is missing, or the template is malformed.

    Example:
        >>> render("Hello {{ user.name }}!", {"user": {"name": "{{x}}"}})
        'Hello {{x}}!'
    """
    return _language(type).render(template, values, strict)


def placeholders(template: str, type: TemplateType = "mustache") -> list[str]:
    """Return the names of the placeholders, each once, in the order of appearance.

    Args:
        template: The text.
        type: Which kind of template it is. In ``jinja2`` these are the variables that the template
            does not set itself.

    Raises:
        PromptError: The template is malformed.

    Example:
        >>> placeholders("{{ question }} {{ context[0] }} {{question}}")
        ['question', 'context[0]']
    """
    return list(dict.fromkeys(_language(type).names(template)))


def _render_mustache(template: str, values: Mapping[str, object], strict: bool) -> str:
    def substitute(tag: re.Match[str]) -> str:
        name = tag[1].strip()
        if name in values:
            return _text(values[name])
        if _PATH.fullmatch(name):
            try:
                return _text(_lookup(name, values))
            except LookupError:
                if strict:
                    raise _missing(name, values) from None
        elif strict and name.startswith(_SECTION_SIGNS):
            raise PromptError(
                f"the template has {tag[0]!r}, but mustache templates here know placeholders only",
                remedy="write the template in jinja2 (type='jinja2') for conditions and loops",
            )
        return tag[0]

    return _MUSTACHE.sub(substitute, template)


def _mustache_names(template: str) -> Iterator[str]:
    for tag in _MUSTACHE.finditer(template):
        if _PATH.fullmatch(name := tag[1].strip()):
            yield name


def _lookup(path: str, values: Mapping[str, object]) -> object:
    current: object = values
    for step in _STEP.findall(path):
        if isinstance(current, Mapping):
            current = current[step]
        elif isinstance(current, Sequence) and not isinstance(current, str) and step.isdecimal():
            current = current[int(step)]
        else:
            raise KeyError(step)
    return current


def _render_python(template: str, values: Mapping[str, object], strict: bool) -> str:
    def substitute(tag: re.Match[str]) -> str:
        name = tag[1]
        if name is not None and name in values:
            return _text(values[name])
        if name is not None and strict:
            raise _missing(name, values)
        if name is None and len(tag[0]) == 1 and strict:
            raise PromptError(
                f"the template has a single {tag[0]!r} at character {tag.start()}",
                remedy="double braces that are meant as such; a placeholder is {name}, without "
                "attributes, indices or formats",
            )
        return tag[0] if name is not None else tag[0][0]

    return _PYTHON.sub(substitute, template)


def _python_names(template: str) -> Iterator[str]:
    return (tag[1] for tag in _PYTHON.finditer(template) if tag[1] is not None)


def _render_jinja(template: str, values: Mapping[str, object], strict: bool) -> str:
    if not _has_jinja(template):
        return template
    from jinja2 import TemplateError, UndefinedError

    try:
        return _compile(template, strict)(values)
    except UndefinedError as error:
        raise PromptError(
            f"the template needs a value that is not there: {error.message}; "
            f"available: {sorted(values)}",
            remedy="supply the value, or test for it: {% if name is defined %}",
        ) from error
    except TemplateError as error:
        line = getattr(error, "lineno", None)
        place = "" if line is None else f" in line {line}"
        raise PromptError(
            f"the jinja2 template cannot be rendered{place}: {error.message}",
            remedy="correct the template; a mustache template needs type='mustache'",
        ) from error
    except Exception as error:  # a template is the user's code
        raise PromptError(
            f"the jinja2 template raised {type(error).__name__}: {error}",
            remedy="check the expressions against the types of the values",
        ) from error


def _jinja_names(template: str) -> Iterator[str]:
    if not _has_jinja(template):
        return iter(())
    from jinja2 import TemplateSyntaxError, meta, nodes

    try:
        tree = _environment(strict=True).parse(template)
    except TemplateSyntaxError as error:
        raise PromptError(
            f"the jinja2 template is malformed in line {error.lineno}: {error.message}",
            remedy="correct the template; a mustache template needs type='mustache'",
        ) from error
    free = meta.find_undeclared_variables(tree)
    return (node.name for node in tree.find_all(nodes.Name) if node.name in free)


def _has_jinja(template: str) -> bool:
    """Tell whether there is anything to render; if not, the library need not be loaded."""
    return any(sign in template for sign in _JINJA_SIGNS)


@lru_cache(maxsize=256)
def _compile(template: str, strict: bool) -> Callable[[Mapping[str, object]], str]:
    return _environment(strict=strict).from_string(template).render


@lru_cache(maxsize=2)
def _environment(*, strict: bool) -> SandboxedEnvironment:
    from jinja2 import DebugUndefined, StrictUndefined, Undefined
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def finish(value: object) -> object:
        return value if isinstance(value, Undefined) else _text(value)

    return ImmutableSandboxedEnvironment(
        undefined=StrictUndefined if strict else DebugUndefined,
        finalize=finish,
        keep_trailing_newline=True,
        autoescape=False,  # prompts are plain text
    )


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return dumps(value).decode()


def _missing(name: str, values: Mapping[str, object]) -> PromptError:
    return PromptError(
        f"the template has a placeholder {name!r} without a value; available: {sorted(values)}",
        remedy=f"supply {name!r}, or correct the template; strict=False leaves it as it is",
    )


@dataclass(frozen=True)
class _Language:
    render: Callable[[str, Mapping[str, object], bool], str]
    names: Callable[[str], Iterator[str]]


_LANGUAGES: Mapping[str, _Language] = {
    "mustache": _Language(_render_mustache, _mustache_names),
    "jinja2": _Language(_render_jinja, _jinja_names),
    "python": _Language(_render_python, _python_names),
}


def _language(kind: str) -> _Language:
    if kind not in _LANGUAGES:
        raise PromptError(
            f"there is no template type {kind!r}", remedy=f"choose one of {sorted(_LANGUAGES)}"
        )
    return _LANGUAGES[kind]


__all__ = ["PromptType", "TemplateType", "placeholders", "render"]
