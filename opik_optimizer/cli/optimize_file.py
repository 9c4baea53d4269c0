"""Optimize files: an optimization written down as YAML."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import Field, PrivateAttr

from opik_eval.cli.run_file import FilePart, checked
from opik_eval.cli.yaml_lines import KeyPath, Origin, read_yaml

Entry = str | dict[str, dict[str, object] | None]
"""A name, or a mapping from one name to its arguments."""

Messages = str | list[dict[str, object]]


class BudgetPart(FilePart):
    """Hard limits; see ``opik_optimizer.Budget``."""

    trials: int | None = Field(default=None, ge=0)
    metric_calls: int | None = Field(default=None, ge=0)
    model_calls: int | None = Field(default=None, ge=0)
    tokens: int | None = Field(default=None, ge=0)
    cost_usd: float | None = Field(default=None, ge=0)
    seconds: float | None = Field(default=None, ge=0)


class ReferencePart(FilePart):
    """A prompt to compare the returned one with, on the holdout.

    Attributes:
        prompt: The prompt; the file's if absent.
        model_parameters: Added to the file's.
    """

    prompt: Messages | None = None
    model_parameters: dict[str, object] = Field(default_factory=dict)


class OptionsPart(FilePart):
    """Options of ``optimize_prompt`` that a file can hold; see ``OptimizeOptions``."""

    optimize_prompts: str | list[str] | None = None
    n_samples: int | float | str | None = None
    n_samples_minibatch: int | None = None
    max_trials: int | None = None
    project_name: str | None = None
    racing: bool | None = None
    failure_score: float | None = None
    alpha: float | None = None
    finalists: int | None = None


class OptimizeFile(FilePart):
    """One optimization.

    Attributes:
        name: Name of the runs in the store.
        dataset: What optimizers learn from: ``demo:train``, a path from the file's folder,
            ``hf:NAME:SPLIT`` or the name of a stored dataset.
        validation_dataset: What they choose on; a part of ``dataset`` if absent.
        holdout: What judges at the end: likewise, or a size.
        prompt: Text of a user message, or chat messages; placeholders in single braces.
        model: Name of the model; the default model if absent.
        model_parameters: Parameters of its calls.
        api_base: Base URL of an OpenAI-compatible server that has the model.
        metric: What is maximised: a name, or a name with its arguments.
        observe: Metrics to note beside it, such as the share of answers that cannot be read.
        key_mapping: Metric argument -> column.
        optimizers: Names of optimizers, or names with their arguments; run one after the other.
        shares: Weight of each of them in the budget.
        patience: Trials without a better prompt after which the next one takes over.
        references: Prompts to compare the returned one with, by name.
        seed: Seed.
        n_threads: Items that are run at once.
    """

    name: str = Field(min_length=1)
    dataset: str = Field(min_length=1)
    validation_dataset: str | None = None
    holdout: str | int | float | bool | None = None
    prompt: Messages
    model: str | None = None
    model_parameters: dict[str, object] = Field(default_factory=dict)
    api_base: str | None = None
    metric: Entry
    observe: list[Entry] = Field(default_factory=list)
    key_mapping: dict[str, str] = Field(default_factory=dict)
    optimizers: list[Entry] = Field(min_length=1)
    shares: list[float] | None = None
    patience: int | None = None
    references: dict[str, ReferencePart] = Field(default_factory=dict)
    budget: BudgetPart | None = None
    seed: int = 42
    n_threads: int = Field(default=12, ge=1)
    options: OptionsPart = Field(default_factory=OptionsPart)

    _origin: Origin = PrivateAttr(default=Origin("optimize file"))

    @property
    def origin(self) -> Origin:
        """Where this was read, for error messages."""
        return self._origin


def read_optimize_file(path: Path) -> OptimizeFile:
    """Read an optimize file.

    Raises:
        ConfigError: It is missing, no YAML, or says something unknown; the text says where.
    """
    content, origin = read_yaml(path)
    return _checked(content, origin)


def parse_optimize_file(content: Mapping[str, object], name: str) -> OptimizeFile:
    """Check the content of an optimize file that comes from elsewhere.

    Args:
        content: The content.
        name: What to call it in messages.

    Raises:
        ConfigError: Something is unknown, missing or of the wrong type.
    """
    return _checked(content, Origin(name))


def _checked(content: object, origin: Origin) -> OptimizeFile:
    parts: dict[KeyPath, type[FilePart]] = {("budget",): BudgetPart, ("options",): OptionsPart}
    references = content.get("references") if isinstance(content, dict) else None
    names = references if isinstance(references, dict) else {}
    parts |= {("references", str(name)): ReferencePart for name in names}
    found = checked(OptimizeFile, content, origin, parts)
    found._origin = origin
    return found


__all__ = [
    "BudgetPart",
    "Entry",
    "OptimizeFile",
    "OptionsPart",
    "ReferencePart",
    "parse_optimize_file",
    "read_optimize_file",
]
