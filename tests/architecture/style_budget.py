"""Budgets of size and shape that no linter has. Prints what is over; exits with 1 if anything is.

    python tests/architecture/style_budget.py opik_eval opik_optimizer

A budget that would make a piece of code worse gets an entry in ``EXCEPTIONS``, with the reason; an
entry that is no longer needed is reported too.
"""

from __future__ import annotations

import ast
import statistics
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

MAX_FILE_LINES = 400
MAX_MEDIAN_FILE_LINES = 150
MAX_BODY_LINES = 50  # without signature and docstring
MAX_P90_BODY_LINES = 25
MAX_PARAMETERS = 8
MAX_METHODS = 15  # public and private, without dunder methods
MAX_NESTING = 3  # branches, loops and tries; a `with` adds no path through the code
MAX_ANY_PER_1000_LINES = 8
MAX_REPEATED_SHARE = 0.01
REPEAT_WINDOW = 6  # lines
VAGUE_NAMES = frozenset({"common", "helper", "helpers", "manager", "managers", "util", "utils"})

# Path from the root of the tree, then what is over the budget.
EXCEPTIONS: Mapping[tuple[str, str], str] = {
    ("opik_eval/testing/metric_contract.py", "MetricContract: 18 methods"): (
        "a battery of tests has one method for each promise"
    ),
    ("opik_optimizer/prompt.py", "__init__: 9 parameters"): (
        "the constructor of a prompt takes what Opik's takes, under both names of the parameters"
    ),
}

Function = ast.FunctionDef | ast.AsyncFunctionDef
_BLOCKS = (
    ast.If,
    ast.For,
    ast.AsyncFor,
    ast.While,
    ast.Try,
    ast.TryStar,
    ast.Match,
)


@dataclass(frozen=True)
class Violation:
    """Something over its budget."""

    path: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}: {self.text}"


@dataclass(frozen=True)
class Source:
    """A file of the tree, read and parsed once."""

    path: str
    lines: list[str]
    tree: ast.Module


def read_tree(roots: Sequence[Path]) -> list[Source]:
    """Return all files under the roots; paths are given from the folder that holds the root."""
    return [
        Source(
            path=path.relative_to(root.parent).as_posix(),
            lines=(text := path.read_text(encoding="utf-8")).splitlines(),
            tree=ast.parse(text),
        )
        for root in roots
        for path in sorted(root.rglob("*.py"))
    ]


def violations(
    sources: Sequence[Source], exceptions: Mapping[tuple[str, str], str] = EXCEPTIONS
) -> list[Violation]:
    """Return what is over its budget and not excepted, and exceptions that are not needed."""
    found = [*chain.from_iterable(map(check_file, sources)), *check_tree(sources)]
    needed = {(violation.path, violation.text) for violation in found}
    unneeded = [
        Violation(path, f"the exception {text!r} is no longer needed")
        for path, text in exceptions
        if (path, text) not in needed and any(source.path == path for source in sources)
    ]
    return [v for v in found if (v.path, v.text) not in exceptions] + unneeded


def check_file(source: Source) -> Iterator[Violation]:
    """Yield the violations of one file."""
    texts = chain(_check_module(source), *map(_check_node, ast.walk(source.tree)))
    return (Violation(source.path, text) for text in texts)


def check_tree(sources: Sequence[Source]) -> Iterator[Violation]:
    """Yield the violations of the tree as a whole."""
    total = sum(len(source.lines) for source in sources)
    lengths = [len(source.lines) for source in sources]
    bodies = sorted(
        _body_lines(node)
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, Function)
    )
    anys = sum(_count_any(source.tree) for source in sources)
    if lengths and (median := statistics.median(lengths)) > MAX_MEDIAN_FILE_LINES:
        yield Violation("tree", f"median file of {median:g} lines")
    if bodies and (p90 := bodies[int(0.9 * (len(bodies) - 1))]) > MAX_P90_BODY_LINES:
        yield Violation("tree", f"90 % of the bodies have up to {p90} lines")
    if total and (density := 1000 * anys / total) > MAX_ANY_PER_1000_LINES:
        yield Violation("tree", f"{density:.1f} uses of Any per 1000 lines")
    if (share := repeated_share(sources)) > MAX_REPEATED_SHARE:
        yield Violation("tree", f"{share:.1%} of the lines are repeated")


def repeated_share(sources: Sequence[Source]) -> float:
    """Return the share of lines in runs of ``REPEAT_WINDOW`` or more that occur elsewhere too.

    Imports, docstrings, blank lines, signatures and ``__all__`` do not count: an interface is
    spelled out wherever it is implemented, and a name wherever it is handed on.
    """
    texts = {source.path: _code_lines(source) for source in sources}
    windows = Counter(
        tuple(lines[start : start + REPEAT_WINDOW])
        for lines in texts.values()
        for start in range(len(lines) - REPEAT_WINDOW + 1)
    )
    repeated = 0
    for lines in texts.values():
        covered: set[int] = set()
        for start in range(len(lines) - REPEAT_WINDOW + 1):
            if windows[tuple(lines[start : start + REPEAT_WINDOW])] > 1:
                covered.update(range(start, start + REPEAT_WINDOW))
        repeated += len(covered)
    return repeated / max(1, sum(map(len, texts.values())))


def _check_module(source: Source) -> Iterator[str]:
    path = Path(source.path)
    if len(source.lines) > MAX_FILE_LINES:
        yield f"file of {len(source.lines)} lines"
    if source.tree.body and ast.get_docstring(source.tree) is None:
        yield "module docstring missing"
    if vague := VAGUE_NAMES.intersection({*path.parts[:-1], *path.stem.split("_")}):
        yield f"{min(vague)!r} says nothing about what is in it"


def _check_node(node: ast.AST) -> Iterator[str]:
    if isinstance(node, Function):
        yield from _check_function(node)
    elif isinstance(node, ast.ClassDef):
        names = [part.name for part in node.body if isinstance(part, Function)]
        methods = sum(not name.startswith("__") for name in names)
        if methods > MAX_METHODS:
            yield f"{node.name}: {methods} methods"


def _check_function(function: Function) -> Iterator[str]:
    arguments = function.args
    names = [a.arg for a in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)]
    parameters = sum(name not in ("self", "cls") for name in names)
    if (lines := _body_lines(function)) > MAX_BODY_LINES:
        yield f"{function.name}: body of {lines} lines"
    if parameters > MAX_PARAMETERS:
        yield f"{function.name}: {parameters} parameters"
    if (depth := nesting(function.body)) > MAX_NESTING:
        yield f"{function.name}: nesting {depth}"


def _body_lines(function: Function) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (body[-1].end_lineno or 0) - body[0].lineno + 1 if body else 0


def nesting(body: Sequence[ast.stmt], depth: int = 0) -> int:
    """Return how deep blocks are nested; an ``elif`` and a ``with`` are no levels of their own."""
    deepest = depth
    for node in body:
        for inner in _inner_bodies(node):
            is_elif = isinstance(node, ast.If) and inner is node.orelse and _is_elif(inner)
            is_level = isinstance(node, _BLOCKS) and not is_elif
            deepest = max(deepest, nesting(inner, depth + is_level))
    return deepest


def _inner_bodies(node: ast.stmt) -> Iterator[list[ast.stmt]]:
    if isinstance(node, Function | ast.ClassDef):
        return  # has a depth of its own
    for name in ("body", "orelse", "finalbody"):
        if inner := getattr(node, name, []):
            yield inner
    for part in (*getattr(node, "handlers", []), *getattr(node, "cases", [])):
        yield part.body


def _is_elif(body: Sequence[ast.stmt]) -> bool:
    return len(body) == 1 and isinstance(body[0], ast.If)


def _count_any(tree: ast.Module) -> int:
    return sum(isinstance(node, ast.Name) and node.id == "Any" for node in ast.walk(tree))


def _code_lines(source: Source) -> list[str]:
    skipped: set[int] = set()
    for node in ast.walk(source.tree):
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_export = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"
        if is_text or is_export or isinstance(node, ast.Import | ast.ImportFrom):
            skipped.update(range(node.lineno, (node.end_lineno or node.lineno) + 1))
        if isinstance(node, Function):
            first = min([node.lineno, *(part.lineno for part in node.decorator_list)])
            skipped.update(range(first, node.body[0].lineno))
    return [
        stripped
        for number, line in enumerate(source.lines, start=1)
        if (stripped := line.strip()) and number not in skipped
    ]


def main(roots: Sequence[str]) -> int:
    """Check the trees and return the exit code."""
    sources = read_tree([Path(root).absolute() for root in roots])
    found = violations(sources)
    for violation in found:
        print(violation)
    print(f"style budget: {len(sources)} files, {len(found)} over it")
    return 1 if found or not sources else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
