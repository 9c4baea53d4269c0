"""The published clients in environments of their own: ``make peers`` installs them.

Opik's optimizer has the import name of ours, so the peers live in an interpreter apart, and the
TypeScript client in a folder of its own. Versions are pinned in ``constraints-peers.txt`` and
``typescript/package-lock.json``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

_HERE = Path(__file__).resolve().parent
PEERS = Path(os.environ.get("OPIK_EVAL_PEERS_DIR", _HERE.parents[1] / ".peers"))
PYTHON = PEERS / "python" / "bin" / "python"
TYPESCRIPT = PEERS / "typescript"
_CONSTRAINTS = _HERE / "constraints-peers.txt"
_PACKAGES = ("opik", "opik-optimizer", "opentelemetry-exporter-otlp-proto-http")


def python_is_ready() -> bool:
    """Return whether the Python clients are installed."""
    return (PEERS / "python" / ".ready").is_file()


def typescript_is_ready() -> bool:
    """Return whether the TypeScript client is installed."""
    return (TYPESCRIPT / ".ready").is_file()


def install_python() -> None:
    """Make the environment of the Python clients."""
    folder = PEERS / "python"
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(PYTHON), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, "--constraint", str(_CONSTRAINTS), *_PACKAGES], check=True)
    (folder / ".ready").touch()


def install_typescript() -> None:
    """Make the folder of the TypeScript client."""
    if shutil.which("npm") is None:
        sys.exit("the TypeScript client needs Node 20 or newer, with npm")
    shutil.rmtree(TYPESCRIPT, ignore_errors=True)
    TYPESCRIPT.mkdir(parents=True)
    for name in ("package.json", "package-lock.json"):
        shutil.copy(_HERE / "typescript" / name, TYPESCRIPT)
    subprocess.run(["npm", "ci", "--ignore-scripts", "--loglevel=error"], cwd=TYPESCRIPT, check=True)
    (TYPESCRIPT / ".ready").touch()


if __name__ == "__main__":
    if not python_is_ready():
        install_python()
    if not typescript_is_ready():
        install_typescript()
