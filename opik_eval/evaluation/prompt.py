"""``evaluate_prompt``: evaluate a prompt template with a model, without writing a task."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, Unpack, cast

from opik_eval.engine.trial import current_trial
from opik_eval.errors import (
    AuthenticationError,
    ConfigError,
    InvalidRequestError,
    ModelUnavailableError,
    PromptError,
)
from opik_eval.evaluation.conduct import conduct
from opik_eval.evaluation.job import storage_for
from opik_eval.evaluation.options import EvaluateOptions, resolve
from opik_eval.evaluation.preparation import prepare
from opik_eval.experiments.result import EvaluationResult
from opik_eval.models.client import ChatModel, get_model
from opik_eval.models.endpoints import find_endpoint, takes_direct_path
from opik_eval.models.local import unavailable_reason
from opik_eval.prompts.messages import message_placeholders, render_messages
from opik_eval.records import TemplateType

if TYPE_CHECKING:
    from opik_eval.models.base import Model

_WRONG_PLACE = (301, 302, 303, 307, 308, 404, 405)

Template = str | Sequence[Mapping[str, object]]


@dataclass
class PromptTask:
    """A task that renders messages with an item and asks a model.

    Attributes:
        messages: Chat messages with placeholders.
        model: The model, or its full name.
        parameters: Sampling parameters.
        template_type: Language of the placeholders.
        has_replied: The model has answered at least once.
    """

    messages: tuple[Mapping[str, object], ...]
    model: Model | str
    parameters: Mapping[str, object] = field(default_factory=dict)
    template_type: TemplateType = "mustache"
    has_replied: bool = field(default=False, repr=False, compare=False)
    _found: Model | None = field(default=None, init=False, repr=False, compare=False)

    __name__ = "prompt"

    def __getstate__(self) -> dict[str, object]:
        # Another process finds a named model by itself; one that was given travels as it is.
        return {**self.__dict__, "_found": None}

    async def __call__(self, item: dict[str, object]) -> dict[str, object]:
        """Return the rendered messages as ``input`` and the model's reply as ``output``."""
        if self._found is None:
            self._found = get_model(self.model)
        rendered = render_messages(self.messages, item, type=self.template_type)
        call = partial(self._found.generate, rendered, repeat=current_trial())
        completion = await call(**cast("dict[str, Any]", dict(self.parameters)))
        self.has_replied = True
        return {"input": rendered, "output": completion.text}

    def is_fatal(self, error: BaseException) -> bool:
        """Tell whether a call failed for a reason that every other call would meet as well.

        That is so if there is no key or no such model; and if a server cannot be reached that has
        not answered once.
        """
        if isinstance(error, AuthenticationError | ConfigError):
            return True
        if isinstance(error, InvalidRequestError):
            return error.status in _WRONG_PLACE
        return isinstance(error, ModelUnavailableError) and not self.has_replied


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
        ModelError: The model cannot be called at all: its key is missing or refused, its server
            does not know it or cannot be reached. What was done before is in ``partial_result``.
    """
    resolved = resolve(options, function="evaluate_prompt")
    chosen = get_model(model)
    check_callable(chosen)
    task = PromptTask(
        messages=_as_messages(messages),
        model=chosen.name if model is None or isinstance(model, str) else chosen,
        parameters=dict(model_parameters or {}),
        template_type=template_type,
    )
    config: dict[str, object] = {"prompt_template": list(task.messages), "model": chosen.name}
    if task.parameters:
        config["model_parameters"] = dict(task.parameters)
    with storage_for(resolved, dataset) as storage:
        job = prepare(
            storage,
            dataset,
            cast("Callable[..., object]", task),
            scoring_metrics,
            resolved,
            config=config,
            check=lambda row: _check(task, row),
            is_fatal=task.is_fatal,
        )
        return conduct(job)


def check_callable(model: Model) -> None:
    """Check, as far as that goes without a request, that a model can be called.

    Raises:
        AuthenticationError: Its provider wants a key, and there is none.
        ConfigError: Nothing says where its server is.
    """
    if not isinstance(model, ChatModel) or model.transport is not None:
        return
    if model.name.startswith("local/") and model.api_base is None:
        reason = unavailable_reason(model.name)
        if reason is not None:
            raise ConfigError(f"{model.name} cannot run here", remedy=reason)
    elif takes_direct_path(model.name, api_base=model.api_base):  # litellm says it when called
        endpoint = find_endpoint(model.name, api_base=model.api_base, api_key=model.api_key)
        if endpoint.is_key_missing:
            variable = endpoint.key_variable
            raise AuthenticationError(
                f"{model.name} needs a key, and {variable} is not set; nothing was sent",
                remedy=f"set {variable}, or pass a model: get_model(..., api_key=...)",
            )


def _as_messages(messages: Template) -> tuple[Mapping[str, object], ...]:
    if not messages:
        raise ConfigError("messages is empty", remedy="pass at least one message")
    if isinstance(messages, str):
        return ({"role": "user", "content": messages},)
    return tuple(messages)


def _check(task: PromptTask, row: Mapping[str, object]) -> None:
    names = message_placeholders(task.messages, task.template_type)
    missing = [name for name in names if name.split(".")[0] not in row]
    if missing:
        raise PromptError(
            f"the prompt names {missing}, but the first item has only {sorted(row)}",
            remedy="correct the placeholders, or rename the fields of the dataset",
        )
    render_messages(task.messages, row, type=task.template_type)
