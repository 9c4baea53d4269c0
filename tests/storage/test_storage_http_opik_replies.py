"""The dialect of a real Opik server where its answers differ from ours: refusals, S3, cursors."""

from __future__ import annotations

import hashlib
import json
from contextlib import closing

import httpx
import pytest

from opik_eval.errors import ConflictError, StorageError, UnavailableError
from opik_eval.ids import new_id
from opik_eval.records import (
    Attachment,
    Dataset,
    Experiment,
    FeedbackScore,
    Project,
    Prompt,
    PromptVersion,
    Trace,
)
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection, Unreachable
from opik_eval.storage.http_opik import OpikDialect
from opik_eval.storage.http_pages import STREAM_ROWS, stream
from opik_eval.testing.storage_cases import day


class Script:
    """Answers by path; what is not in the script is a 204."""

    def __init__(self, **answers):
        self.answers = {key.replace("__", "/"): value for key, value in answers.items()}
        self.seen = []

    def __call__(self, request):
        path = request.url.path.removeprefix("/v1/private/")
        self.seen.append((request.method, path, request))
        answer = self.answers.get(path, 204)
        if callable(answer):
            answer = answer(request)
        if isinstance(answer, int):
            return httpx.Response(answer, content=b'{"errors": ["refused"]}' * (answer >= 400))
        return httpx.Response(200, content=json.dumps(answer).encode(), headers={"ETag": "tag"})


@pytest.fixture
def open_opik(tmp_path):
    """Open storages whose server follows a script."""
    opened = []

    def connect(script):
        connection = Connection(
            "http://opik", transport=httpx.MockTransport(script), patience_seconds=0
        )
        opened.append(HttpStorage(connection, tmp_path / "o.db", dialect=OpikDialect(connection)))
        return opened[-1]

    yield connect
    for storage in opened:
        storage.close()


def test_each_refusal_is_reported_for_its_record(open_opik):
    """Whichever route refuses, the record is set aside with the server's reason."""
    started = Trace(id=new_id(), project_name="p", start_time=day(0))
    thread = FeedbackScore(entity_type="thread", entity_id="x", name="n", value=1)
    version = PromptVersion(id=new_id(), prompt_id="p", commit="c", number=1, template="t")
    experiment = Experiment(id=new_id(), dataset_name="d", status="stopped")
    cases = [
        ({"traces__batch": 400}, started),
        ({"traces__threads__feedback-scores": 400}, thread),
        ({"prompts__p": 404}, version),
        ({f"experiments__{experiment.id}": 404, "experiments": 400}, experiment),
        ({"projects": 422}, Project(id=new_id(), name="q")),
    ]
    for answers, record in cases:
        storage = open_opik(Script(**answers))
        storage.write([record])
        report = storage.flush(10)
        assert len(report.rejected) == 1
        assert report.pending == 0


def test_a_project_that_is_there_gets_its_description(open_opik):
    """A taken name is no error: the project is updated, if there is anything to say."""
    script = Script(projects=409, projects__retrieve={"id": "P", "name": "q"})
    storage = open_opik(script)
    storage.write([Project(id=new_id(), name="q", description="d")])
    assert storage.flush(10).complete
    storage.write([Project(id=new_id(), name="q")])
    assert storage.flush(10).complete
    patched = [request for method, path, request in script.seen if method == "PATCH"]
    assert [request.url.path for request in patched] == ["/v1/private/projects/P"]


def test_names_that_cannot_be_had_are_errors(open_opik):
    """Another dataset's name is a conflict; other refusals say what the server said."""
    taken = Script(datasets=409, datasets__retrieve={"id": "other", "name": "d"})
    with pytest.raises(ConflictError, match="another dataset"):
        open_opik(taken).write([Dataset(id=new_id(), name="d")])
    with pytest.raises(StorageError, match="refused"):
        open_opik(Script(prompts=400)).write([Prompt(id=new_id(), name="p")])
    mixed = [Dataset(id=new_id(), name="d"), Trace(id=new_id(), start_time=day(0))]
    with pytest.raises(StorageError, match="refused"):
        open_opik(Script(traces__batch=400)).write(mixed)


def test_a_stopped_experiment_is_cancelled_and_finished_there(open_opik):
    """Opik has no `stopped`; the end of a run is told by its own route too."""
    script = Script(**{"experiments__e": {"id": "e", "metadata": {"a": 1}}})
    storage = open_opik(script)
    storage.write([Experiment(id="e", status="stopped", run={"seed": 1})])
    assert storage.flush(10).complete
    (patch,) = [json.loads(request.read()) for m, _, request in script.seen if m == "PATCH"]
    assert patch == {
        "status": "cancelled",
        "metadata": {"a": 1, "_opik_eval": {"run": {"seed": 1}}},
    }
    assert ("POST", "experiments/finish") in [seen[:2] for seen in script.seen]


def file_of(content):
    """Return the record of a file."""
    return Attachment(
        id=new_id(),
        entity_type="trace",
        entity_id="t",
        file_name="f",
        mime_type="text/plain",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
    )


def test_files_go_to_the_bucket_that_the_server_names(open_opik):
    """Parts go without key to the presigned URL; the end names the part's tag."""
    start = {"upload_id": "u", "pre_sign_urls": ["http://bucket/part"]}
    script = Script(**{"attachment__upload-start": start, "__part": {}})
    storage = open_opik(script)
    storage.put_attachment(file_of(b"data"), b"data")
    assert storage.flush(10).complete
    done = json.loads(script.seen[-1][2].read())
    assert done["uploaded_file_parts"] == [{"e_tag": "tag", "part_number": 1}]
    for answers in (
        {"attachment__upload-start": 400},
        {"attachment__upload-start": start, "__part": 400},
    ):
        refusing = open_opik(Script(**answers))
        refusing.put_attachment(file_of(b"data"), b"data")
        assert len(refusing.flush(10).rejected) == 1


def test_files_are_read_by_their_links(open_opik):
    """An id that is no link cannot be read; a refused link says so."""
    storage = open_opik(Script(**{"__file": {"a": 1}, "__gone": 403}))
    assert storage.read_attachment("http://bucket/file") == b'{"a": 1}'
    with pytest.raises(StorageError, match="links only"):
        storage.read_attachment("an-id")
    with pytest.raises(UnavailableError, match="403"):
        storage.read_attachment("http://bucket/gone")


def lines(rows):
    """Return the body of a stream."""
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def test_streams_go_on_after_the_last_row():
    """A full page is followed by the next one, from its last id; a short one is the end."""
    bodies = []

    def answer(request):
        bodies.append(json.loads(request.read()))
        count = STREAM_ROWS if len(bodies) == 1 else 1
        rows = [{"id": f"{len(bodies)}-{n}"} for n in range(count)]
        return httpx.Response(200, content=lines(rows))

    with closing(Connection("http://o", transport=httpx.MockTransport(answer))) as connection:
        assert len(list(stream(connection, "x", {"a": 1}))) == STREAM_ROWS + 1
    assert "last_retrieved_id" not in bodies[0]
    assert bodies[1]["last_retrieved_id"] == f"1-{STREAM_ROWS - 1}"


@pytest.mark.parametrize("line", [b"{cut", b'{"code": 500, "message": "boom"}', b"[1]"])
def test_a_stream_that_breaks_off_is_an_error(line):
    """A line that is no row is never taken for the end."""
    transport = httpx.MockTransport(lambda _: httpx.Response(200, content=line + b"\n"))
    with (
        closing(Connection("http://o", transport=transport, patience_seconds=0)) as connection,
        pytest.raises(Unreachable),
    ):
        list(stream(connection, "x", {}))
