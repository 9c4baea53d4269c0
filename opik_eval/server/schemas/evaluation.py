"""Bodies of the routes for datasets, experiments, prompts and optimizations."""

from __future__ import annotations

from opik_eval.server.schemas.language import (
    ANYTHING,
    COUNT,
    ERROR_INFO,
    FLAG,
    NAME,
    NUMBER,
    OBJECT,
    TAGS,
    TEXT,
    UUID7,
    choice,
    many,
    one,
    optional,
)
from opik_eval.server.schemas.tracing import FILTERS, SCORE, SPAN, TRACE

DATASET = one(
    "name",
    id=UUID7,
    name=NAME,
    project_name=TEXT,
    project_id=UUID7,
    description=TEXT,
    type=choice("dataset", "evaluation_suite"),
    visibility=choice("private", "public"),
    tags=TAGS,
)
DATASET_UPDATE = one(
    "name", name=NAME, description=TEXT, visibility=choice("private", "public"), tags=TAGS
)
DATASET_NAME = one("dataset_name", dataset_name=NAME, project_name=TEXT)
_EVALUATOR = one("name type config", name=NAME, type=TEXT, config=OBJECT)
_POLICY = one(runs_per_item=COUNT, pass_threshold=COUNT)
DATASET_ITEM = one(
    "source data",
    id=UUID7,
    trace_id=UUID7,
    span_id=UUID7,
    source=choice("sdk", "manual", "trace", "span"),
    data=OBJECT,
    description=TEXT,
    tags=TAGS,
    evaluators=many(_EVALUATOR, least=0),
    execution_policy=_POLICY,
)
DATASET_ITEM_UPDATE = optional(DATASET_ITEM)
DATASET_ITEMS = one(
    "items",
    dataset_name=NAME,
    dataset_id=UUID7,
    project_name=TEXT,
    batch_group_id=UUID7,
    items=many(DATASET_ITEM),
)
DATASET_ITEM_UPDATES = one("update", ids=many(UUID7), update=DATASET_ITEM_UPDATE, merge_tags=FLAG)
DATASET_ITEMS_DELETE = one(
    item_ids=many(UUID7), dataset_id=UUID7, filters=FILTERS, batch_group_id=UUID7
)
DATASET_STREAM = one(
    "dataset_name",
    dataset_name=NAME,
    project_name=TEXT,
    last_retrieved_id=UUID7,
    steam_limit=COUNT,
    dataset_version=TEXT,
    filters=TEXT,
)
DATASET_CHANGES = one(
    base_version=UUID7,
    added_items=many(DATASET_ITEM, least=0),
    edited_items=many(DATASET_ITEM_UPDATE, least=0),
    deleted_ids=many(UUID7, least=0),
    evaluators=many(_EVALUATOR, least=0),
    execution_policy=_POLICY,
    change_description=TEXT,
    tags=TAGS,
)
VERSION_NAME = one("version_name", version_name={"type": "string", "pattern": r"^v\d+$"})
VERSION_TAG = one("tag", tag=NAME)
VERSION_REF = one("version_ref", version_ref=NAME)
VERSION_UPDATE = one(change_description=TEXT, tags_to_add=TAGS)
EXPERIMENT = one(
    "dataset_name",
    id=UUID7,
    dataset_name=NAME,
    project_name=TEXT,
    name=TEXT,
    metadata=ANYTHING,
    tags=TAGS,
    type=choice("regular", "trial", "mini-batch", "mutation"),
    evaluation_method=TEXT,
    optimization_id=UUID7,
    prompt_versions=many(one("id", id=UUID7), least=0),
    dataset_version_id=UUID7,
    status=TEXT,
    experiment_scores=many(one("name value", name=NAME, value=NUMBER), least=0),
)
EXPERIMENT_UPDATE = one(
    name=TEXT,
    metadata=ANYTHING,
    tags=TAGS,
    tags_to_add=TAGS,
    tags_to_remove=TAGS,
    type=EXPERIMENT["properties"]["type"],
    status=TEXT,
    experiment_scores=EXPERIMENT["properties"]["experiment_scores"],
)
EXPERIMENT_ITEMS = one(
    "experiment_items",
    experiment_items=many(
        one(
            "experiment_id dataset_item_id trace_id",
            id=UUID7,
            experiment_id=UUID7,
            dataset_item_id=UUID7,
            trace_id=UUID7,
            project_name=TEXT,
            execution_policy=_POLICY,
        )
    ),
)
EXPERIMENT_BULK = one(
    "experiment_name dataset_name items",
    experiment_name=NAME,
    dataset_name=NAME,
    experiment_id=UUID7,
    project_name=TEXT,
    items=many(
        one(
            "dataset_item_id",
            dataset_item_id=UUID7,
            evaluate_task_result=ANYTHING,
            trace=TRACE,
            spans=many(SPAN, least=0, most=100),
            feedback_scores=many(SCORE, least=0, most=100),
        )
    ),
)
EXPERIMENT_STREAM = one("name", name=NAME, limit=COUNT, last_retrieved_id=UUID7, project_name=TEXT)
EXPERIMENT_ITEM_STREAM = one(
    "experiment_name", experiment_name=NAME, limit=COUNT, last_retrieved_id=UUID7, truncate=FLAG
)

_TEMPLATE = {
    "template": NAME,
    "metadata": ANYTHING,
    "type": choice("mustache", "jinja2", "python"),
    "change_description": TEXT,
    "tags": TAGS,
}
PROMPT = one(
    "name",
    id=UUID7,
    name=NAME,
    description=TEXT,
    project_name=TEXT,
    template_structure=choice("text", "chat"),
    **_TEMPLATE,
)
PROMPT_UPDATE = one("name", name=NAME, description=TEXT, tags=TAGS)
PROMPT_VERSION = one(
    "name version",
    name=NAME,
    project_name=TEXT,
    template_structure=choice("text", "chat"),
    version=one("template", id=UUID7, **_TEMPLATE),
)
PROMPT_VERSION_NAME = one(
    "name", name=NAME, commit=TEXT, version_number=TEXT, environment=TEXT, project_name=TEXT
)
PROMPT_VERSION_UPDATES = one(
    "ids update", ids=many(UUID7), update=one(tags=TAGS, change_description=TEXT), merge_tags=FLAG
)
ENVIRONMENTS = one("environments", environments=many(NAME, least=0))
OPTIMIZATION = one(
    "dataset_name objective_name status",
    id=UUID7,
    name=TEXT,
    dataset_name=NAME,
    project_name=TEXT,
    objective_name=NAME,
    status=choice("running", "completed", "cancelled", "initialized", "error"),
    metadata=ANYTHING,
)
OPTIMIZATION_UPDATE = one(
    name=TEXT,
    status=OPTIMIZATION["properties"]["status"],
    metadata=ANYTHING,
    error_info=ERROR_INFO,
)
