"""Reading YAML so that every key can be traced to its line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from opik_eval.errors import ConfigError

KeyPath = tuple[str | int, ...]


@dataclass(frozen=True)
class Origin:
    """Where content comes from, for error messages.

    Attributes:
        name: The file, or what stands for it.
        lines: Line of every key and list entry; empty where the content came from elsewhere.
    """

    name: str
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def at(self, *path: str | int) -> str:
        """Return the place of a key in words, such as ``run.yaml, line 3, metrics.0``.

        A key that is not there has the line of the nearest one above it.
        """
        nearest = next((self.lines[p] for p in _upwards(path) if p in self.lines), None)
        parts = [
            self.name,
            *([] if nearest is None else [f"line {nearest}"]),
            *([".".join(map(str, path))] if path else []),
        ]
        return ", ".join(parts)


def read_yaml(path: Path) -> tuple[object, Origin]:
    """Return the content of a YAML file and where its keys are.

    Raises:
        ConfigError: The file cannot be read, is no YAML, or names a key twice.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigError(f"cannot read {path}: {reason}") from error
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None, Origin(str(path))
        lines = dict(_lines_of(node, (), str(path), set()))
        return loader.construct_document(node), Origin(str(path), lines)
    except (yaml.YAMLError, ValueError) as error:
        mark = getattr(error, "problem_mark", None)
        where = str(path) if mark is None else f"{path}, line {mark.line + 1}"
        problem = getattr(error, "problem", None) or error
        raise ConfigError(f"{where}: not YAML ({problem})", remedy="check quotes and spaces") from (
            error
        )
    finally:
        loader.dispose()


def _lines_of(
    node: yaml.Node, path: KeyPath, name: str, visited: set[int]
) -> Iterator[tuple[KeyPath, int]]:
    """Yield the line of every key; what an alias repeats is found under its anchor only."""
    if id(node) in visited:
        return
    visited.add(id(node))
    for key, child, line in _children(node, name):
        yield (*path, key), line
        yield from _lines_of(child, (*path, key), name, visited)


def _children(node: yaml.Node, name: str) -> Iterator[tuple[str | int, yaml.Node, int]]:
    if isinstance(node, yaml.SequenceNode):
        for index, child in enumerate(node.value):
            yield index, child, child.start_mark.line + 1
    if not isinstance(node, yaml.MappingNode):
        return
    seen: dict[str, int] = {}
    for key, child in node.value:
        word, line = str(key.value), key.start_mark.line + 1
        if word in seen:
            raise ConfigError(
                f"{name}, line {line}: key {word!r} is already on line {seen[word]}",
                remedy="remove one of them",
            )
        seen[word] = line
        yield word, child, line


def _upwards(path: KeyPath) -> Iterator[KeyPath]:
    return (path[:length] for length in range(len(path), 0, -1))
