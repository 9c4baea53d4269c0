"""Pytest fixtures for tests that call a model.

A ``conftest.py`` imports what it wants::

from opik_eval.testing.fixtures import fake_server
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from opik_eval.testing.fake_server import FakeServer


@pytest.fixture
def fake_server() -> Iterator[FakeServer]:
    """A running ``FakeServer`` that answers ``ok`` until the test scripts something else."""
    with FakeServer() as server:
        yield server
