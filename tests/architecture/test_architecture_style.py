"""The style budget holds, and it can fail."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(Path(__file__).parent))

import style_budget  # noqa: E402 - a script beside this file, which `make style` runs

LONG_BODY = "def f():\n    '''F.'''\n" + "    x = 1\n" * 51
DEEP = (
    "def f():\n  if a:\n    for b in c:\n      while d:\n"
    "        try:\n          e\n        finally:\n          g\n"
)


def found_in(text: str, path: str = "package/module.py") -> list[str]:
    """Return the texts of the violations of one file."""
    source = style_budget.Source(path, text.splitlines(), ast.parse(text))
    return [violation.text for violation in style_budget.check_file(source)]


def sources(*texts: str) -> list[style_budget.Source]:
    """Return a tree of files."""
    return [
        style_budget.Source(f"package/m{number}.py", text.splitlines(), ast.parse(text))
        for number, text in enumerate(texts)
    ]


def test_packages_keep_the_budget() -> None:
    """Every file of both packages, and the trees as wholes, are within the budgets."""
    tree = style_budget.read_tree([ROOT / "opik_eval", ROOT / "opik_optimizer"])
    assert [str(violation) for violation in style_budget.violations(tree)] == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("'''M.'''\n" * 401, "file of 401 lines"),
        ("x = 1\n", "module docstring missing"),
        (f"'''M.'''\n{LONG_BODY}", "f: body of 51 lines"),
        ("'''M.'''\ndef f(a, b, c, d, e, f, g, h, i): ...\n", "f: 9 parameters"),
        (f"'''M.'''\n{DEEP}", "f: nesting 4"),
        (
            "'''M.'''\nclass C:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(16)),
            "C: 16 methods",
        ),
    ],
)
def test_each_budget_can_be_passed(text: str, expected: str) -> None:
    """Code over a budget is reported with what is over it."""
    assert expected in found_in(text)


@pytest.mark.parametrize("name", ["utils.py", "text_helpers.py", "common/text.py", "manager.py"])
def test_vague_names_are_refused(name: str) -> None:
    """A module or folder whose name says nothing is reported."""
    assert any("says nothing" in text for text in found_in("'''M.'''\n", f"package/{name}"))


def test_budgets_count_what_they_mean() -> None:
    """An elif is no level, a with is none, self is no parameter, a docstring is no body."""
    text = "'''M.'''\nclass C:\n    def f(self, a, b, c, d, e, f, g, h):\n        '''F.\n" + (
        "\n" * 60 + "        '''\n        if a: b\n        elif c: d\n        elif e: f\n"
        "        else:\n            with g:\n                with h:\n                    i\n"
    )
    assert found_in(text) == []
    assert style_budget.nesting(ast.parse(text).body) == 0
    method = ast.parse("if a:\n  x\nelif b:\n  with c:\n    if d:\n      y")
    assert style_budget.nesting(method.body) == 2


def test_repeated_lines_are_found() -> None:
    """Six equal lines in two places count; signatures, imports and exports do not."""
    body = "".join(f"    x{n} = {n}\n" for n in range(6))
    repeated = sources(f"def f():\n{body}", f"def g():\n{body}")
    assert style_budget.repeated_share(repeated) == 1.0
    signature = "def f(\n    a,\n    b,\n    c,\n    d,\n    e,\n    f,\n): ...\n"
    imports = "".join(f"import m{n}\n" for n in range(8))
    imports += "__all__ = [\n" + "".join(f"    'm{n}',\n" for n in range(8)) + "]\n"
    assert style_budget.repeated_share(sources(signature + imports, imports + signature)) == 0


def test_any_is_budgeted_over_the_tree() -> None:
    """More than eight uses of Any in a thousand lines are reported."""
    tree = sources("'''M.'''\n" + "x: Any\n" * 9 + "\n" * 990)
    found = [violation.text for violation in style_budget.check_tree(tree)]
    assert "9.0 uses of Any per 1000 lines" in found
    assert "median file of 1000 lines" in found


def test_exceptions_are_used_and_not_outlived() -> None:
    """An exception silences its violation; one that silences nothing is reported itself."""
    tree = sources("x = 1\n")
    excepted = {("package/m0.py", "module docstring missing"): "a reason"}
    assert style_budget.violations(tree, excepted) == []
    outlived = {**excepted, ("package/m0.py", "file of 500 lines"): "a reason"}
    texts = [violation.text for violation in style_budget.violations(tree, outlived)]
    assert texts == ["the exception 'file of 500 lines' is no longer needed"]


def test_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The script exits with 1 if anything is over, and for a folder without sources."""
    assert style_budget.main([str(tmp_path)]) == 1
    (tmp_path / "module.py").write_text("'''M.'''\n")
    assert style_budget.main([str(tmp_path)]) == 0
    (tmp_path / "module.py").write_text("x = 1\n")
    assert style_budget.main([str(tmp_path)]) == 1
    assert "module docstring missing" in capsys.readouterr().out
