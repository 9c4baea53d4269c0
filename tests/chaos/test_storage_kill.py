"""The file backend under SIGKILL, and under several processes at once."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from random import Random

import pytest

from opik_eval.storage.file import FileStorage

_WRITER = """
import sys
from hashlib import sha256
from pathlib import Path
from opik_eval.records import Attachment, Dataset, DatasetItem, FeedbackScore, Span, Trace
from opik_eval.storage.file import FileStorage

path, first, last, write_ahead = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "1"
storage = FileStorage(Path(path), payload_limit_bytes=2000, write_ahead=write_ahead)
storage.write([Dataset(id="d", name="d")])
for n in range(first, last):
    records = []
    for k in range(20):
        name = f"{n:05}-{k:02}"
        text = "x" * (5000 if k == 0 else 50) + name
        records.append(Trace(id=name, input={"text": text}, project_name=f"project {n % 3}"))
        records.append(Span(id=name, trace_id=name, output=text))
        records.append(FeedbackScore(entity_id=name, name="n", value=n))
    storage.write(records)
    print("write", n, flush=True)
    storage.change_items("d", upsert=[DatasetItem(id=f"{n:05}", data={"n": n})])
    print("item", n, flush=True)
    content = f"content {n}".encode() * 1000
    attachment = Attachment(
        id=f"{n:05}", entity_type="trace", entity_id=f"{n:05}-00", file_name="a", mime_type="b",
        sha256=sha256(content).hexdigest(), size_bytes=len(content),
    )
    storage.put_attachment(attachment, content)
    print("attachment", n, flush=True)
storage.close()
"""


def _start(path: Path, first: int, last: int, *, write_ahead: bool = True):
    arguments = [str(path), str(first), str(last), "1" if write_ahead else "0"]
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, *arguments], stdout=subprocess.PIPE, text=True
    )


def _run_until_killed(path: Path, random: Random, first: int, *, write_ahead: bool):
    """Return the acknowledgements of a writer that dies at a moment that the seed decides."""
    acknowledged = []
    with _start(path, first, first + 1000, write_ahead=write_ahead) as writer:
        for _ in range(random.randint(1, 25)):
            acknowledged.append(writer.stdout.readline().split())
        for _ in range(random.randint(0, 30_000)):
            pass  # a moment inside of one of the next steps
        writer.send_signal(signal.SIGKILL)
        acknowledged += [line.split() for line in writer.stdout if line.endswith("\n")]
    return [(kind, int(n)) for kind, n in acknowledged]


def _check(path: Path, acknowledged: set[tuple[str, int]]) -> None:
    with closing(sqlite3.connect(path)) as raw:
        assert raw.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    with closing(FileStorage(path)) as storage:
        traces = {trace.id: trace for trace in storage.list_traces()}
        spans = {span.id for span in storage.list_spans()}
        scored = {score.entity_id for score in storage.list_feedback_scores("trace")}
        items = {item.id for item in storage.list_dataset_items("d")}
        assert set(traces) == spans == scored
        for steps in {trace_id[:5] for trace_id in traces}:
            assert sum(trace_id.startswith(steps) for trace_id in traces) == 20
        assert all(trace.input["text"].endswith(trace.id) for trace in traces.values())
        for kind, n in acknowledged:
            if kind == "write":
                assert f"{n:05}-00" in traces
            elif kind == "item":
                assert f"{n:05}" in items
            else:
                assert storage.read_attachment(f"{n:05}") == f"content {n}".encode() * 1000
        assert len(list(storage.list_dataset_versions("d"))) == len(items)


@pytest.mark.parametrize(("write_ahead", "kills"), [(True, 12), (False, 3)])
def test_what_was_acknowledged_survives_sigkill(tmp_path, write_ahead, kills):
    """After kills at seeded moments every acknowledged write is there, whole, in a sound file."""
    random = Random(7)
    path = tmp_path / "opik.db"
    acknowledged: set[tuple[str, int]] = set()
    for kill in range(kills):
        acknowledged.update(_run_until_killed(path, random, kill * 1000, write_ahead=write_ahead))
        _check(path, acknowledged)
    assert len(acknowledged) >= kills


def test_a_torn_blob_is_no_blob(tmp_path):
    """What a killed writer left of a blob is neither read nor in the way."""
    storage = FileStorage(tmp_path / "opik.db", payload_limit_bytes=10)
    folder = tmp_path / "opik.db.blobs"
    folder.mkdir()
    (folder / ".incoming-killed").write_bytes(b'"xxx')
    digest = storage._connections.blobs.put(b'"' + b"x" * 100 + b'"')
    assert digest == sha256(b'"' + b"x" * 100 + b'"').hexdigest()
    assert storage._connections.blobs.read(digest).startswith(b'"xxx')
    storage.close()


def test_several_processes_write_at_once(tmp_path):
    """Processes that create and fill one file together lose nothing and meet no lock error."""
    path = tmp_path / "opik.db"
    writers = [_start(path, first, first + 15) for first in (0, 1000, 2000, 3000)]
    lines = [line.split() for writer in writers for line in writer.communicate()[0].splitlines()]
    assert [writer.returncode for writer in writers] == [0, 0, 0, 0]
    assert len(lines) == 4 * 15 * 3
    _check(path, {(kind, int(n)) for kind, n in lines})
