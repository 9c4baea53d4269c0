"""Batches of new traces and spans, as Opik's clients send them.

Nearly all of what comes is of one form, and goes from the payloads into columns of the store. What
is not is looked at one by one, which also says what is wrong with it.
"""

from __future__ import annotations

from collections.abc import Sequence

from opik_eval.config import DEFAULT_PROJECT
from opik_eval.records import Span, Trace
from opik_eval.server.context import RequestContext
from opik_eval.server.costs import cost_of_tokens
from opik_eval.server.payloads import Payload, are_identifiers
from opik_eval.server.writing import new_span, new_trace
from opik_eval.storage.wire_columns import NotPlain, plain_columns
from opik_eval.storage.wire_groups import group_of

_Columns = dict[str, Sequence[object] | None]


def write_batch(
    context: RequestContext, kind: type[Trace | Span], payloads: Sequence[Payload]
) -> None:
    """Write new traces, or new spans: all or none.

    Raises:
        RefusedError: Something is missing in one of them (422).
        FrameworkError: An id is no UUIDv7 (400).
    """
    if not _write_columns(context, kind, payloads):
        make = new_trace if kind is Trace else new_span
        context.storage.write([make(payload) for payload in payloads])


def _write_columns(
    context: RequestContext, kind: type[Trace | Span], payloads: Sequence[Payload]
) -> bool:
    """Write payloads if they are plain; return whether they are."""
    try:
        columns: _Columns = dict(zip(kind.model_fields, plain_columns(kind, payloads), strict=True))
    except NotPlain:
        return False
    started = columns["start_time"]
    ids = [columns[name] for name in ("id", "trace_id", "parent_span_id") if name in columns]
    if started is None or None in started or not all(map(are_identifiers, filter(None, ids))):
        return False
    nothing = [None] * len(payloads)
    names = columns["project_name"] or nothing
    columns["project_name"] = [name or DEFAULT_PROJECT for name in names]
    if kind is Span and columns["model"] and columns["usage"]:
        columns["cost_usd"] = [
            cost_of_tokens(provider, model, usage) if cost is None else cost
            for provider, model, usage, cost in zip(
                *(columns[name] or nothing for name in ("provider", "model", "usage", "cost_usd")),
                strict=True,
            )
        ]
    context.payloads.write_payloads([group_of(kind, [*columns.values()])])
    return True
