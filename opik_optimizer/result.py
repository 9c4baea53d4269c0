"""``OptimizationResult``: what every optimizer returns.

Prompt, scores and ids come from one record of one evaluation, so that they cannot drift apart:
evaluating ``result.prompt`` on ``result.validation_ids`` again gives ``result.score``.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from opik_eval.serialization import dumps
from opik_optimizer.errors import ResultError
from opik_optimizer.history import Round, Trial

if TYPE_CHECKING:
    import pandas as pd

    from opik_optimizer.prompt import ChatPrompt, ToolFunction

SCHEMA_VERSION = 1

Status = Literal["completed", "cancelled", "error"]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Interval(_Part):
    """A mean with its 95 % interval.

    Attributes:
        n: Items behind it.
        failed: Items whose task or metric failed; they count at the failure score.
    """

    mean: float
    low: float
    high: float
    n: int
    failed: int = 0


class PairedTest(_Part):
    """Initial prompt against returned prompt on the same items.

    Attributes:
        difference: Returned minus initial.
        p_value: Two-sided.
        wins: Items on which the returned prompt is better.
    """

    difference: float
    low: float
    high: float
    p_value: float
    test: str
    n: int
    wins: int
    losses: int
    ties: int


class PhaseUsage(_Part):
    """What one phase of a run used: ``baseline``, ``search``, ``reflection``, ``holdout`` ...

    Attributes:
        cost_usd: ``None`` = no call had a known price.
        unpriced_calls: Model calls of unknown price, not in ``cost_usd``.
    """

    metric_calls: int = 0
    model_calls: int = 0
    tokens: int = 0
    cost_usd: float | None = None
    unpriced_calls: int = 0


class _NamesOfOpik(_Part):
    """What scripts written for Opik look for, and the fields it is made of."""

    prompts: dict[str, dict[str, object]]
    is_bundle: bool = False
    rounds: tuple[Round, ...] = ()
    tokens: int = 0
    cost_usd: float | None = None
    details: dict[str, object] = Field(default_factory=dict)

    @property
    def history(self) -> list[dict[str, object]]:
        """The rounds as plain dictionaries, as Opik has them."""
        return [entry.model_dump(mode="json") for entry in self.rounds]

    @property
    def llm_cost_total(self) -> float | None:
        """``cost_usd``, by Opik's name."""
        return self.cost_usd

    @property
    def llm_token_usage_total(self) -> dict[str, int]:
        """``tokens``, by Opik's name."""
        return {"total_tokens": self.tokens}

    def get_optimized_model(self) -> str | None:
        """Return the name of the returned prompt's model; of a bundle, the first one's."""
        return _text(next(iter(self.prompts.values())).get("model"))

    def get_optimized_model_kwargs(self) -> dict[str, object]:
        """Return the returned prompt's model parameters; of a bundle, by the prompt's name."""
        parameters = {name: _dict(p.get("model_parameters")) for name, p in self.prompts.items()}
        return dict(parameters) if self.is_bundle else next(iter(parameters.values()))

    def get_optimized_parameters(self) -> dict[str, object]:
        """Return what ``ParameterOptimizer`` found, by the name in its search space."""
        return _dict(self.details.get("optimized_parameters"))


class OptimizationResult(_NamesOfOpik):
    """The outcome of one run of an optimizer.

    Attributes:
        optimizer: Name of the optimizer's class.
        prompts: The returned prompt as JSON, by name; see ``prompt``.
        score: Its mean on the validation sample, which it was chosen on.
        interval: The interval of ``score``.
        estimate: What its score is expected to be on new items: ``score`` less what choosing the
            best adds to it, joined with the holdout.
        initial_prompts: The initial prompt as JSON.
        initial_score: Its mean on the same items.
        holdout_score: Returned prompt on items that nothing was chosen on; ``None`` without any.
        initial_holdout_score: Initial prompt on those.
        p_value: One-sided p-value of "no better than the initial prompt", corrected for the number
            of candidates.
        validation_test: Paired test on the validation sample.
        holdout_test: Paired test on the holdout; the one to quote.
        is_baseline: The initial prompt is returned, since nothing beat it.
        stop_reason: What ended the search.
        selection_reason: Why this prompt is returned.
        train_ids: Items that the optimizer could learn from.
        validation_ids: Items that it chose on.
        holdout_ids: Items that it saw at the very end alone.
        overlaps: What the splits share, in words, where the user asked for that.
        llm_calls: Model calls of all phases.
        llm_calls_tools: Calls of tools.
        tokens: Tokens of all phases.
        cost_usd: Cost of all calls of known price; ``None`` = none has one.
        phases: The same by phase.
        details: What the algorithm adds.

    Example:
        >>> OptimizationResult.model_fields["schema_version"].default
        1
    """

    schema_version: int = SCHEMA_VERSION
    optimizer: str
    metric_name: str
    score: float
    interval: Interval
    estimate: Interval
    initial_prompts: dict[str, dict[str, object]]
    initial_score: float
    initial_interval: Interval
    holdout_score: Interval | None = None
    initial_holdout_score: Interval | None = None
    p_value: float | None = None
    validation_test: PairedTest | None = None
    holdout_test: PairedTest | None = None
    is_baseline: bool
    stop_reason: str
    selection_reason: str = ""
    candidate_id: str
    evaluation_id: str
    optimization_id: str
    project_name: str | None = None
    dataset_name: str | None = None
    experiment_ids: tuple[str, ...] = ()
    storage_location: str | None = None
    train_ids: tuple[str, ...] = ()
    validation_ids: tuple[str, ...] = ()
    holdout_ids: tuple[str, ...] = ()
    overlaps: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    trials_charged: int = 0
    metric_calls: int = 0
    llm_calls: int = 0
    llm_calls_tools: int = 0
    seconds: float | None = None
    phases: dict[str, PhaseUsage] = Field(default_factory=dict)
    seed: int = 0
    _functions: dict[str, Mapping[str, ToolFunction]] = PrivateAttr(default_factory=dict)

    @property
    def prompt(self) -> ChatPrompt | dict[str, ChatPrompt]:
        """The returned prompt, ready to use or to hand to the next optimizer.

        It has the functions of its tools; one that was loaded from a file does not.
        """
        return self._as_prompts(self.prompts)

    @property
    def initial_prompt(self) -> ChatPrompt | dict[str, ChatPrompt]:
        """The prompt that the run began with."""
        return self._as_prompts(self.initial_prompts)

    def keep_functions(self, functions: Mapping[str, Mapping[str, ToolFunction]]) -> None:
        """Keep the functions of the prompts' tools, which JSON cannot hold.

        Args:
            functions: Functions by name, by the prompt's name.
        """
        self._functions.update(functions)

    def _as_prompts(
        self, content: Mapping[str, dict[str, object]]
    ) -> ChatPrompt | dict[str, ChatPrompt]:
        from opik_optimizer.prompt import ChatPrompt

        prompts = {
            name: ChatPrompt.from_dict(part, function_map=self._functions.get(name))
            for name, part in content.items()
        }
        return prompts if self.is_bundle else next(iter(prompts.values()))

    @property
    def trials(self) -> tuple[Trial, ...]:
        """All trials in order."""
        return tuple(trial for entry in self.rounds for trial in entry.trials)

    @property
    def improvement(self) -> float:
        """``score`` minus ``initial_score``."""
        return self.score - self.initial_score

    def save(self, path: str | Path) -> Path:
        """Write the result as JSON; the file is replaced in one step or not at all."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target.parent, suffix=".part")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(dumps(self.model_dump(mode="json")))
            Path(temporary).replace(target)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return target

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a result that ``save`` wrote.

        Raises:
            ResultError: The file is missing, is no result, or comes from a newer version.
        """
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ResultError(f"{path} cannot be read as a result: {error}") from error
        version = content.get("schema_version") if isinstance(content, Mapping) else None
        if isinstance(version, int) and version > SCHEMA_VERSION:
            raise ResultError(
                f"{path} has schema version {version}, this package knows {SCHEMA_VERSION}",
                remedy="update opik-eval",
            )
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ResultError(f"{path} is no result of an optimizer: {error}") from error

    def to_frame(self) -> pd.DataFrame:
        """Return one row per trial."""
        import pandas as pd

        rows = []
        for entry in self.rounds:
            for trial in entry.trials:
                row = trial.model_dump(exclude={"prompts", "item_scores", "objectives"})
                rows.append({"round": entry.index, **row, **trial.objectives})
        return pd.DataFrame(rows)

    def display(self) -> None:
        """Print the result: before and after, the curve of scores, what it cost."""
        from opik_optimizer.reporting import print_result

        print_result(self)

    def plot(self, path: str | Path | None = None) -> object:
        """Draw the curve of scores and the front of score and prompt length.

        Args:
            path: Where to write the picture; its suffix says the format.

        Returns:
            The matplotlib figure.

        Raises:
            MissingExtraError: matplotlib is not installed; it is in the extra ``plot``.
        """
        from opik_optimizer.plotting import plot_result

        return plot_result(self, path)

    def __str__(self) -> str:
        from opik_optimizer.reporting import result_text

        return result_text(self)


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _dict(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, Mapping) else {}
