"""The evaluation functions."""

from opik_eval.evaluation.evaluate import aevaluate, evaluate, evaluate_optimization_trial
from opik_eval.evaluation.on_items import evaluate_on_dict_items
from opik_eval.evaluation.options import ErrorTolerance, EvaluateOptions
from opik_eval.evaluation.prompt import evaluate_prompt
from opik_eval.evaluation.rescore import evaluate_experiment
from opik_eval.evaluation.resuming import evaluate_resume
from opik_eval.evaluation.threads import (
    ThreadEvaluationResult,
    ThreadsEvaluationResult,
    evaluate_threads,
)

__all__ = [
    "ErrorTolerance",
    "EvaluateOptions",
    "ThreadEvaluationResult",
    "ThreadsEvaluationResult",
    "aevaluate",
    "evaluate",
    "evaluate_experiment",
    "evaluate_on_dict_items",
    "evaluate_optimization_trial",
    "evaluate_prompt",
    "evaluate_resume",
    "evaluate_threads",
]
