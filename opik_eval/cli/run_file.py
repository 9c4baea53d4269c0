"""Run files: an evaluation written down as YAML."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, model_validator
from pydantic_core import ErrorDetails

from opik_eval.cli.yaml_lines import KeyPath, Origin, read_yaml
from opik_eval.errors import ConfigError
from opik_eval.evaluation.options import CacheMode
from opik_eval.records import TemplateType

File = TypeVar("File", bound="FilePart")


class FilePart(BaseModel):
    """Base of files and their parts: unknown keys and wrong types are mistakes."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class BudgetPart(FilePart):
    """Hard limits on the model calls of a run; see ``opik_eval.Budget``."""

    max_requests: int | None = Field(default=None, ge=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_cost_usd: float | None = Field(default=None, gt=0)
    max_seconds: float | None = Field(default=None, gt=0)


class OptionsPart(FilePart):
    """Options of ``evaluate`` that a file can hold; see ``EvaluateOptions``."""

    project_name: str | None = None
    experiment_tags: list[str] | None = None
    nb_samples: int | None = Field(default=None, ge=1)
    dataset_item_ids: list[str] | None = None
    dataset_filter_string: str | None = None
    trial_count: int | None = Field(default=None, ge=1)
    task_threads: int | None = Field(default=None, ge=1)
    max_errors: int | None = Field(default=None, ge=0)
    timeout_seconds: float | None = Field(default=None, gt=0)
    cache: CacheMode | None = None
    seed: int | None = None
    executor: Literal["loky", "dask", "ray"] | None = None


class RunFile(FilePart):
    """One evaluation. Either ``prompt`` (and ``model``), or ``task``.

    Attributes:
        name: Name of the experiment.
        dataset: ``demo:test`` (also ``train``, ``validation``), a path from the run file's folder,
            ``hf:NAME:SPLIT`` or the name of a stored dataset.
        prompt: Text of a user message, or chat messages.
        model: Name of a model; the default model if absent.
        model_parameters: Sampling parameters.
        api_base: Base URL of an OpenAI-compatible server that has the model.
        task: ``package.module:function``, looked up from the working directory too.
        metrics: Names, or mappings from one name to its arguments.
        key_mapping: Metric argument -> key of item or output.
    """

    name: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    prompt: str | list[dict[str, object]] | None = None
    template_type: TemplateType = "mustache"
    model: str | None = None
    model_parameters: dict[str, object] = Field(default_factory=dict)
    api_base: str | None = None
    task: str | None = None
    metrics: list[str | dict[str, dict[str, object] | None]] = Field(default_factory=list)
    key_mapping: dict[str, str] = Field(default_factory=dict)
    budget: BudgetPart | None = None
    options: OptionsPart = Field(default_factory=OptionsPart)

    _origin: Origin = PrivateAttr(default=Origin("run file"))

    @model_validator(mode="after")
    def _one_thing_to_run(self) -> RunFile:
        if (self.prompt is None) == (self.task is None):
            raise ValueError("give either 'prompt' (with 'model') or 'task'")
        if self.task is not None and (self.model or self.model_parameters or self.api_base):
            raise ValueError("'model' belongs to 'prompt'; a 'task' chooses its model itself")
        return self

    @property
    def origin(self) -> Origin:
        """Where this was read, for error messages."""
        return self._origin


def read_run_file(path: Path) -> RunFile:
    """Read a run file.

    Raises:
        ConfigError: It is missing, no YAML, or says something unknown; the text says where.
    """
    content, origin = read_yaml(path)
    return _run_file(content, origin)


def parse_run(content: Mapping[str, object], name: str) -> RunFile:
    """Check the content of a run file that comes from elsewhere.

    Args:
        content: The content.
        name: What to call it in messages.

    Raises:
        ConfigError: Something is unknown, missing or of the wrong type.
    """
    return _run_file(content, Origin(name))


def checked(
    kind: type[File],
    content: object,
    origin: Origin,
    parts: Mapping[KeyPath, type[FilePart]],
) -> File:
    """Return the content of a file as what it must be.

    Args:
        kind: What it must be.
        content: What was read.
        origin: Where.
        parts: Kinds of its parts by their place, to suggest keys.

    Raises:
        ConfigError: Something is unknown, missing or of the wrong type; the text says where.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(
            f"{origin.name} is not a mapping", remedy="see docs/cli.md and configs/ for examples"
        )
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        problems = {
            f"{origin.at(*place)}: {text}": None
            for found in error.errors()
            for place, text in [_explained(found, lambda at: parts.get(at, kind))]
        }
        raise ConfigError(
            "\n".join(problems), remedy=f"its keys are {', '.join(kind.model_fields)}"
        ) from error


def _run_file(content: object, origin: Origin) -> RunFile:
    run = checked(RunFile, content, origin, {("budget",): BudgetPart, ("options",): OptionsPart})
    run._origin = origin
    return run


def _explained(
    found: ErrorDetails, kind_at: Callable[[KeyPath], type[FilePart]]
) -> tuple[KeyPath, str]:
    """Return the place and the text of a problem, in the words of a file."""
    # pydantic adds the branches of a union, such as "list[...]", to the place.
    place = tuple(part for part in found["loc"] if not _is_branch(part))
    if found["type"] == "extra_forbidden":
        known = list(kind_at(place[:-1]).model_fields)
        close = difflib.get_close_matches(str(place[-1]), known, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
        return place, f"unknown key; {hint}"
    if found["type"] == "missing":
        return place, "missing"
    return place, found["msg"].removeprefix("Value error, ")


def _is_branch(part: str | int) -> bool:
    return isinstance(part, str) and (part in ("str", "none") or "[" in part)
