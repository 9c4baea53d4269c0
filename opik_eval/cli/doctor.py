"""``opik-eval doctor``: is everything in place?"""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from opik_eval import __version__
from opik_eval.cli.exits import DONE, ERROR
from opik_eval.cli.output import common_options, open_store, show_json
from opik_eval.config import settings
from opik_eval.errors import OpikEvalError
from opik_eval.models.local import EMBEDDED_MODEL, unavailable_reason

_LEAST_FREE_BYTES = 200_000_000
_FLUSH_SECONDS = 5.0


@dataclass(frozen=True)
class Finding:
    """What one check found.

    Attributes:
        state: ``ok``, ``note`` (works, but worth knowing) or ``bad``.
    """

    check: str
    state: str
    detail: str


def _versions() -> Finding:
    packages = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("litellm", "pydantic", "numpy")
    )
    detail = f"opik-eval {__version__}, Python {platform.python_version()}, {packages}"
    return Finding("versions", "ok", detail)


def _store(target: str | None) -> Iterator[Finding]:
    with open_store(target) as storage:
        count = sum(1 for _ in storage.list_experiments())
        storage.write([])
        yield Finding("store", "ok", f"{storage.location}, {count} experiments")
        report = storage.flush(_FLUSH_SECONDS)
        if not report.complete:
            detail = f"{report.pending} pending, {len(report.rejected)} rejected"
            yield Finding("delivery", "bad", detail)
    scheme, _, place = storage.location.partition(":")
    if scheme == "file":
        free = shutil.disk_usage(Path(place).parent).free
        state = "ok" if free > _LEAST_FREE_BYTES else "bad"
        yield Finding("disk", state, f"{free / 1e9:.1f} GB free")


def _models() -> Iterator[Finding]:
    reason = unavailable_reason(EMBEDDED_MODEL)
    state = "ok" if reason is None else "note"
    yield Finding("embedded model", state, reason or EMBEDDED_MODEL)
    default = settings().default_llm
    yield Finding(
        "default model",
        "note" if default is None else "ok",
        default or "none; set OPIK_DEFAULT_LLM or name a model at each call",
    )


def _configuration() -> Finding:
    path = settings().config_path
    detail = f"{path}" if path.expanduser().is_file() else "no configuration file; defaults apply"
    return Finding("configuration", "ok", detail)


@click.command("doctor")
@common_options
def doctor_command(storage: str | None, as_json: bool) -> int:
    """Check installation, configuration, store and models. Exits with 1 if something is bad.

    Each line starts with ok, note (works, but worth knowing) or bad.
    """
    findings = [
        *_guarded("versions", lambda: iter([_versions()])),
        *_guarded("configuration", lambda: iter([_configuration()])),
        *_guarded("store", lambda: _store(storage)),
        *_guarded("models", _models),
    ]
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.state:<5} {finding.check:<15} {finding.detail}")
    return ERROR if any(finding.state == "bad" for finding in findings) else DONE


def _guarded(check: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(look())
    except OpikEvalError as error:
        found.append(Finding(check, "bad", str(error)))
    return found
