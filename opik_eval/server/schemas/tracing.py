"""Bodies of the routes for projects, traces, spans, scores and threads."""

from __future__ import annotations

from opik_eval.server.schemas.language import (
    ANYTHING,
    COUNT,
    DATE,
    ERROR_INFO,
    FLAG,
    NAME,
    NUMBER,
    TAGS,
    TEXT,
    UUID7,
    choice,
    many,
    one,
    optional,
)

PROJECT = one("name", name=NAME, description=TEXT, visibility=choice("private", "public"))
PROJECT_UPDATE = optional(PROJECT)

_TRACED = {
    "project_name": TEXT,
    "name": TEXT,
    "end_time": DATE,
    "input": ANYTHING,
    "output": ANYTHING,
    "metadata": ANYTHING,
    "tags": TAGS,
    "error_info": ERROR_INFO,
    "ttft": NUMBER,
    "source": TEXT,
    "environment": TEXT,
}
_WRITTEN = {"id": UUID7, "start_time": DATE, "last_updated_at": DATE}
_CHANGED = {"project_id": UUID7, "tags_to_add": TAGS, "tags_to_remove": TAGS}
_SPAN = {
    "parent_span_id": UUID7,
    "type": choice("general", "tool", "llm", "guardrail"),
    "model": TEXT,
    "provider": TEXT,
    "usage": {"type": "object", "additionalProperties": COUNT},
    "total_estimated_cost": NUMBER,
}
TRACE = one("start_time", **_WRITTEN, **_TRACED, thread_id=TEXT)
TRACES = one("traces", traces=many(TRACE))
TRACE_UPDATE = one(**_TRACED, **_CHANGED, thread_id=TEXT)
TRACE_UPDATES = one("ids update", ids=many(UUID7), update=TRACE_UPDATE, merge_tags=FLAG)
SPAN = one("start_time trace_id", **_WRITTEN, **_TRACED, **_SPAN, trace_id=UUID7)
SPANS = one("spans", spans=many(SPAN))
SPAN_UPDATE = one("trace_id", **_TRACED, **_CHANGED, **_SPAN, trace_id=UUID7)
SPAN_UPDATES = one("ids update", ids=many(UUID7), update=SPAN_UPDATE, merge_tags=FLAG)

FILTER = one("field operator", field=TEXT, operator=TEXT, value=TEXT, key=TEXT)
FILTERS = many(FILTER, least=0)
SEARCH = one(
    project_name=TEXT,
    project_id=UUID7,
    filters=FILTERS,
    limit=COUNT,
    last_retrieved_id=UUID7,
    truncate=FLAG,
    exclude=TAGS,
    from_time=DATE,
    to_time=DATE,
    trace_id=UUID7,
    type=TEXT,
)

SCORE = one(
    "name value source",
    name=NAME,
    value=NUMBER,
    source=choice("sdk", "ui", "online_scoring"),
    category_name=TEXT,
    reason=TEXT,
    author=TEXT,
    project_name=TEXT,
)
_SCORED = {**SCORE["properties"], "id": UUID7}
SCORES = one("scores", scores=many(one("id name value source", **_SCORED)))
_THREAD_SCORED = {**SCORE["properties"], "thread_id": NAME}
THREAD_SCORES = one("scores", scores=many(one("thread_id name value source", **_THREAD_SCORED)))
SCORE_NAME = one("name", name=NAME, author=TEXT)
COMMENT = one("text", text=NAME)

THREAD = one("thread_id", thread_id=NAME, project_name=TEXT, project_id=UUID7)
THREADS = one("thread_ids", thread_ids=many(NAME), project_name=TEXT, project_id=UUID7)
THREAD_STATE = one(thread_id=NAME, thread_ids=many(NAME), project_name=TEXT, project_id=UUID7)
THREAD_SCORE_NAMES = one(
    "thread_id names", thread_id=NAME, names=many(NAME), project_name=TEXT, author=TEXT
)

THREAD_SEARCH = one(
    project_name=TEXT,
    project_id=UUID7,
    filters=FILTERS,
    limit=COUNT,
    last_retrieved_thread_model_id=TEXT,
    truncate=FLAG,
)
THREAD_UPDATE = one(tags=TAGS, tags_to_add=TAGS, tags_to_remove=TAGS)
THREAD_UPDATES = one("ids update", ids=many(TEXT), update=THREAD_UPDATE, merge_tags=FLAG)
