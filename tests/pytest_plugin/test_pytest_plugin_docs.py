"""docs/testing.md does what it says."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "testing.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
TEXTS = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
CHANGES = re.compile(r"(answer|Test-Suite)-\d[\d-]*[0-9a-f]*|^Stored: .*|^=+.*", re.MULTILINE)


def shown(text: str) -> list[str]:
    """Return the lines of a text without what changes from run to run."""
    return [line.rstrip() for line in CHANGES.sub("...", text).splitlines() if line.strip()]


def test_the_examples_run_and_print_what_the_page_shows(run):
    """First the baseline is written and the units are recorded; then two answers are wrong."""
    code = "\n".join(PYTHON)
    update = run(code, "--update-baselines")
    update.assert_outcomes(passed=3)
    worse = code.replace(
        '    return {"output": str(sum',
        '    if item["question"] in ("7 + 5", "8 + 5"):\n'
        '        return {"output": "5"}\n'
        '    return {"output": str(sum',
    )
    failed = run(worse)
    failed.assert_outcomes(passed=2, failed=1)
    failure, summary = map(shown, TEXTS)
    assert contains(shown(failed.stdout.str()), failure)
    assert contains(shown(update.stdout.str()), summary[1:])


def contains(lines: list[str], part: list[str]) -> bool:
    """Tell whether the lines of ``part`` follow one another in ``lines``."""
    return any(lines[at : at + len(part)] == part for at in range(len(lines)))


def test_every_option_is_on_the_page(pytester):
    """What ``pytest --help`` lists is explained there."""
    help_text = pytester.runpytest_subprocess("--help").stdout.str()
    group = help_text.partition("evaluation (opik-eval):")[2].partition("\n\n")[0]
    options = re.findall(r"^  (--[\w-]+)", group, re.MULTILINE)
    assert len(options) == 4
    assert all(f"`{option}" in PAGE for option in options)
