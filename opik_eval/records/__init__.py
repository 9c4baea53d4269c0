"""The records: the only things that cross the storage boundary."""

from opik_eval.records.base import Record, UtcDatetime, utc_now
from opik_eval.records.columns import Columns, one_by_one
from opik_eval.records.dataset import Dataset, DatasetItem, DatasetVersion
from opik_eval.records.document import Document
from opik_eval.records.experiment import Experiment, ExperimentItem
from opik_eval.records.optimization import Optimization
from opik_eval.records.project import Project
from opik_eval.records.prompt import Prompt, PromptVersion, TemplateStructure, TemplateType
from opik_eval.records.score import FeedbackScore, ItemScore, ScoredEntity, ScoreSummary
from opik_eval.records.trace import Attachment, ErrorInfo, Span, SpanType, Thread, Trace

__all__ = [
    "Attachment",
    "Columns",
    "Dataset",
    "DatasetItem",
    "DatasetVersion",
    "Document",
    "ErrorInfo",
    "Experiment",
    "ExperimentItem",
    "FeedbackScore",
    "ItemScore",
    "Optimization",
    "Project",
    "Prompt",
    "PromptVersion",
    "Record",
    "ScoreSummary",
    "ScoredEntity",
    "Span",
    "SpanType",
    "TemplateStructure",
    "TemplateType",
    "Thread",
    "Trace",
    "UtcDatetime",
    "one_by_one",
    "utc_now",
]
