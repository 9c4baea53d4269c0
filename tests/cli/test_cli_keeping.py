"""``export``, ``import`` and ``doctor``."""

from __future__ import annotations

from pathlib import Path

import pytest

from opik_eval.cli import doctor
from opik_eval.config import settings
from opik_eval.errors import UnavailableError
from opik_eval.storage.opening import open_storage


@pytest.mark.parametrize("file_format", ["jsonl", "csv", "parquet"])
def test_export_and_import(cli, file_format: str) -> None:
    """An export brought into another store gives the same results; twice changes nothing."""
    cli("run", "echo.yaml")
    outcome = cli("export", "backup", "--format", file_format)
    assert outcome.code == 0
    assert "1 experiments" in outcome.out
    counts = cli("import", "backup", "--storage", "file:copy.db", "--json").json["imported"]
    assert counts["experiment_items"] == 6
    assert cli("import", "backup", "--storage", "file:copy.db").code == 0
    original, copy = (
        cli("show", "echo", "--json"),
        cli("show", "echo", "--json", "--storage", "file:copy.db"),
    )
    assert copy.json | {"storage": ""} == original.json | {"storage": ""}


def test_export_into_a_full_folder(cli, folder: Path) -> None:
    """A folder that holds something is left alone."""
    assert cli("export", str(folder)).code == 1
    assert cli("import", "nothing-there").code == 2
    (folder / "empty").mkdir()
    assert cli("import", "empty").code == 1


def test_import_of_nothing(cli) -> None:
    """An empty store can be exported and imported."""
    open_storage().close()
    assert cli("export", "backup").out == "exported nothing\n"
    assert cli("import", "backup", "--storage", "memory:").out == "imported nothing\n"


def test_doctor(cli) -> None:
    """``doctor`` finds a fresh installation in order, one line for each check."""
    outcome = cli("doctor")
    assert outcome.code == 0
    checks = [line.split()[0] for line in outcome.out.splitlines()]
    assert set(checks) <= {"ok", "note"}
    assert "made by the first run" in outcome.out
    assert not Path(".opik").exists()
    for check in ("versions", "configuration", "store", "disk", "embedded model", "default model"):
        assert check in outcome.out


def test_doctor_as_json(cli) -> None:
    """As JSON every finding has check, state and detail."""
    findings = cli("doctor", "--json", "--storage", "memory:").json
    assert all(sorted(finding) == ["check", "detail", "state"] for finding in findings)
    assert "disk" not in [finding["check"] for finding in findings]


def test_doctor_looks_at_the_place_of_a_store(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is there is opened; one that could not be made is bad."""
    open_storage("file:there.db").close()
    assert "there.db, 0 experiments" in cli("doctor", "--storage", "file:there.db").out
    monkeypatch.setattr(doctor.os, "access", lambda path, mode: False)
    outcome = cli("doctor", "--storage", "file:not/there.db")
    assert outcome.code == 1
    assert "is read-only" in outcome.out


def test_doctor_finds_a_bad_store(cli) -> None:
    """A store that cannot be opened is bad: exit code 1, and the other checks still run."""
    outcome = cli("doctor", "--storage", "nonsense", "--json")
    assert outcome.code == 1
    states = {finding["check"]: finding["state"] for finding in outcome.json}
    assert states["store"] == "bad"
    assert "default model" in states


def test_doctor_names_configuration_and_model(
    cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The configuration file and the default model are shown where there are some."""
    (tmp_path / "no.config").write_text("[opik]\nproject_name = shop\n")
    monkeypatch.setenv("OPIK_DEFAULT_LLM", "fake/echo")
    settings.cache_clear()
    details = {finding["check"]: finding for finding in cli("doctor", "--json").json}
    assert details["configuration"]["detail"].endswith("no.config")
    assert details["default model"] == {
        "check": "default model",
        "state": "ok",
        "detail": "fake/echo",
    }


def test_failing_check_becomes_a_finding() -> None:
    """What a check raises is its finding, after what it found before."""

    def look():
        yield doctor.Finding("store", "ok", "opened")
        raise UnavailableError("the disk is gone")

    found = doctor._guarded("store", look)
    assert [(finding.state, finding.detail) for finding in found] == [
        ("ok", "opened"),
        ("bad", "the disk is gone"),
    ]
