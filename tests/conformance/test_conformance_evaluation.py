"""The published opik evaluates against our server."""

from __future__ import annotations

import pytest
from expectation import Expectation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_evaluations_are_read_back_as_they_were_run(drive, readback):
    """A task, a prompt, a second scoring and a resumed run leave complete experiments."""
    report = drive("evaluation.py", "evaluation")
    said = report["said"]
    expected = Expectation.of(report["exchanges"])
    readback.assert_traced(expected, "evaluation")
    readback.assert_scored(expected, "evaluation")
    readback.assert_experiment_items(expected)
    readback.assert_dataset_items(expected)
    readback.assert_experiment(said["whole"], count=10)
    readback.assert_experiment(said["again"], count=10)
    readback.assert_experiment(said["prompt"], count=3)
    readback.assert_experiment(said["unnamed"], count=1)
    assert len(said["read"]) == 10
    readback.assert_experiment(said["resumed"], count=7)  # five runs, and the two that had failed
    assert {item["output"]["output"] for item in said["resumed"]["items"]} >= {"Tokyo", "Lima"}
    assert sorted(said["resumed"]["called"]) == ["Japan", "Peru"]
    _assert_view(said["whole"]["id"], readback)


def _assert_view(experiment_id, readback):
    view = readback.get(f"experiments/{experiment_id}")
    assert view["metadata"]["model"] == "table"
    assert view["tags"] == ["nightly"]
    assert view["trace_count"] == 10
    means = {score["name"]: score["value"] for score in view["feedback_scores"]}
    assert means["equals_metric"] == pytest.approx(1.0)
    assert means["length"] == pytest.approx((5 + 4 + 5 + 8 + 4) / 500)
    assert view["experiment_scores"] == [{"name": "worst", "value": 0.04}]


def test_suites_are_read_back_as_they_were_run(drive, readback):
    """Assertions, policies and their verdicts arrive."""
    report = drive("suites.py", "suites")
    said = report["said"]
    expected = Expectation.of(report["exchanges"])
    readback.assert_traced(expected, "suites")
    readback.assert_experiment_items(expected)
    assert len(said["items"]) == 2
    (experiment_id,) = said["experiments"]
    items = list(readback.storage.list_experiment_items(experiment_id))
    assert len(items) == 3  # two runs of one item, one run of the other
    assert expected.assertions
    experiment = readback.storage.find_experiment(experiment_id)
    assert experiment.evaluation_method == "evaluation_suite"
    rows = readback.pages(
        f"datasets/{experiment.dataset_id}/items/experiments/items",
        experiment_ids=f'["{experiment_id}"]',
    )
    shown = {
        item["trace_id"]: item["assertion_results"]
        for row in rows
        for item in row["experiment_items"]
    }
    for (trace_id, name), sent in expected.assertions.items():
        (verdict,) = [result for result in shown[trace_id] if result["value"] == name]
        assert (verdict["passed"], verdict["reason"]) == (
            sent["status"] == "passed",
            sent["reason"],
        )
    assert sum(len(results) for results in shown.values()) == len(expected.assertions)
    assert readback.get(f"experiments/{experiment_id}")["pass_rate"] == 1.0


def test_bulk_uploads_and_files_are_read_back_as_they_were_sent(drive, readback):
    """Hundreds of items in bulk, and files small, large and inside a text."""
    report = drive("uploading.py", "uploading")
    bulk, files = report["said"]["bulk"], report["said"]["files"]
    expected = Expectation.of(report["exchanges"])
    items = {
        item.dataset_item_id: item
        for item in readback.storage.list_experiment_items(bulk["experiment"])
    }
    assert items.keys() == bulk["numbers"].keys() == bulk["read"].keys()
    for item_id, number in bulk["numbers"].items():
        trace = readback.storage.find_trace(items[item_id].trace_id)
        assert trace.output == bulk["read"][item_id] == {"answer": number}
        assert trace.id == bulk["traces"].get(item_id, trace.id)
        if number % 3 == 0:  # the server made this trace
            expected.creates["trace", trace.id] = [{"id": trace.id, "project_name": "uploading"}]
    readback.assert_traced(expected, "uploading")
    readback.assert_scored(expected, "uploading")
    _assert_files(files, readback)


def _assert_files(files, readback):
    stored = {
        file.file_name: readback.storage.read_attachment(file.id)
        for kind in ("trace", "span")
        for file in readback.storage.list_attachments(kind, files[kind])
    }
    assert stored == {
        "note.txt": "Grüße\n".encode() * 1000,
        "large.bin": bytes(range(256)) * (20 << 12),
        "raw bytes.bin": b"\x00\x01\x02",
    }
    (picture,) = readback.storage.list_attachments("trace", files["inline"])
    assert (picture.mime_type, picture.size_bytes > 150_000) == ("image/png", True)
    assert picture.file_name in readback.storage.find_trace(files["inline"]).input["picture"]
