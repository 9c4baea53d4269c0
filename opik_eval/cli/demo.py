"""``opik-eval demo``: two prompts, a real model, an honest comparison."""

from __future__ import annotations

import os

import click

from opik_eval.cli.output import common_options, result_as_dict, show_json, show_text
from opik_eval.datasets.demo import demonstration_prompt, instruction_prompt, load_demo
from opik_eval.errors import ConfigError
from opik_eval.evaluation import evaluate_prompt
from opik_eval.evaluation.demo_scoring import accuracy, unparsed
from opik_eval.experiments import compare
from opik_eval.experiments.render import comparison_text
from opik_eval.experiments.result import EvaluationResult
from opik_eval.models.local import EMBEDDED_MODEL, unavailable_reason
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage

