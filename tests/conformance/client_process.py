"""A published client as a process of its own: runs a driver and reads its report."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import peers
import pytest

_SECONDS = 200


def run_driver(
    name: str, *, url: str, project: str, home: Path, model_url: str = "", **settings: str
) -> dict[str, Any]:
    """Run a driver to its end and return its report.

    Args:
        name: File in ``drivers`` or ``typescript``.
        url: Root of the server.
        project: Project that the client writes to.
        home: Where it runs, and what it takes for its user's home.
        model_url: Root of an OpenAI-compatible server.
        **settings: Further variables of its environment.
    """
    report = home / "report.json"
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "OPIK_URL_OVERRIDE": f"{url}/api/",
        "OPIK_PROJECT_NAME": project,
        "OPIK_ANALYTICS_ENABLE": "false",
        "OPIK_SENTRY_ENABLE": "false",
        "OPENAI_BASE_URL": model_url,
        "OPENAI_API_KEY": "not-a-secret",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
        **settings,
    }
    done = subprocess.run(
        [*_program(name), str(report)],
        env=environment,
        cwd=home,
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-10000:]
    found: dict[str, Any] = json.loads(report.read_text())
    return found


def _program(name: str) -> list[str]:
    if not name.endswith(".mjs"):
        if not peers.python_is_ready():
            pytest.skip("the published opik is not installed: make peers")
        return [str(peers.PYTHON), str(peers.HERE / "drivers" / name)]
    if not peers.typescript_is_ready():
        pytest.skip("the published opik for TypeScript is not installed: make peers")
    # Node looks for what a program imports from the folder of the program upwards.
    copy = peers.TYPESCRIPT / name
    copy.write_bytes((peers.HERE / "typescript" / name).read_bytes())
    return ["node", str(copy)]
