"""Contract of projects, traces, spans, threads, scores and attachments."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from opik_eval.errors import ConflictError, NotFoundError, UnavailableError
from opik_eval.ids import new_id
from opik_eval.records import Attachment, FeedbackScore, Project, Span, Thread, Trace
from opik_eval.storage.base import Storage
from opik_eval.testing.storage_cases import StorageCase, day, ids, score


def attachment(entity_id: str, content: bytes, **fields: object) -> Attachment:
    """Return the record of a file of a trace."""
    values = {
        "id": new_id(),
        "entity_type": "trace",
        "entity_id": entity_id,
        "file_name": "a.bin",
        "mime_type": "application/octet-stream",
        "sha256": hashlib.sha256(content).hexdigest(),
        "size_bytes": len(content),
    }
    return Attachment.model_validate(values | fields)


class TraceContract(StorageCase):
    """Traces and what belongs to them are found, listed in order and deleted together."""

    def test_what_is_not_there_is_none(self, storage: Storage) -> None:
        """Finding unknown names and ids gives None, listing them nothing."""
        assert storage.find_project("p") is None
        assert storage.find_trace("t") is None
        assert storage.find_span("s") is None
        assert list(storage.list_traces(project_name="p")) == []
        assert list(storage.list_spans(trace_ids=["t"])) == []
        assert list(storage.list_threads(project_name="p")) == []
        assert list(storage.list_feedback_scores("span", ["s"])) == []
        assert list(storage.list_attachments("trace", "t")) == []

    def test_writing_a_trace_or_span_creates_its_project(self, storage: Storage) -> None:
        """Each named project exists once, whatever the spelling, with one lasting id."""
        storage.write([Trace(id="t1", project_name="Alpha"), Trace(id="t2", project_name="Alpha")])
        created = storage.find_project("alpha")
        storage.write([Span(id="s", trace_id="t1", project_name="beta")])
        storage.write([Trace(id="t3", project_name="ALPHA")])
        found = storage.find_project("ALPHA")
        assert created is not None
        assert found is not None
        assert created.name == "Alpha"
        assert found.id == created.id
        listed = list(storage.list_projects())
        assert {p.name.casefold() for p in listed} == {"alpha", "beta"}
        assert [p.id for p in listed] == sorted(p.id for p in listed)

    def test_a_written_project_keeps_what_it_says(self, storage: Storage) -> None:
        """A project that is written outlives the one that a trace implies, in either order."""
        project = Project(id=new_id(), name="Beta", description="d", created_at=day(0))
        storage.write([Trace(id="t1", project_name="beta")])
        storage.write([project])
        storage.write([Trace(id="t2", project_name="BETA")])
        assert storage.find_project("beta") == project
        assert list(storage.list_projects()) == [project]

    def test_traces_are_listed_by_id_in_both_directions(self, storage: Storage) -> None:
        """Traces come oldest first or newest first, as many as the limit allows."""
        known = ids(5)
        storage.write([Trace(id=known[position]) for position in (3, 0, 4, 1, 2)])
        assert [t.id for t in storage.list_traces()] == known
        assert [t.id for t in storage.list_traces(limit=2)] == known[:2]
        assert [t.id for t in storage.list_traces(newest_first=True, limit=3)] == known[:1:-1]
        assert list(storage.list_traces(limit=0)) == []

    def test_traces_are_listed_by_project(self, storage: Storage) -> None:
        """Project names compare without case; no name is the default project; None is all."""
        storage.write([Trace(id="1", project_name="Straße"), Trace(id="2", project_name="q")])
        storage.write([Trace(id="3"), Trace(id="4", project_name="default project")])
        assert [t.id for t in storage.list_traces(project_name="STRASSE")] == ["1"]
        assert [t.id for t in storage.list_traces(project_name="Default Project")] == ["3", "4"]
        assert [t.id for t in storage.list_traces()] == ["1", "2", "3", "4"]

    def test_a_trace_moves_to_the_project_that_is_written_last(self, storage: Storage) -> None:
        """A trace is listed under its current project only."""
        storage.write([Trace(id="1", project_name="a")])
        storage.write([Trace(id="1", project_name="b")])
        assert list(storage.list_traces(project_name="a")) == []
        assert [t.id for t in storage.list_traces(project_name="b")] == ["1"]

    def test_spans_are_listed_by_trace_and_project(self, storage: Storage) -> None:
        """Spans come by id, of the given traces and project, in both directions."""
        known = ids(4)
        storage.write(
            [
                Span(id=known[2], trace_id="a", project_name="P"),
                Span(id=known[0], trace_id="b", project_name="P"),
                Span(id=known[3], trace_id="a", project_name="Q"),
                Span(id=known[1], trace_id="c"),
            ]
        )
        assert [s.id for s in storage.list_spans()] == known
        assert [s.id for s in storage.list_spans(trace_ids=["a", "c", "a", "?"])] == known[1:]
        assert list(storage.list_spans(trace_ids=[])) == []
        assert [s.id for s in storage.list_spans(project_name="p", trace_ids=["a"])] == [known[2]]
        newest = storage.list_spans(newest_first=True, limit=2)
        assert [s.id for s in newest] == [known[3], known[2]]

    def test_no_read_stops_at_a_page(self, storage: Storage) -> None:
        """Twelve thousand traces and spans are all listed, in order."""
        known = ids(12_000)
        storage.write(Trace(id=trace_id, project_name="big") for trace_id in known)
        storage.write(Span(id=trace_id, trace_id=trace_id) for trace_id in known)
        assert [t.id for t in storage.list_traces(project_name="big")] == known
        assert [s.id for s in storage.list_spans(trace_ids=known)] == known

    def test_a_read_is_a_snapshot(self, storage: Storage) -> None:
        """Writes and deletes after the first row do not show in a read that goes on."""
        known = ids(1_500)
        storage.write(Trace(id=trace_id, name="before") for trace_id in known)
        reading = storage.list_traces()
        first = next(reading)
        storage.write([Trace(id=new_id()), Trace(id=known[-1], name="after")])
        storage.delete_traces(known[:1000])
        rest = list(reading)
        assert [t.id for t in (first, *rest)] == known
        assert rest[-1].name == "before"

    def test_a_reader_may_write_while_it_reads(self, storage: Storage) -> None:
        """Writing inside a loop over a read does not block."""
        storage.write(Trace(id=trace_id) for trace_id in ids(30))
        for trace in storage.list_traces():
            storage.write([Trace(id=trace.id, name="seen")])
        assert {t.name for t in storage.list_traces()} == {"seen"}

    def test_changing_a_record_that_was_read_does_not_change_the_store(
        self, storage: Storage
    ) -> None:
        """Records share no mutable values with the store."""
        given: dict[str, object] = {"list": [1]}
        storage.write([Trace(id="t", metadata=given)])
        given["list"] = "changed"
        found = storage.find_trace("t")
        assert found is not None
        assert found.metadata is not None
        found.metadata["more"] = 1
        assert storage.find_trace("t") == Trace(id="t", metadata={"list": [1]})


class ScoreContract(StorageCase):
    """Scores, threads and attachments belong to their traces, spans and projects."""

    def test_scores_are_one_per_entity_name_and_author(self, storage: Storage) -> None:
        """A score may come before its trace; authors keep their own; order is id, name, author."""
        human = FeedbackScore(entity_id="t1", name="b", value=0, author="ann", source="ui")
        storage.write([score("t2"), score("t1", "b"), human, score("t1", "a")])
        storage.write([FeedbackScore(entity_type="span", entity_id="t1", name="a", value=3)])
        storage.write([score("t1", "b", 0.5)])
        found = [(s.entity_id, s.name, s.author, s.value) for s in _scores(storage)]
        assert found == [
            ("t1", "a", None, 1),
            ("t1", "b", None, 0.5),
            ("t1", "b", "ann", 0),
            ("t2", "accuracy", None, 1),
        ]
        assert [s.entity_id for s in storage.list_feedback_scores("trace", ["t2", "?"])] == ["t2"]
        assert list(storage.list_feedback_scores("trace", [])) == []
        assert [s.value for s in storage.list_feedback_scores("span")] == [3]

    def test_scores_are_listed_by_project(self, storage: Storage) -> None:
        """A score counts to the project it names or else to that of its trace."""
        named = FeedbackScore(entity_id="x", name="n", value=1, project_name="P")
        storage.write([Trace(id="t", project_name="p"), score("t"), score("?"), named])
        found = storage.list_feedback_scores("trace", project_name="P")
        assert [s.entity_id for s in found] == ["t", "x"]

    def test_threads_of_two_projects_keep_their_own_scores(self, storage: Storage) -> None:
        """A thread's score is identified by its project too."""
        given = [
            FeedbackScore(
                entity_type="thread", entity_id="1", name="n", value=value, project_name=project
            )
            for value, project in ((1, "a"), (2, "b"))
        ]
        storage.write(given)
        assert [s.value for s in storage.list_feedback_scores("thread", ["1"])] == [1, 2]
        assert [s.value for s in storage.list_feedback_scores("thread", project_name="B")] == [2]
        storage.delete_feedback_scores("thread", "1", ["n"], project_name="A")
        assert [s.value for s in storage.list_feedback_scores("thread")] == [2]

    def test_deleting_scores_takes_every_author(self, storage: Storage) -> None:
        """The named scores of the one entity go; unknown names are no error."""
        human = FeedbackScore(entity_id="t", name="a", value=0, author="ann")
        storage.write([score("t", "a"), human, score("t", "b"), score("u", "a")])
        storage.delete_feedback_scores("trace", "t", ["a", "unknown"])
        assert [(s.entity_id, s.name) for s in _scores(storage)] == [("t", "b"), ("u", "a")]

    def test_deleting_traces_takes_all_that_belongs_to_them(self, storage: Storage) -> None:
        """Spans, scores and attachments go with their trace; all else stays."""
        files = [
            attachment("t1", b"1"),
            attachment("s1", b"2", entity_type="span"),
            attachment("t2", b"1"),
        ]
        storage.write([Trace(id="t1"), Trace(id="t2"), Span(id="s1", trace_id="t1")])
        storage.write([Span(id="s2", trace_id="t2"), score("t1"), score("t2")])
        storage.write([FeedbackScore(entity_type="span", entity_id="s1", name="n", value=1)])
        for file, content in zip(files, (b"1", b"2", b"1"), strict=True):
            storage.put_attachment(file, content)
        storage.delete_traces(["t1", "unknown"])
        seen = self.reopen(storage)
        assert [t.id for t in seen.list_traces()] == ["t2"]
        assert [s.id for s in seen.list_spans()] == ["s2"]
        assert [s.entity_id for s in _scores(seen)] == ["t2"]
        assert list(seen.list_feedback_scores("span")) == []
        assert list(seen.list_attachments("trace", "t1")) == []
        assert list(seen.list_attachments("span", "s1")) == []
        assert seen.read_attachment(files[2].id) == b"1"

    def test_threads_are_the_conversations_of_a_project(self, storage: Storage) -> None:
        """A thread spans its traces in the order of their start."""
        storage.write(
            [
                Trace(id="3", project_name="P", thread_id="x", input="q1", output="a1").model_copy(
                    update={"start_time": day(0), "end_time": day(1)}
                ),
                Trace(id="1", project_name="p", thread_id="x", input="q2", start_time=day(2)),
                Trace(id="2", project_name="Q", thread_id="x", output={"a": 1}),
                Trace(id="4", thread_id="y", start_time=day(3)),
                Trace(id="5", project_name="P"),
            ]
        )
        found = list(storage.list_threads())
        assert [(t.project_name.casefold(), t.id) for t in found] == [
            ("default project", "y"),
            ("p", "x"),
            ("q", "x"),
        ]
        assert list(storage.list_threads(project_name="P")) == [
            Thread(
                id="x",
                project_name="p",
                start_time=day(0),
                end_time=day(1),
                first_message="q1",
                last_message="a1",
                number_of_messages=3,
                duration_seconds=86_400,
            )
        ]

    def test_attachments_are_kept_by_content(self, storage: Storage, tmp_path: Path) -> None:
        """Bytes and files are read back; the same content may belong to many."""
        path = tmp_path / "file.bin"
        path.write_bytes(b"\x00" * 100_000)
        from_file = attachment("t", b"\x00" * 100_000, file_name="f")
        from_bytes = attachment("t", b"", file_name="empty")
        again = attachment("t", b"\x00" * 100_000, file_name="g")
        storage.put_attachment(from_file, path)
        storage.put_attachment(from_bytes, b"")
        storage.put_attachment(again, b"\x00" * 100_000)
        storage.put_attachment(again, b"\x00" * 100_000)
        seen = self.reopen(storage)
        assert [a.file_name for a in seen.list_attachments("trace", "t")] == ["f", "empty", "g"]
        assert seen.read_attachment(from_file.id) == seen.read_attachment(again.id)
        assert seen.read_attachment(from_bytes.id) == b""
        assert next(seen.list_attachments("trace", "t")) == from_file

    def test_an_attachment_must_fit_its_content(self, storage: Storage) -> None:
        """A wrong hash or size is refused and nothing is stored."""
        good = attachment("t", b"data")
        for change in ({"size_bytes": 3}, {"sha256": "0" * 64}):
            with pytest.raises(ConflictError):
                storage.put_attachment(good.model_copy(update=change), b"data")
        with pytest.raises(UnavailableError):
            storage.put_attachment(good, Path("no such file"))
        assert list(storage.list_attachments("trace", "t")) == []
        with pytest.raises(NotFoundError):
            storage.read_attachment(good.id)


def _scores(storage: Storage) -> list[FeedbackScore]:
    return list(storage.list_feedback_scores("trace"))
