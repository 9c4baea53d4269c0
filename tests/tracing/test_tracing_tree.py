"""The tree of spans that metrics see."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from opik_eval.records import FeedbackScore, Span, Trace
from opik_eval.tracing.tree import build_tree

START = datetime(2026, 1, 1, tzinfo=UTC)


def _span(name: str, parent: str | None = None, second: int = 0, **fields: object) -> Span:
    start = START + timedelta(seconds=second)
    return Span(id=name, trace_id="t", parent_span_id=parent, name=name, start_time=start, **fields)


def test_tree_has_all_fields_and_orders_children_by_start():
    """Spans lie in their parents in order of start, with what was recorded of them."""
    spans = [
        _span("c", "a", 3),
        _span("b", "a", 2, type="llm", cost_usd=0.1, usage={"total_tokens": 2}, model="m"),
        _span("a", None, 1),
    ]
    scores = [
        FeedbackScore(entity_type="span", entity_id="b", name="s", value=1),
        FeedbackScore(entity_id="t", name="s", value=0),
        FeedbackScore(entity_id="elsewhere", name="s", value=0),
    ]
    root = build_tree(Trace(id="t", name="task", input={"q": 1}), spans, scores)
    assert [model.name for model in root.walk()] == ["task", "a", "b", "c"]
    assert root.input == {"q": 1}
    assert root.type is None
    model = root.spans[0].spans[0]
    assert (model.type, model.total_cost, model.usage, model.model) == (
        "llm",
        0.1,
        {"total_tokens": 2},
        "m",
    )
    assert [score.value for score in model.feedback_scores] == [1]
    assert [score.value for score in root.feedback_scores] == [0]


def test_orphans_hang_below_the_root():
    """A span whose parent is unknown is a child of the root."""
    root = build_tree(Trace(id="t"), [_span("a", "missing"), Span(id="b", trace_id="t")])
    assert {model.id for model in root.spans} == {"a", "b"}


names = st.integers(0, 11).map(str)


@given(st.dictionaries(names, st.none() | names | st.just("gone"), max_size=12), st.randoms())
def test_every_span_is_in_the_tree_once_whatever_the_edges(edges, rng: random.Random):
    """Loops and orphans included, each span is reached from the root once, in any input order."""
    spans = [_span(name, parent, int(name)) for name, parent in edges.items()]
    expected = build_tree(Trace(id="t"), spans)
    rng.shuffle(spans)
    root = build_tree(Trace(id="t"), spans)
    seen = [model.id for model in root.walk()][1:]
    assert sorted(seen) == sorted(edges)
    assert [model.id for model in expected.walk()][1:] == seen


@given(st.integers(1, 60), st.randoms())
def test_true_trees_are_rebuilt(size: int, rng: random.Random):
    """A tree that is taken apart and shuffled is put together again."""
    parents = {str(n): None if n == 0 else str(rng.randrange(n)) for n in range(size)}
    spans = [_span(name, parent, int(name)) for name, parent in parents.items()]
    rng.shuffle(spans)
    root = build_tree(Trace(id="t"), spans)
    rebuilt = {child.id: model.id for model in root.walk() for child in model.spans}
    assert rebuilt == {name: parent or "t" for name, parent in parents.items()}


def test_deep_trees_do_not_overflow():
    """A chain of ten thousand spans is walked without recursion."""
    spans = [_span(str(n), str(n - 1) if n else None, n) for n in range(10_000)]
    assert sum(1 for _ in build_tree(Trace(id="t"), spans).walk()) == 10_001
