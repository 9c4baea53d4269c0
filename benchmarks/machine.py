"""What every benchmark result carries: versions, machine, command."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path


def description(*packages: str) -> dict[str, object]:
    """Return versions of Python and packages, processor count and the command that is running."""
    versions: dict[str, str | None] = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "python": platform.python_version(),
        "system": platform.system(),
        "processors": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "versions": versions,
        "command": " ".join(["python", *(Path(a).name if "/" in a else a for a in sys.argv)]),
    }


def save(path: Path | None, result: dict[str, object]) -> None:
    """Write a result as JSON, if a path was given."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2, sort_keys=True) + "\n")
