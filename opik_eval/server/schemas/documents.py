"""Bodies of the other routes: records, files, verdicts, queues, collections."""

from __future__ import annotations

from opik_eval.server.schemas.language import (
    ANYTHING,
    COUNT,
    DATE,
    FLAG,
    NAME,
    OBJECT,
    TAGS,
    TEXT,
    UUID7,
    choice,
    many,
    one,
    optional,
)

RECORDS = one("records", records=many(one("kind", kind=TEXT), least=0, most=1_000_000))
RECORD_REFERENCE = one(
    "kind", kind=TEXT, id=TEXT, name=TEXT, ids=many(TEXT, least=0, most=1_000_000)
)
RECORD_LIST = one("kind", kind=TEXT, arguments=OBJECT)
RECORD_CHANGES = one(
    "dataset_id",
    dataset_id=TEXT,
    upsert=many(OBJECT, least=0, most=1_000_000),
    delete=ANYTHING,
    skip_known=FLAG,
    change_description=TEXT,
    changed_at=DATE,
    group_id=TEXT,
    base_version=COUNT,
)
_FILE = {"file_name": NAME, "entity_type": choice("trace", "span"), "entity_id": UUID7}
UPLOAD_START = one(
    "file_name num_of_file_parts entity_type entity_id path",
    **_FILE,
    num_of_file_parts=COUNT,
    mime_type=TEXT,
    project_name=TEXT,
    path=TEXT,
)
UPLOAD_COMPLETE = one(
    "file_name entity_type entity_id file_size upload_id uploaded_file_parts",
    **_FILE,
    file_size=COUNT,
    upload_id=TEXT,
    uploaded_file_parts=many(OBJECT, least=0),
    project_name=TEXT,
    mime_type=TEXT,
)
ATTACHMENT_DELETE = one("entity_type entity_id", **_FILE)
ASSERTIONS = one(
    "entity_type assertion_results",
    entity_type=choice("TRACE", "SPAN", "THREAD"),
    assertion_results=many(
        one(
            "entity_id name status source",
            entity_id=TEXT,
            project_name=TEXT,
            name=NAME,
            status=choice("passed", "failed"),
            reason=TEXT,
            source=TEXT,
        )
    ),
)
GUARDRAILS = one(
    "guardrails",
    guardrails=many(
        one(
            "entity_id secondary_id name result config details",
            entity_id=UUID7,
            secondary_id=UUID7,
            project_name=TEXT,
            name=NAME,
            result=choice("passed", "failed"),
            config=OBJECT,
            details=OBJECT,
        )
    ),
)
ENVIRONMENT = one("name", id=UUID7, name=NAME, description=TEXT, color=TEXT, position=COUNT)
FEEDBACK_DEFINITION = one(
    "name type",
    id=UUID7,
    name=NAME,
    description=TEXT,
    type=choice("numerical", "categorical", "boolean"),
    details=OBJECT,
)
ALERT = one(
    "name webhook",
    id=UUID7,
    name=NAME,
    enabled=FLAG,
    alert_type=choice("general", "slack", "pagerduty"),
    webhook=one("url", url=NAME, secret_token=TEXT, headers=OBJECT),
    triggers=many(
        one("event_type", event_type=TEXT, trigger_configs=many(OBJECT, least=0)), least=0
    ),
    project_id=UUID7,
)
DASHBOARD = one("name", id=UUID7, name=NAME, description=TEXT, config=OBJECT)
QUEUE = one(
    "project_id name scope",
    id=UUID7,
    project_id=UUID7,
    name=NAME,
    scope=choice("trace", "thread"),
    description=TEXT,
    instructions=TEXT,
    comments_enabled=FLAG,
    feedback_definition_names=TAGS,
)
QUEUE_UPDATE = optional(QUEUE)
QUEUE_ITEMS = one("ids", ids=many(TEXT))
