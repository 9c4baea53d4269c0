"""The evaluation functions."""

from opik_eval.evaluation.evaluate import aevaluate, evaluate
from opik_eval.evaluation.on_items import evaluate_on_dict_items
from opik_eval.evaluation.options import ErrorTolerance, EvaluateOptions
from opik_eval.evaluation.prompt import evaluate_prompt
from opik_eval.evaluation.rescore import evaluate_experiment
from opik_eval.evaluation.resuming import evaluate_resume

__all__ = [
    "ErrorTolerance",
    "EvaluateOptions",
    "aevaluate",
    "evaluate",
    "evaluate_experiment",
    "evaluate_on_dict_items",
    "evaluate_prompt",
    "evaluate_resume",
]
