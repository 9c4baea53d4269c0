"""A PostgreSQL server of the tests' own, from the system's packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_PLACES = (
    "/usr/lib/postgresql/*/bin",
    "/usr/local/opt/postgresql*/bin",
    "/opt/homebrew/opt/postgresql*/bin",
)
_SETTINGS = "-c listen_addresses='' -c fsync=off -c max_connections=100 -c log_min_messages=fatal"


def find_programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; ``None`` where it is not installed."""
    found = [
        path
        for place in _PLACES
        for path in Path("/").glob(place[1:])
        if (path / "initdb").is_file()
    ]
    on_path = shutil.which("initdb")
    if on_path:
        found.append(Path(on_path).resolve().parent)
    return max(found, default=None, key=str)


@contextmanager
def running_server() -> Iterator[str]:
    """Run a server on a socket in a temporary folder; yield the URL of its database."""
    programs = find_programs()
    if programs is None:
        raise FileNotFoundError("PostgreSQL is not installed")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))  # the path of a socket must be short
    # PostgreSQL refuses to run as the superuser.
    prefix = []
    if os.geteuid() == 0:
        shutil.chown(folder, "postgres", "postgres")
        prefix = ["runuser", "-u", "postgres", "--"]
    data = str(folder / "data")

    def call(*words: str) -> None:
        subprocess.run([*prefix, *words], check=True, capture_output=True, cwd="/")

    call(
        str(programs / "initdb"),
        "-D",
        data,
        "-U",
        "opik",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--no-sync",
        "--locale=C",
    )
    control = [str(programs / "pg_ctl"), "-D", data, "-w"]
    # The server keeps the output it inherits open for as long as it lives.
    call(*control, "-l", str(folder / "log"), "-o", f"{_SETTINGS} -k {folder}", "start")
    try:
        yield f"postgresql://opik:not-a-secret@/postgres?host={folder}"
    finally:
        call(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """URL of a database on a PostgreSQL server that runs for the length of the session."""
    if find_programs() is None:
        pytest.skip("no PostgreSQL programs on this machine (Debian: apt-get install postgresql)")
    with running_server() as url:
        yield url
