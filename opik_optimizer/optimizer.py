"""``BaseOptimizer``: the one ``optimize_prompt`` of all optimizers."""

from __future__ import annotations

import difflib
from dataclasses import fields
from typing import TYPE_CHECKING, ClassVar, TypedDict, TypeVar, Unpack, cast

from opik_eval.concurrency import run_sync
from opik_optimizer.events import logger
from opik_optimizer.settings import (
    OptimizeOptions,
    OptimizerOptions,
    check_names,
    settings_of,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from _typeshed import DataclassInstance

    from opik_eval.models.base import Model
    from opik_optimizer.candidate import Candidate
    from opik_optimizer.ground import Ground
    from opik_optimizer.result import OptimizationResult
    from opik_optimizer.rewriter import ReflectionWatch
    from opik_optimizer.session import Session


Own = TypeVar("Own", bound="DataclassInstance")

_COMMON = [field.name for field in fields(OptimizerOptions)]


class OptimizerKeywords(TypedDict, total=False):
    """Keywords of every optimizer's constructor; see ``OptimizerOptions``."""

    model_parameters: Mapping[str, object] | None
    reasoning_model: str | Model | None
    reasoning_model_parameters: Mapping[str, object] | None
    verbose: int
    seed: int
    name: str | None
    skip_perfect_score: bool
    perfect_score: float
    prompt_overrides: object
    n_threads: int
    proposals_in_flight: int | None


class BaseOptimizer:
    """Base of all optimizers.

    A subclass has the algorithm's parameters in its constructor and implements ``search``. Nothing
    of a run is kept on the instance: it can be used again, and in several threads at once.

    What holds for every optimizer:

    - All candidates are compared on the same items; see ``make_splits`` for how data are divided.
    - No limit of the budget is passed by even one call, however many run at once.
    - With a deterministic model the history depends on the seed alone, not on ``n_threads``.
    - Everything paid for is stored as it comes. The same call again goes on where a run was
      interrupted, repeats no call, and ends in the same result.
    - Unless something beats the initial prompt beyond doubt (``alpha``), that is what is returned.

    Args:
        model: Reflection model: a name, a ``Model``, or ``None`` for the default of the settings.
        **options: See ``OptimizerOptions``.

    Raises:
        TypeError: An option is unknown; the text suggests what may have been meant.
        SettingsError: A value makes no sense.

    Attributes:
        needs_reflection: Of the class: the search ends if the reflection model turns out too weak.
    """

    needs_reflection: ClassVar[bool] = True

    def __init__(
        self, model: str | Model | None = None, **options: Unpack[OptimizerKeywords]
    ) -> None:
        self._refuse_unknown(options, _COMMON)
        given = {name: value for name, value in options.items() if value is not None}
        self.options = OptimizerOptions(model=model, **given)  # type: ignore[arg-type]

    def own_options(
        self, kind: type[Own], options: Mapping[str, object]
    ) -> tuple[Own, OptimizerKeywords]:
        """Split a constructor's keywords into the algorithm's own and those of every optimizer.

        Args:
            kind: Dataclass whose fields are the algorithm's own parameters.
            options: All keywords that were given.

        Returns:
            An instance of ``kind``, and the rest, for ``super().__init__(model, **rest)``.

        Raises:
            TypeError: A name is in neither; the text suggests what may have been meant.
        """
        names = [field.name for field in fields(kind)]
        self._refuse_unknown(options, [*names, *_COMMON])
        own = {name: value for name, value in options.items() if name in names}
        rest = {name: value for name, value in options.items() if name not in names}
        return kind(**own), cast("OptimizerKeywords", rest)

    def _refuse_unknown(self, options: Mapping[str, object], known: Collection[str]) -> None:
        for name in options:
            if name not in known:
                close = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {close[0]!r}?" if close else ""
                raise TypeError(
                    f"{type(self).__name__}() got an unexpected keyword argument {name!r}{hint}"
                )

    async def search(self, session: Session) -> None:
        """Look for better candidates until ``session.stop_reason`` is set or nothing is left to do.

        Every subclass implements this.

        Args:
            session: All that a search may see and do.
        """
        raise NotImplementedError(f"{type(self).__name__} must implement search(session)")

    def watch(self) -> ReflectionWatch:
        """Return what is to tell, in one run, whether the reflection model is too weak."""
        from opik_optimizer.rewriter import MAX_FRUITLESS, ReflectionWatch

        model = self.options.model
        return ReflectionWatch(
            model_name=str(getattr(model, "name", model)),
            limit=MAX_FRUITLESS if self.needs_reflection else None,
        )

    async def probe_candidates(self, session: Session) -> Sequence[Candidate] | None:
        """Return a few candidates for the probe before the search, which tells if they help.

        By default it is one that the reflection model makes of some failures; ``None`` for an
        optimizer that does without such a model. A subclass may know better ones.
        """
        from opik_optimizer.probing import reflected_candidates

        return await reflected_candidates(session) if self.needs_reflection else None

    def optimize_prompt(
        self,
        prompt: object,
        dataset: object,
        metric: object,
        **options: Unpack[OptimizeOptions],
    ) -> OptimizationResult:
        """Optimize a prompt, and wait for the result.

        Works in any thread and where an event loop is running, such as in notebooks. Ctrl-C gives
        control back at once; all that was paid for is kept, and the same call goes on from there.

        Args:
            prompt: A ``ChatPrompt``, a dict of them, a prompt of the library, or the result of
                another optimizer.
            dataset: A dataset, its name, a list of dicts, a data frame or a file.
            metric: A function ``(dataset_item, llm_output)``, a metric or judge, or a list of them.
            **options: See ``OptimizeOptions``.

        Raises:
            TypeError: An option is unknown; the text suggests what may have been meant.
            OpikEvalError: Something cannot be used, or the run failed; the text says what to do.
        """
        try:
            return run_sync(lambda: self.aoptimize_prompt(prompt, dataset, metric, **options))
        except KeyboardInterrupt as interrupt:
            note = "all finished work is stored: the same call again goes on from there"
            interrupt.add_note(note)
            logger.warning("%s was interrupted; %s", type(self).__name__, note)
            raise

    async def aoptimize_prompt(
        self,
        prompt: object,
        dataset: object,
        metric: object,
        **options: Unpack[OptimizeOptions],
    ) -> OptimizationResult:
        """Do the same as a coroutine; see ``optimize_prompt``."""
        from opik_optimizer.ground import lay_ground, with_tools
        from opik_optimizer.mcp import McpServers

        given = check_names(options, function="optimize_prompt")
        settings = settings_of(given, self.options)
        async with McpServers() as servers:
            prompt = await with_tools(prompt, servers)
            ground = lay_ground(
                prompt, dataset, metric, given, limits=settings.budget, seed=settings.seed
            )
            try:
                return await self.optimize_on(ground, given)
            finally:
                ground.close()

    async def optimize_on(self, ground: Ground, given: OptimizeOptions) -> OptimizationResult:
        """Run on prepared ground, as a stage of a chain does.

        Args:
            ground: Data, objective, agent, store and budget; not closed here.
            given: The user's options; those that concern the ground are ignored.
        """
        from opik_optimizer.conduct import conduct
        from opik_optimizer.job import prepare

        settings = settings_of(given, self.options)
        return await conduct(prepare(self, ground, settings, given))
