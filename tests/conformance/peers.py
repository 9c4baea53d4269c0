"""The published clients in environments of their own: ``make peers`` installs them.

Opik's optimizer has the import name of ours, so the peers live in an interpreter apart, and the
TypeScript client in a folder of its own. Versions are pinned in ``constraints-peers.txt`` and
``typescript/package-lock.json``; what is installed from other pins is installed again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = Path(os.environ.get("OPIK_EVAL_PEERS_DIR", HERE.parents[1] / ".peers"))
PYTHON = PEERS / "python" / "bin" / "python"
TYPESCRIPT = PEERS / "typescript"
_PACKAGES = ("opik", "opik-optimizer", "opentelemetry-exporter-otlp-proto-http")
_CONSTRAINTS = HERE / "constraints-peers.txt"
_LOCK = HERE / "typescript" / "package-lock.json"


def python_is_ready() -> bool:
    """Return whether the Python clients are installed, in the versions that are pinned."""
    return _mark(PEERS / "python", _CONSTRAINTS).is_file()


def typescript_is_ready() -> bool:
    """Return whether the TypeScript client is installed, in the versions that are pinned."""
    return _mark(TYPESCRIPT, _LOCK).is_file()


def install_python() -> None:
    """Make the environment of the Python clients."""
    folder = PEERS / "python"
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(_CONSTRAINTS), *_PACKAGES], check=True)
    _mark(folder, _CONSTRAINTS).touch()


def install_typescript() -> None:
    """Make the folder of the TypeScript client."""
    if shutil.which("npm") is None:
        sys.exit("the TypeScript client needs Node 20 or newer, with npm")
    shutil.rmtree(TYPESCRIPT, ignore_errors=True)
    TYPESCRIPT.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / "typescript" / name, TYPESCRIPT)
    install = ["npm", "ci", "--ignore-scripts", "--loglevel=error"]
    subprocess.run(install, cwd=TYPESCRIPT, check=True)
    _mark(TYPESCRIPT, _LOCK).touch()


def _mark(folder: Path, pins: Path) -> Path:
    """Return the file that tells what a folder was installed from."""
    return folder / f".installed-{hashlib.sha256(pins.read_bytes()).hexdigest()[:16]}"


if __name__ == "__main__":
    if not python_is_ready():
        install_python()
    if not typescript_is_ready():
        install_typescript()
