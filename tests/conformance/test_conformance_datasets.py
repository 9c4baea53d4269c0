"""The published opik keeps its datasets in our server."""

from __future__ import annotations

import pytest
from expectation import Expectation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_datasets_and_their_versions_are_read_back_as_they_were_sent(drive, readback):
    """Thousands of rows in one version, then changes, deletions and old versions."""
    report = drive("dataset_versions.py", "dataset versions")
    kept = readback.storage.find_dataset("dataset versions kept")
    versions = list(readback.storage.list_dataset_versions(kept.id))
    assert sorted(version.number for version in versions) == [1, 2, 3, 4]
    for number, rows in ((1, report["said"]["first"]), (4, report["said"]["rows"])):
        stored = {
            item.id: dict(item.data)
            for item in readback.storage.list_dataset_items(kept.id, version=number)
        }
        assert stored == {row.pop("id"): row for row in rows}
    cleared = readback.storage.find_dataset("dataset versions cleared")
    assert list(readback.storage.list_dataset_items(cleared.id)) == []
    assert readback.storage.find_dataset("dataset versions deleted") is None
    expected = Expectation.of(report["exchanges"])
    for name in ("cleared", "deleted"):
        del expected.dataset_items[f"dataset versions {name}"]
    readback.assert_dataset_items(expected)
