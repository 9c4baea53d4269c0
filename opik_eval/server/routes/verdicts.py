"""What checks said of traces, spans and threads: assertions of test suites, and guardrails."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import Response

from opik_eval.ids import derived_id
from opik_eval.records import Document, utc_now
from opik_eval.server.bodies import Body
from opik_eval.server.context import Context
from opik_eval.server.failures import RefusedError
from opik_eval.server.payloads import (
    Payload,
    identifier,
    objects,
    required_identifier,
    required_text,
)
from opik_eval.server.replies import done
from opik_eval.server.schemas import documents
from opik_eval.server.schemas.language import takes
from opik_eval.server.views.notes import ASSERTION, GUARDRAIL

router = APIRouter(prefix="/v1/private", tags=["Verdicts"])
_STATUSES = ("passed", "failed")
_ENTITIES = ("TRACE", "SPAN", "THREAD")


@router.put("/assertion-results", status_code=204, **takes(documents.ASSERTIONS))
def write_assertions(context: Context, body: Body) -> Response:
    """Write results of assertions; one of the same name on the same entity is replaced."""
    payload = body.object()
    entity_type = payload.get("entity_type")
    if entity_type not in _ENTITIES:
        raise RefusedError(422, f"entity_type must be one of {', '.join(_ENTITIES)}")
    results = [
        _assertion(result, str(entity_type)) for result in objects(payload, "assertion_results")
    ]
    context.documents.put_documents(results)
    return done()


@router.post("/guardrails", status_code=204, **takes(documents.GUARDRAILS))
def write_guardrails(context: Context, body: Body) -> Response:
    """Write results of guardrails."""
    results = [_guardrail(result) for result in objects(body.object(), "guardrails")]
    context.documents.put_documents(results)
    return done()


def _assertion(result: Payload, entity_type: str) -> Document:
    entity_id = required_text(result, "entity_id")
    if entity_type != "THREAD":
        entity_id = identifier(entity_id, "entity_id")
    name = required_text(result, "name")
    _check_status(result, "status")
    fields = ("project_name", "name", "status", "reason", "source")
    return Document(
        id=derived_id(ASSERTION, entity_type, entity_id, name),
        kind=ASSERTION,
        name=entity_id,
        body={"entity_type": entity_type, **{n: result[n] for n in fields if n in result}},
        created_at=utc_now(),
    )


def _guardrail(result: Payload) -> Document:
    entity_id = required_identifier(result, "entity_id")
    span_id = required_identifier(result, "secondary_id")
    name = required_text(result, "name")
    _check_status(result, "result")
    fields = ("project_name", "name", "result", "config", "details")
    return Document(
        id=derived_id(GUARDRAIL, entity_id, span_id, name),
        kind=GUARDRAIL,
        name=entity_id,
        body={"span_id": span_id, **{n: result[n] for n in fields if n in result}},
        created_at=utc_now(),
    )


def _check_status(result: Payload, field: str) -> None:
    if result.get(field) not in _STATUSES:
        raise RefusedError(422, f"{field} must be one of {', '.join(_STATUSES)}")
