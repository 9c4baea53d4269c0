"""Which annotation queues a trace or thread is in."""

from __future__ import annotations

from opik_eval.server.context import RequestContext

QUEUE, MEMBER = "annotation_queue", "annotation_queue_member"


def queues_of(context: RequestContext, entity_id: str) -> list[str]:
    """Return the ids of the queues that hold an entity."""
    members = context.documents.list_documents(MEMBER, name=entity_id)
    return [str(member.body["queue_id"]) for member in members]
