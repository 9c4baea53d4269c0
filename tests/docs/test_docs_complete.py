"""The documentation names everything there is, and nothing that is not."""

from __future__ import annotations

import dataclasses
import re
import shlex
import sys
from pathlib import Path

import click
import pytest
import yaml

import opik_eval
from opik_eval.cli.app import cli
from opik_eval.cli.run_file import BudgetPart, OptionsPart, RunFile, parse_run
from opik_eval.config import Settings
from opik_eval.models.fake_names import _NAMED as FAKES
from opik_eval.storage.query import OPERATORS
from opik_optimizer.cli import optimize_file
from opik_optimizer.cli.optimize_file import parse_optimize_file

sys.path.insert(0, str(Path(__file__).parent))

import metric_table
from markdown import ROOT, blocks, documents

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
OPTIMIZE_FILE = (
    optimize_file.OptimizeFile,
    optimize_file.OptionsPart,
    optimize_file.BudgetPart,
    optimize_file.ReferencePart,
)
COMMANDS = cli.list_commands(click.Context(cli))


def page(name: str) -> str:
    """Return the text of a page."""
    return (ROOT / "docs" / name).read_text(encoding="utf-8")


def test_every_public_name_is_documented() -> None:
    """Every name of the package is mentioned on some page."""
    everything = "\n".join(path.read_text(encoding="utf-8") for path in documents())
    silent = [n for n in opik_eval.__all__ if not re.search(rf"\b{re.escape(n)}\b", everything)]
    assert not silent


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_documented(name: str) -> None:
    """Every command has a section, and every option of it is there."""
    text = page("cli.md")
    assert re.search(rf"^## (\w+ and )?{name}\b", text, re.MULTILINE)
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    options = [opt for parameter in command.params for opt in parameter.opts if opt[0] == "-"]
    assert [option for option in options if f"`{option}" not in text and option not in text] == []


def test_every_exit_code_is_documented() -> None:
    """The exit codes on the page are those of the program."""
    rows = re.findall(r"^\| (\d+) \|", page("cli.md"), re.MULTILINE)
    said = re.findall(r"^  (\d+) ", cli.epilog or "", re.MULTILINE)
    assert rows == said == ["0", "1", "2", "3", "4", "130"]


def test_every_key_of_run_files_is_documented() -> None:
    """Every key, option and limit of run files and optimize files is on the page."""
    text = page("cli.md")
    kinds = (RunFile, OptionsPart, BudgetPart, *OPTIMIZE_FILE)
    keys = [key for kind in kinds for key in kind.model_fields]
    assert [key for key in keys if not re.search(rf"\b{key}\b", text)] == []


def test_every_setting_is_documented() -> None:
    """Every environment variable is in the table of settings."""
    variables = [field.metadata.get("variable") for field in dataclasses.fields(Settings)]
    assert [v for v in variables if v and f"`{v}`" not in page("concepts.md")] == []


def test_every_operator_is_documented() -> None:
    """Every operator of the filter language is in its table."""
    operators = {operator for kinds in OPERATORS.values() for operator in kinds}
    assert [operator for operator in operators if f"`{operator}`" not in page("concepts.md")] == []


def test_every_metric_is_documented() -> None:
    """The table of metrics is what ``python tests/docs/metric_table.py`` writes."""
    text = metric_table.PAGE.read_text(encoding="utf-8")
    assert text == metric_table.with_table(text), "run: python tests/docs/metric_table.py"


def test_every_fake_model_is_documented() -> None:
    """Every fake model is in the table, with all of its options."""
    text = page("models.md")
    for name, (options, _) in FAKES.items():
        (row,) = re.findall(rf"^\| `fake/{name}(?:\?([^`]*))?` \|", text, re.MULTILINE)
        assert all(f"{option}=" in row for option in options)


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_links_lead_somewhere(path: Path) -> None:
    """Every relative link leads to a file, and to a heading of it where it names one."""
    for target in LINK.findall(path.read_text(encoding="utf-8")):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        linked = (path.parent / name).resolve() if name else path
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", h).strip().lower().replace(" ", "-") for h in headings]
            assert anchor in slugs, target


def commands_in_documents() -> list[tuple[str, str]]:
    """Return file name and text of every command line that the pages show."""
    return [
        (block.path.stem, line.removeprefix("$ ").strip())
        for path in documents()
        for block in blocks(path)
        if block.language in ("sh", "console")
        for line in block.code.splitlines()
        if line.removeprefix("$ ").startswith("opik-eval ")
    ]


@pytest.mark.parametrize(("page_name", "line"), commands_in_documents())
def test_commands_that_pages_show_are_right(page_name: str, line: str) -> None:
    """Every command that a page shows exists and takes these options."""
    _, name, *arguments = shlex.split(line.partition("  #")[0])
    command = cli.get_command(click.Context(cli), name)
    assert command is not None, page_name
    try:
        command.make_context(name, list(arguments))
    except click.BadParameter as error:
        if "does not exist" not in error.message:  # files may be missing here
            raise


def test_make_targets_that_pages_show_exist() -> None:
    """Every ``make`` target that a page shows is in the Makefile."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    shown = {
        name
        for path in documents()
        for name in re.findall(r"(?:^|`)make ([a-z]+)", path.read_text(), re.MULTILINE)
    }
    assert {"check", "demo", "test"} <= shown <= targets


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.stem)
def test_yaml_on_pages_is_valid(path: Path) -> None:
    """Every run file that a page shows can be read."""
    for block in blocks(path):
        if block.language == "yaml":
            content = yaml.safe_load(block.code)
            parse = parse_optimize_file if "optimizers" in content else parse_run
            parse(content, f"{path.name}, line {block.line}")
