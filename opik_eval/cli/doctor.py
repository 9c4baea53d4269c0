"""``opik-eval doctor``: is everything in place?"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from opik_eval import __version__
from opik_eval.cli.exits import DONE, ERROR
from opik_eval.cli.output import common_options, open_store, show_json
from opik_eval.config import settings
from opik_eval.errors import ConfigError, OpikEvalError
from opik_eval.models.local import EMBEDDED_MODEL, unavailable_reason
from opik_eval.storage.http_check import check_server
from opik_eval.storage.http_connection import normalised_url
from opik_eval.storage.opening import parse_target

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


def _server(target: str | None) -> Iterator[Finding]:
    """Look at the server that a target names, if it names one."""
    try:
        scheme, url = parse_target(target)
    except ConfigError:
        return  # the look at the store tells
    if scheme != "http":
        return
    known = settings()
    began = time.perf_counter()
    found = check_server(url, workspace=known.workspace, api_key=known.api_key)
    milliseconds = (time.perf_counter() - began) * 1000
    kind = "opik-eval" if found.is_native else "Opik"
    key = "with a key" if known.api_key else "without a key"
    detail = f"{found.url} is an {kind} server, workspace {known.workspace}, {key}"
    yield Finding("server", "ok", f"{detail}; it took {milliseconds:.0f} ms to find that out")
    if found.url != normalised_url(url):
        yield Finding("server", "note", f"the URL lacks its prefix; write {found.url}")
    if not (known.api_key or _is_local(found.url)):
        yield Finding("server", "note", "it is on another machine and demands no key")


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def _store(target: str | None) -> Iterator[Finding]:
    scheme, place = parse_target(target)
    if scheme == "file" and not Path(place).expanduser().exists():
        yield from _store_to_be(Path(place).expanduser().absolute())
        return
    with open_store(target) as storage:
        count = sum(1 for _ in storage.list_experiments())
        storage.write([])
        yield Finding("store", "ok", f"{storage.location}, {count} experiments")
        report = storage.flush(_FLUSH_SECONDS)
        if not report.complete:
            detail = f"{report.pending} pending, {len(report.rejected)} rejected"
            yield Finding("delivery", "bad", detail)
    if scheme == "file":
        yield _disk(Path(storage.location.partition(":")[2]).parent)


def _store_to_be(path: Path) -> Iterator[Finding]:
    """Look at the place of a store that the first run will make."""
    folder = next(folder for folder in path.parents if folder.is_dir())
    if os.access(folder, os.W_OK):
        yield Finding("store", "ok", f"file:{path}, made by the first run")
    else:
        yield Finding("store", "bad", f"file:{path} cannot be made: {folder} is read-only")
    yield _disk(folder)


def _disk(folder: Path) -> Finding:
    free = shutil.disk_usage(folder).free
    state = "ok" if free > _LEAST_FREE_BYTES else "bad"
    return Finding("disk", state, f"{free / 1e9:.1f} GB free")


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
    """Check installation, configuration, server, store and models; exits with 1 if one is bad.

    Each line starts with ok, note (works, but worth knowing) or bad.
    """
    findings = [
        *_guarded("versions", lambda: iter([_versions()])),
        *_guarded("configuration", lambda: iter([_configuration()])),
        *(server := _guarded("server", lambda: _server(storage))),
        *(() if _is_bad(server) else _guarded("store", lambda: _store(storage))),
        *_guarded("models", _models),
    ]
    if as_json:
        show_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            click.echo(f"{finding.state:<5} {finding.check:<15} {finding.detail}")
    return ERROR if _is_bad(findings) else DONE


def _is_bad(findings: list[Finding]) -> bool:
    return any(finding.state == "bad" for finding in findings)


def _guarded(check: str, look: Callable[[], Iterator[Finding]]) -> list[Finding]:
    found: list[Finding] = []
    try:
        found.extend(look())
    except OpikEvalError as error:
        found.append(Finding(check, "bad", str(error)))
    return found
