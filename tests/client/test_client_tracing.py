"""Traces, spans, threads and scores of the client: written at once, found with their scores."""

from __future__ import annotations

import datetime as dt
import math

import numpy as np
import pytest

from opik_eval import Opik
from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.ids import new_id
from opik_eval.tracing import Attachment

START = dt.datetime(2024, 1, 2, tzinfo=dt.UTC)


def scores(found) -> dict[str, float]:
    return {score.name: score.value for score in found.feedback_scores}


class TestWriting:
    def test_a_tree(self, client):
        """A trace and its spans are found with their places, payloads and times."""
        trace = client.trace("ask", input={"q": 1}, tags=["a"], thread_id="t", metadata={"k": 1})
        outer = trace.span("outer", type="tool", input={"x": 1})
        inner = outer.span("inner", type="llm", model="m", usage={"total_tokens": 3})
        inner.end(output={"y": 2}, total_cost=0.5)
        outer.end()
        trace.end(output={"a": 2})

        stored = client.get_trace_content(trace.id)
        assert (stored.name, stored.input, stored.output) == ("ask", {"q": 1}, {"a": 2})
        assert (stored.tags, stored.thread_id, stored.project_name) == (("a",), "t", "shop")
        assert stored.end_time >= stored.start_time
        spans = {span.name: span for span in client.search_spans(trace_id=trace.id)}
        assert spans["outer"].parent_span_id is None
        assert spans["inner"].parent_span_id == outer.id == spans["outer"].id
        assert (spans["inner"].cost_usd, spans["inner"].usage) == (0.5, {"total_tokens": 3})
        assert inner.trace_id == trace.id
        assert client.get_span_content(inner.id) == spans["inner"]

    def test_nothing_is_lost_without_an_end(self, client):
        """What is never ended is stored with all it was told, and without an end time."""
        trace = client.trace("job", input={"q": 1}, feedback_scores=[{"name": "s", "value": 1}])
        span = trace.span(
            "step", output={"a": 1}, attachments=[Attachment(data=b"x", file_name="x.txt")]
        )
        trace.update(name="renamed", output={"done": True}, metadata={"a": 1})
        span.update(name="other", metadata={"b": 2}, total_cost=0.25)
        trace.log_feedback_score("quality", 0.5)
        span.log_feedback_score("speed", 2, reason="fast", category_name="good")

        (stored,) = client.search_traces()
        assert (stored.name, stored.output) == ("renamed", {"done": True})
        assert stored.metadata == {"a": 1}
        assert stored.end_time is None
        assert scores(stored) == {"s": 1, "quality": 0.5}
        (stored_span,) = client.search_spans()
        assert (stored_span.name, stored_span.cost_usd) == ("other", 0.25)
        assert (stored_span.output, stored_span.metadata) == ({"a": 1}, {"b": 2})
        (score,) = stored_span.feedback_scores
        assert (score.value, score.reason, score.category_name) == (2.0, "fast", "good")
        (attachment,) = client.storage.list_attachments("span", span.id)
        assert client.storage.read_attachment(attachment.id) == b"x"

    def test_times_and_ids_may_be_given(self, client):
        """Traces of the past are recorded under the ids and times they had."""
        trace_id, span_id, later = new_id(), new_id(), START + dt.timedelta(seconds=2)
        trace = client.trace("old", id=trace_id, start_time=START)
        trace.span("step", id=span_id, start_time=START).end(end_time=later)
        trace.end(end_time=later)
        stored = client.get_trace_content(trace_id)
        assert (stored.start_time, stored.end_time) == (START, later)
        assert client.get_span_content(span_id).end_time == later
        assert [t.id for t in client.search_traces(filter_string="duration = 2000")] == [trace_id]

    def test_scores_after_the_end(self, client):
        """A handle takes scores and updates when all is over, too."""
        trace = client.trace("ask")
        trace.end()
        trace.log_feedback_score("late", 1.0)
        trace.update(tags=["late"])
        stored = client.get_trace_content(trace.id)
        assert (scores(stored), stored.tags) == ({"late": 1.0}, ("late",))

    def test_a_span_alone_gets_a_trace(self, client):
        """A span without a trace has one of its own, which ends with it."""
        span = client.span(name="alone", input={"q": 1}, project_name="other")
        (begun,) = client.search_traces("other")
        assert (begun.id, begun.name, begun.end_time) == (span.trace_id, "alone", None)
        span.end(output={"a": 1})
        (stored,) = client.search_traces("other")
        assert (stored.input, stored.output) == ({"q": 1}, {"a": 1})
        assert stored.end_time is not None

    def test_a_span_of_a_trace_elsewhere(self, client):
        """A span can be put under a trace and span that others write, and touches neither."""
        trace_id, parent = new_id(), new_id()
        span = client.span(trace_id, "remote", parent_span_id=parent)
        span.end()
        stored = client.get_span_content(span.id)
        assert (stored.trace_id, stored.parent_span_id) == (trace_id, parent)
        assert stored.project_name == "shop"
        with pytest.raises(NotFoundError):
            client.get_trace_content(trace_id)

    @pytest.mark.parametrize("call", ["trace", "span"])
    def test_unknown_fields(self, client, call):
        """A misspelt field is an error, not lost."""
        with pytest.raises(TypeError, match="has no field 'inputs'"):
            getattr(client, call)(name="x", inputs={"q": 1})

    def test_projects(self, client):
        """A trace goes to the client's project unless it names another."""
        client.trace("ours").end()
        client.trace("theirs", project_name="other").end()
        assert [t.name for t in client.search_traces()] == ["ours"]
        assert [t.name for t in client.search_traces(project_name="OTHER")] == ["theirs"]


class TestSearching:
    @pytest.fixture(autouse=True)
    def traces(self, client) -> list[str]:
        made = []
        for number in range(5):
            trace = client.trace(f"t{number}", thread_id=f"thread-{number % 2}")
            trace.span("s", type="llm", usage={"total_tokens": number}).end()
            trace.log_feedback_score("rank", number)
            trace.end(output={"n": number})
            made.append(trace.id)
        return made

    def test_newest_first_and_no_more_than_asked(self, client):
        """Results come newest first; there is no limit but the one that is given."""
        assert [t.name for t in client.search_traces()] == ["t4", "t3", "t2", "t1", "t0"]
        assert [t.name for t in client.search_traces(max_results=2)] == ["t4", "t3"]
        assert len(client.search_spans(max_results=3)) == 3
        assert len(client.search_threads(max_results=1)) == 1

    def test_filters(self, client, traces):
        """Filters choose traces, spans and threads."""
        found = client.search_traces(filter_string="feedback_scores.rank >= 3")
        assert [scores(trace) for trace in found] == [{"rank": 4}, {"rank": 3}]
        assert len(client.search_spans(filter_string="usage.total_tokens > 2")) == 2
        (span,) = client.search_spans(trace_id=traces[1])
        assert span.usage == {"total_tokens": 1}
        (thread,) = client.search_threads(filter_string='id = "thread-0"')
        assert thread.number_of_messages == 3
        with pytest.raises(ConfigError):
            client.search_traces(filter_string="nonsense ~ 1")

    def test_threads_have_their_scores(self, client):
        """A conversation carries its own scores, not those of a namesake in another project."""
        client.log_threads_feedback_scores([{"id": "thread-0", "name": "kind", "value": 1}])
        client.log_threads_feedback_scores(
            [{"id": "thread-0", "name": "kind", "value": 0}], project_name="other"
        )
        found = {thread.id: scores(thread) for thread in client.search_threads()}
        assert found == {"thread-0": {"kind": 1}, "thread-1": {}}
        (score,) = client.get_feedback_scores("thread-0", "thread")
        assert (score.value, score.project_name) == (1, "shop")
        (other,) = client.get_feedback_scores("thread-0", "thread", "other")
        assert other.value == 0

    def test_what_is_not_there(self, client):
        """Asking for an unknown id is an error that names the place."""
        for get in (client.get_trace_content, client.get_span_content):
            with pytest.raises(
                NotFoundError, match=r"there is no (trace|span) 'x' in (memory|file):"
            ):
                get("x")
        assert client.get_feedback_scores("x") == []
        assert client.search_traces("empty project") == []

    def test_delete(self, client, traces):
        """Traces go with their spans and scores; one id need not be in a list."""
        client.delete_traces(traces[:2])
        client.delete_traces(traces[2])
        assert [t.name for t in client.search_traces()] == ["t4", "t3"]
        assert len(client.search_spans()) == 2
        assert client.get_feedback_scores(traces[0]) == []


class TestScoring:
    def test_scores_are_replaced_by_name(self, client):
        """The latest score of a name counts; reason and category are kept."""
        trace = client.trace("ask")
        span = trace.span("step")
        client.log_traces_feedback_scores([{"id": trace.id, "name": "s", "value": 0.0}])
        client.log_traces_feedback_scores(
            [{"id": trace.id, "name": "s", "value": 1.0, "reason": "r", "category_name": "c"}]
        )
        client.log_spans_feedback_scores([{"id": span.id, "name": "s", "value": np.float32(0.5)}])
        (score,) = client.get_feedback_scores(trace.id)
        assert (score.value, score.reason, score.category_name) == (1.0, "r", "c")
        (on_span,) = client.get_feedback_scores(span.id, "span")
        assert on_span.value == 0.5

    def test_scores_belong_to_the_project_of_their_trace(self, client):
        """A score names no project unless it is told one; its trace's counts."""
        trace = client.trace("ask", project_name="other")
        trace.end()
        given = {"id": trace.id, "name": "s", "value": True}
        client.log_traces_feedback_scores([given])
        (score,) = client.get_feedback_scores(trace.id)
        assert score.project_name is None
        (found,) = client.storage.list_feedback_scores("trace", project_name="other")
        assert found.value == 1.0
        client.log_traces_feedback_scores([{**given, "project_name": "a"}], project_name="b")
        assert client.get_feedback_scores(trace.id)[0].project_name == "a"

    @pytest.mark.parametrize(
        ("score", "problem"),
        [
            ({"id": "x", "name": "s"}, r"lacks \['value'\]"),
            ({"value": 1}, r"lacks \['id', 'name'\]"),
            ({"id": "x", "name": "s", "value": 1, "reson": ""}, r"unknown \['reson'\]"),
            ({"id": "x", "name": "s", "value": math.nan}, "has the value nan"),
            ({"id": "x", "name": "s", "value": math.inf}, "has the value inf"),
            ({"id": "x", "name": "s", "value": None}, "has the value None"),
            ({"id": "x", "name": "s", "value": "0.5"}, "has the value '0.5'"),
        ],
    )
    def test_malformed_scores(self, client, score, problem):
        """One malformed score refuses the call, and nothing of it is stored."""
        good = {"id": "x", "name": "good", "value": 1}
        with pytest.raises(ConfigError, match=problem):
            client.log_traces_feedback_scores([good, score])
        assert client.get_feedback_scores("x") == []

    def test_found_records_are_not_written_back(self, client):
        """A storage refuses what searches return, which is more than a record."""
        client.trace("ask").end()
        (found,) = client.search_traces()
        with pytest.raises(ConfigError, match="does not take records of type FoundTrace"):
            client.storage.write([found])


def test_a_tracer_per_client():
    """Two clients of different projects over one storage do not mix."""
    one = Opik("one", storage="memory:")
    other = Opik("other", storage=one.storage)
    one.trace("a").end()
    other.trace("b").end()
    assert [t.name for t in one.search_traces()] == ["a"]
    assert [t.name for t in other.search_traces()] == ["b"]
    other.end()
    one.end()
