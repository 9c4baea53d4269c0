"""What a run stands on, and the stages of a chain share: data, objective, agent, store, budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from opik_eval.models.budget import Budget as ModelBudget
from opik_eval.models.clock import Clock, SystemClock
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage
from opik_optimizer.agent import Agent, as_agent
from opik_optimizer.budget import Account, Budget
from opik_optimizer.candidate import Candidate
from opik_optimizer.mcp import McpServers
from opik_optimizer.objective import Objective, as_objective, bottom_of
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.settings import OptimizeOptions
from opik_optimizer.splits import Splits, make_splits
from opik_optimizer.tools import is_mcp


@dataclass(frozen=True, kw_only=True)
class Ground:
    """What a run stands on.

    Attributes:
        seed_candidate: The initial prompt.
        is_bundle: The user passed several prompts, and gets several back.
        splits: The data.
        objective: What is maximised.
        agent: What runs the prompts.
        storage: Where everything is kept.
        owns_storage: It was opened here, and is to be closed.
        limits: The limits, as the user set them.
        account: Trials and metric calls.
        models: Model calls, tokens, cost and time.
        failure_score: What counts for an item without a score.
        clock: Time source.
    """

    seed_candidate: Candidate
    is_bundle: bool
    splits: Splits
    objective: Objective
    agent: Agent
    storage: Storage
    owns_storage: bool
    limits: Budget
    account: Account
    models: ModelBudget
    failure_score: float
    clock: Clock = field(default_factory=SystemClock)

    @property
    def is_volatile(self) -> bool:
        """The store was opened here and ends with the run."""
        return self.owns_storage and self.storage.location == "memory:"

    def close(self) -> None:
        """Close what was opened for the run."""
        if self.owns_storage:
            self.storage.close()


def lay_ground(
    prompt: object,
    dataset: object,
    metric: object,
    given: OptimizeOptions,
    *,
    limits: Budget,
    seed: int,
) -> Ground:
    """Read and check what a run stands on. Nothing is run yet.

    Args:
        prompt: A prompt, a bundle, or a result.
        dataset: What ``read_items`` takes.
        metric: What ``as_objective`` takes.
        given: The user's options.
        limits: The budget, ``max_trials`` included.
        seed: Seed of the division of the data.

    Raises:
        OpikEvalError: Prompt, data, metric or agent cannot be used, or do not fit each other.
    """
    candidate = Candidate.of(prompt)
    objective = as_objective(metric)
    agent = as_agent(given.get("agent"))
    agent.check(candidate.prompts)
    target = given.get("storage")
    owns_storage = target is None or isinstance(target, str)
    storage = open_storage(target)
    try:
        splits = make_splits(
            dataset,
            validation_dataset=given.get("validation_dataset"),
            holdout=given.get("holdout"),
            n_samples=given.get("n_samples"),
            seed=seed,
            storage=storage,
        )
        for item in _first_of_each(splits):
            objective.check(item)
    except BaseException:
        if owns_storage:
            storage.close()
        raise
    failure_score = given.get("failure_score")
    return Ground(
        seed_candidate=candidate,
        is_bundle=_is_bundle(prompt),
        splits=splits,
        objective=objective,
        agent=agent,
        storage=storage,
        owns_storage=owns_storage,
        limits=limits,
        account=Account(trials=limits.trials, metric_calls=limits.metric_calls),
        models=limits.of_models(),
        failure_score=bottom_of(objective) if failure_score is None else failure_score,
    )


async def with_tools(prompt: object, servers: McpServers) -> object:
    """Return a prompt with the tools of its MCP servers; itself if it names none.

    Args:
        prompt: A prompt, a bundle, or a result.
        servers: Where the tools are looked up; they can be called while it is open, and whoever
            calls one later connects anew.

    Raises:
        ToolError: A server cannot be reached, or a tool is not there.
    """
    prompts = Candidate.of(prompt).prompts
    if not any(is_mcp(tool) for each in prompts.values() for tool in each.tools):
        return prompt
    found = {name: await servers.resolve(each) for name, each in prompts.items()}
    return found if _is_bundle(prompt) else next(iter(found.values()))


def _first_of_each(splits: Splits) -> list[Mapping[str, object]]:
    firsts = [ids[0] for ids in (splits.train, splits.validation, splits.holdout) if ids]
    return [splits.items[item_id] for item_id in dict.fromkeys(firsts)]


def _is_bundle(prompt: object) -> bool:
    found = getattr(prompt, "prompt", prompt)
    return isinstance(found, Mapping) and not isinstance(found, ChatPrompt)
