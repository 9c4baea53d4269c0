"""Fixtures of the storage tests; assertions of the contract explain themselves like theirs."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from opik_eval.storage.file import FileStorage

pytest.register_assert_rewrite("opik_eval.testing")


@pytest.fixture
def path(tmp_path):
    """Where the file of a test is to be."""
    return tmp_path / "opik.db"


@pytest.fixture
def opened():
    """Open files that are closed at the end."""
    storages = []

    def open_file(path, **options):
        storages.append(FileStorage(path, **options))
        return storages[-1]

    yield open_file
    for storage in storages:
        storage.close()


@pytest.fixture
def as_nobody():
    """A folder of an ordinary user, as whom the test runs; the superuser may write everywhere."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    user = os.geteuid()
    if user == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    yield folder
    os.seteuid(user)
    folder.chmod(0o777)
    shutil.rmtree(folder)
