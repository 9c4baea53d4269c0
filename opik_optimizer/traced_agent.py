"""Runs an agent with its span tree at hand, for metrics that look at how an answer came about."""

from __future__ import annotations

from opik_eval.records import Span
from opik_eval.tracing.capture import snapshot
from opik_eval.tracing.context import CollectingSink, TraceState, trace_scope
from opik_eval.tracing.litellm_callback import await_calls
from opik_eval.tracing.sink import Emitted
from opik_eval.tracing.tree import build_tree
from opik_optimizer.agent import Agent, AgentCall, AgentRun


class _NoSink:
    """Drops spans of work that outlives its answer: there is no trace to add them to."""

    def emit(self, record: Emitted) -> None:
        """Drop a record."""


async def run_with_spans(agent: Agent, call: AgentCall) -> tuple[AgentRun, object]:
    """Return what an agent did, and the tree of its spans as metrics get it.

    Raises:
        AgentError: It failed.
        BudgetExceededError: A model call does not fit the budget.
    """
    sink = CollectingSink(_NoSink())
    trace = TraceState(sink, "agent")
    trace.input = dict(call.item)
    with trace_scope(trace):
        run = await agent.run(call)
        trace.output = snapshot({"output": run.output})
    await await_calls(trace)
    spans = [record for record in sink.take() if isinstance(record, Span)]
    return run, build_tree(trace.record(), spans)


__all__ = ["run_with_spans"]
