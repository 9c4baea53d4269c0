"""The texts that optimizers send to the reflection model, kept as Markdown files.

An algorithm's templates are the files ``prompts/*.md`` of its package: jinja2, cut into messages by
lines such as ``<!-- system -->``. Each is versioned by the hash of its text.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from importlib.resources import files

from opik_eval.judges.prompt import JudgePrompt
from opik_eval.models.base import Message
from opik_eval.prompts.template import placeholders
from opik_optimizer.errors import SettingsError

PromptOverrides = Mapping[str, str] | Callable[["TemplateLibrary"], object] | None
"""New texts by name, or a function that edits the library."""


class TemplateLibrary:
    """Templates by name. A copy of an algorithm's own, so that a run may edit it.

    Args:
        texts: The templates.

    Example:
        >>> library = TemplateLibrary({"improve": "Improve this: {{ prompt }}"})
        >>> library.set("improve", "Make it shorter: {{ prompt }}")
        >>> library.messages("improve", prompt="Hello, dear {{ x }}")
        [{'role': 'user', 'content': 'Make it shorter: Hello, dear {{ x }}'}]
    """

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._texts = dict(texts)
        self._names = {name: frozenset(_placeholders(text)) for name, text in texts.items()}

    @classmethod
    def of_package(cls, package: str, overrides: PromptOverrides = None) -> TemplateLibrary:
        """Return the templates in the folder ``prompts`` of a package, as the user wants them.

        Raises:
            SettingsError: An override names no template, or uses what is not there.
        """
        library = cls(_read(package))
        if callable(overrides):
            overrides(library)
        elif overrides is not None:
            library.update(overrides)
        return library

    def keys(self) -> list[str]:
        """Return the names."""
        return sorted(self._texts)

    def get(self, name: str) -> str:
        """Return the text of a template.

        Raises:
            SettingsError: There is no such template.
        """
        if name not in self._texts:
            raise SettingsError(
                f"there is no template {name!r}", remedy=f"there are {', '.join(self.keys())}"
            )
        return self._texts[name]

    def set(self, name: str, text: str) -> None:
        """Replace a template.

        Raises:
            SettingsError: There is no such template, or the text uses what the old one does not.
        """
        self.get(name)
        if unknown := sorted(set(_placeholders(text)) - self._names[name]):
            raise SettingsError(
                f"template {name!r} is given no {', '.join(unknown)}",
                remedy=f"it is given {', '.join(sorted(self._names[name])) or 'nothing'}",
            )
        self._texts[name] = text

    def update(self, texts: Mapping[str, str]) -> None:
        """Replace several templates; see ``set``."""
        for name, text in texts.items():
            self.set(name, text)

    def versions(self) -> dict[str, str]:
        """Return the version of each template: twelve hex digits of its text's hash."""
        return {name: JudgePrompt(name, text).version for name, text in self._texts.items()}

    def messages(self, name: str, **values: object) -> list[Message]:
        """Return the rendered messages of a template.

        Raises:
            PromptError: A value is missing, or the template is malformed.
        """
        return JudgePrompt(name, self.get(name)).messages(values)


def _placeholders(text: str) -> list[str]:
    return placeholders(text, "jinja2")


@cache
def _read(package: str) -> Mapping[str, str]:
    folder = files(package) / "prompts"
    texts = {
        path.name.removesuffix(".md"): path.read_text(encoding="utf-8")
        for path in (folder.iterdir() if folder.is_dir() else ())
        if path.name.endswith(".md")
    }
    if not texts:
        raise SettingsError(f"package {package} has no templates", remedy="add prompts/*.md")
    return texts


__all__ = ["PromptOverrides", "TemplateLibrary"]
