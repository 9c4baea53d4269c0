"""Tool calls of agents: reading them, comparing them, in and out of order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.errors import MetricError
from opik_eval.evaluation import evaluate_on_dict_items
from opik_eval.metrics import NumericMatch, TokenF1, ToolCallCorrectness, TrajectoryMatch
from opik_eval.metrics.base import required_arguments
from opik_eval.metrics.tool_calls import Call, read_calls
from opik_eval.metrics.trajectory import ToolMetric
from opik_eval.testing.metric_contract import MetricCase, MetricContract
from opik_eval.tracing import SpanModel, track


def call(name, **arguments):
    """Write a call as a dict."""
    return {"name": name, "arguments": arguments}


SEARCH, OTHER, STOP = call("search", q="cats", k=3), call("search", q="dogs", k=3), call("stop")
PAIR = {"tool_calls": [SEARCH, STOP], "expected_tool_calls": [SEARCH, OTHER]}
SAME = {"tool_calls": [SEARCH, STOP], "expected_tool_calls": [SEARCH, STOP]}
TREE = SpanModel(
    id="1",
    type="general",
    spans=[
        SpanModel(id="2", name="search", type="tool", input={"q": "cats", "k": 3}),
        SpanModel(id="3", name="gpt", type="llm", input={"messages": []}),
        SpanModel(id="4", name="stop", type="tool", input={}),
    ],
)
IN_SPANS = {"task_span": TREE, "expected_tool_calls": [SEARCH, STOP]}
WRONG = {"tool_calls": "search", "expected_tool_calls": [3]}


class TestToolMetrics(MetricContract):
    """The battery."""

    @pytest.fixture(
        params=[
            MetricCase(
                ToolCallCorrectness,
                PAIR,
                "tool_call_correctness_metric",
                SAME,
                ("tool_calls", "expected_tool_calls"),
                wrong=WRONG,
            ),
            MetricCase(
                lambda: ToolCallCorrectness(source="task_span", measure="recall"),
                IN_SPANS,
                "tool_call_correctness_metric",
                IN_SPANS,
                wrong={"task_span": [SEARCH]},
            ),
            MetricCase(TrajectoryMatch, PAIR, "trajectory_match_metric", SAME, wrong=WRONG),
            MetricCase(
                lambda: TrajectoryMatch("superset", {"q": TokenF1()}, source="task_span"),
                IN_SPANS,
                "trajectory_match_metric",
                IN_SPANS,
            ),
        ],
        ids=str,
    )
    def case(self, request):
        """Return one metric."""
        return request.param


OPENAI = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
SPELLINGS = [
    call("f", x=1),
    {"name": "f", "args": {"x": 1}},
    {"type": "tool_use", "name": "f", "input": {"x": 1.0}},
    {"name": "f", "parameters": '{"x": 1}'},
    OPENAI,
    {"role": "assistant", "content": None, "tool_calls": [OPENAI]},
    {
        "role": "assistant",
        "content": [
            {"type": "text", "text": "hm"},
            {"type": "tool_use", "name": "f", "input": {"x": 1}},
        ],
    },
]


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_calls_are_read_in_any_spelling(spelling):
    """OpenAI's, Anthropic's, plain dicts and whole conversations."""
    other_messages = [{"role": "user", "content": "hi"}, {"role": "tool", "content": "1"}]
    calls = read_calls([*other_messages, spelling], "tool_calls", metric="m")
    assert calls == [Call("f", {"x": 1})]


def test_a_name_alone_says_nothing_of_arguments():
    """So an expected name takes any arguments."""
    assert read_calls(["f"], "tool_calls", metric="m") == [Call("f", None)]
    assert TrajectoryMatch().score([SEARCH], ["search"]).value == 1.0
    assert TrajectoryMatch().score(["search"], [SEARCH]).value == 0.0


@pytest.mark.parametrize(
    "value",
    [{"name": "f"}, "f", [3], [{"x": 1}], [call("f") | {"arguments": "[1]"}], [{"name": 3}]],
)
def test_what_is_no_list_of_calls_is_refused(value):
    """The remedy shows how a call is written."""
    with pytest.raises(MetricError, match="takes a list of tool calls as 'tool_calls'") as refusal:
        read_calls(value, "tool_calls", metric="m")
    assert '"arguments"' in refusal.value.remedy


# made, expected, then whether each mode matches: strict, in_order, unordered, superset, subset
MODES = ("strict", "in_order", "unordered", "superset", "subset")
TRAJECTORIES = [
    ("ab", "ab", "11111"),
    ("ba", "ab", "00111"),
    ("axb", "ab", "01010"),
    ("bxa", "ab", "00010"),
    ("a", "ab", "00001"),
    ("aa", "a", "01010"),
    ("a", "aa", "00001"),
    ("", "", "11111"),
    ("", "a", "00001"),
    ("a", "", "01010"),
    ("xy", "ab", "00000"),
]


@pytest.mark.parametrize(("made", "expected", "matches"), TRAJECTORIES)
def test_modes_of_trajectories(made, expected, matches):
    """The table; a match has no reason, a mismatch has one."""
    for mode, match in zip(MODES, matches, strict=True):
        score = TrajectoryMatch(mode=mode).score(list(made), list(expected))
        assert score.value == float(match), mode
        assert (score.reason is None) == (match == "1")


# given, expected, then whether each way matches: exact, subset, superset, ignore
ARGUMENTS = [
    ({"x": 1}, {"x": 1.0}, "1111"),
    ({}, {"x": 1}, "0101"),
    ({"x": 1, "y": 2}, {"x": 1}, "0011"),
    ({"x": 2}, {"x": 1}, "0001"),
    ({"x": None}, {}, "1111"),
]


@pytest.mark.parametrize(("given_", "expected", "matches"), ARGUMENTS)
def test_ways_to_compare_arguments(given_, expected, matches):
    """The table; an argument that is null is one that is not given."""
    for way, match in zip(("exact", "subset", "superset", "ignore"), matches, strict=True):
        metric = TrajectoryMatch(way)
        assert metric.score([call("f", **given_)], [call("f", **expected)]).value == float(match)


def test_arguments_are_compared_as_told():
    """By argument, or by tool and argument, which goes first; the worst argument counts."""
    metric = ToolCallCorrectness(
        comparators={"q": TokenF1(), "find.q": NumericMatch(), "k": lambda a, b: abs(a - b) < 2}
    )
    expected = [call("search", q="red cats", k=3)]
    assert metric.score([call("search", q="cats", k=4)], expected).value == pytest.approx(2 / 3)
    assert metric.score([call("search", q="cats", k=9)], expected).value == 0.0
    assert metric.score([call("find", q="is 3")], [call("find", q=3)]).value == 1.0
    lenient = TrajectoryMatch(comparators={"q": TokenF1()}, threshold=0.6)
    assert lenient.score([call("f", q="cats")], [call("f", q="red cats")]).value == 1.0


def test_correctness_measures():
    """Precision, recall and F1 of calls, and what differs."""
    made, expected = [SEARCH, STOP, "x"], [call("find"), SEARCH]
    values = [
        ToolCallCorrectness(measure=measure).score(made, expected).value
        for measure in ("precision", "recall", "f1")
    ]
    assert values == pytest.approx([1 / 3, 1 / 2, 2 / 5])
    score = ToolCallCorrectness(comparators={"q": lambda _a, _b: 0.5}).score(made, expected)
    assert score.reason.splitlines() == [
        "missing: find()",
        "not expected: stop()",
        "not expected: x()",
        'fits by 0.5: search(q="cats", k=3)',
    ]
    assert score.metadata["recall"] == 0.25


def test_no_calls_where_none_are_expected_is_right():
    """And any call is wrong then."""
    for measure in ("precision", "recall", "f1"):
        metric = ToolCallCorrectness(measure=measure)
        assert metric.score([], []).value == 1.0
        assert metric.score([], ["x"]).value == metric.score(["x"], []).value == 0.0


calls = st.lists(
    st.builds(call, st.sampled_from("fg"), x=st.integers(0, 2), y=st.integers(0, 1)), max_size=4
)


@given(made=calls, expected=calls)
def test_correctness_is_the_best_pairing_there_is(made, expected):
    """Against trying every pairing of the expected calls, with graded comparators."""
    metric = ToolCallCorrectness(comparators={"x": lambda a, b: 1 - abs(a - b) / 2})
    shorter, longer = sorted((made, expected), key=len)

    def worth(one, other):
        same = one["name"] == other["name"] and one["arguments"]["y"] == other["arguments"]["y"]
        return (1 - abs(one["arguments"]["x"] - other["arguments"]["x"]) / 2) if same else 0

    best = max(
        sum(map(worth, shorter, order)) for order in itertools.permutations(longer, len(shorter))
    )
    size = len(made) + len(expected)
    assert metric.score(made, expected).value == pytest.approx(2 * best / size if size else 1.0)


@given(made=calls, expected=calls)
def test_modes_imply_each_other(made, expected):
    """Strict implies all others; unordered is subset and superset."""
    strict, in_order, unordered, superset, subset = (
        TrajectoryMatch(mode=mode).score(made, expected).value for mode in MODES
    )
    assert strict <= min(in_order, unordered)
    assert in_order <= superset
    assert unordered == min(superset, subset)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ToolCallCorrectness(measure="f2"),
        lambda: TrajectoryMatch(mode="any"),
        lambda: TrajectoryMatch(arguments="some"),
        lambda: TrajectoryMatch(threshold=0),
        lambda: TrajectoryMatch(source="trace"),
        lambda: TrajectoryMatch(comparators={"q": 3}),
    ],
)
def test_unknown_options_are_refused(make):
    """When the metric is made."""
    with pytest.raises(MetricError):
        make()


def test_the_base_is_no_metric():
    """A metric of tool calls says how it compares them."""
    with pytest.raises(NotImplementedError):
        ToolMetric(name="base").score(tool_calls=[], expected_tool_calls=[])


def test_the_source_decides_what_is_required():
    """So that the engine checks and supplies the right argument."""
    assert required_arguments(TrajectoryMatch()) == ("expected_tool_calls", "tool_calls")
    by_span = TrajectoryMatch(source="task_span")
    assert required_arguments(by_span) == ("expected_tool_calls", "task_span")


def test_the_calls_of_a_traced_agent_are_scored():
    """Spans of type tool, in the order of their start, by name and input."""

    @track(type="tool")
    def search(query, limit=5):
        return query

    @track(type="tool")
    def stop():
        return None

    def agent(item):
        return {"output": search(item["query"]), "end": stop()}

    items = [{"query": "cats", "expected_tool_calls": [call("search", query="cats"), call("stop")]}]
    metrics = [
        TrajectoryMatch("superset", source="task_span"),
        ToolCallCorrectness(source="task_span"),
    ]
    result = evaluate_on_dict_items(items, agent, metrics)
    trajectory, correctness = result.test_results[0].score_results
    assert trajectory.value == 1.0
    assert correctness.value == 0.5  # "limit" is recorded, and was not expected
