"""A client over each of the storages of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from opik_eval import Opik


@pytest.fixture(params=["memory", "file"])
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opik]:
    """A client whose storage is its own."""
    target = "memory:" if request.param == "memory" else f"file:{tmp_path / 'client.db'}"
    made = Opik(project_name="shop", storage=target)
    yield made
    made.end()
