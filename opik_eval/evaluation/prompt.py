"""``evaluate_prompt``: evaluate a prompt template with a model, without writing a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, cast

from opik_eval.engine.trial import current_trial
from opik_eval.errors import ConfigError, PromptError
from opik_eval.evaluation.conduct import conduct
from opik_eval.evaluation.options import EvaluateOptions, resolve
from opik_eval.evaluation.preparation import prepare
from opik_eval.experiments.result import EvaluationResult
from opik_eval.models.client import get_model
from opik_eval.prompts.messages import message_placeholders, render_messages
from opik_eval.records import TemplateType

if TYPE_CHECKING:
    from opik_eval.models.base import Model

Template = str | Sequence[Mapping[str, object]]


@dataclass
class PromptTask:
    """A task that renders messages with an item and asks a model.

    Attributes:
        messages: Chat messages with placeholders.
        model_name: Full name of the model.
        parameters: Sampling parameters.
        template_type: Language of the placeholders.
    """

    messages: tuple[Mapping[str, object], ...]
    model_name: str
    parameters: Mapping[str, object] = field(default_factory=dict)
    template_type: TemplateType = "mustache"
    _model: Model | None = field(default=None, repr=False, compare=False)

    __name__ = "prompt"

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_model": None}

    async def __call__(self, item: dict[str, object]) -> dict[str, object]:
        """Return the rendered messages as ``input`` and the model's reply as ``output``."""
        if self._model is None:
            self._model = get_model(self.model_name)
        rendered = render_messages(self.messages, item, type=self.template_type)
        call = partial(self._model.generate, rendered, repeat=current_trial())
        completion = await call(**cast("dict[str, Any]", dict(self.parameters)))
        return {"input": rendered, "output": completion.text}


def evaluate_prompt(
    dataset: object,
    messages: Template,
    model: str | Model | None = None,
    scoring_metrics: Sequence[object] | None = None,
    *,
    model_parameters: Mapping[str, object] | None = None,
    template_type: TemplateType = "mustache",
    **options: Unpack[EvaluateOptions],
) -> EvaluationResult:
    """Evaluate a prompt on a dataset.

    Args:
        dataset: See ``evaluate``.
        messages: Chat messages whose text holds placeholders such as ``{{question}}``; a text
            stands for one user message.
        model: Name of a model, such as ``local/smollm2-135m-instruct``, or a model. ``None`` = what
            the settings say.
        scoring_metrics: Metrics; they see the item's fields, ``input`` (the rendered messages) and
            ``output`` (the reply's text).
        model_parameters: Sampling parameters, such as ``{"temperature": 0}``.
        template_type: ``mustache``, ``jinja2`` or ``python``.
        **options: See ``EvaluateOptions``.

    Raises:
        PromptError: The template names a field that the first item does not have.
        ConfigError: There is no model of that name.
    """
    resolved = resolve(options, function="evaluate_prompt")
    chosen = get_model(model)
    task = PromptTask(
        messages=_as_messages(messages),
        model_name=chosen.name,
        parameters=dict(model_parameters or {}),
        template_type=template_type,
        _model=chosen,
    )
    config: dict[str, object] = {"prompt_template": list(task.messages), "model": chosen.name}
    if task.parameters:
        config["model_parameters"] = dict(task.parameters)
    call = cast("Callable[..., object]", task)
    job = prepare(
        dataset, call, scoring_metrics, resolved, config=config, check=lambda row: _check(task, row)
    )
    return conduct(job)


def _as_messages(messages: Template) -> tuple[Mapping[str, object], ...]:
    if isinstance(messages, str):
        return ({"role": "user", "content": messages},)
    if not messages:
        raise ConfigError("messages is empty", remedy="pass at least one message")
    return tuple(messages)


def _check(task: PromptTask, row: Mapping[str, object]) -> None:
    names = message_placeholders(task.messages, task.template_type)
    missing = [name for name in names if name.split(".")[0] not in row]
    if missing:
        raise PromptError(
            f"the prompt names {missing}, but the first item has only {sorted(row)}",
            remedy="correct the placeholders, or rename the fields of the dataset",
        )
