"""Gathers the pool: train items that nothing is scored on, with answers that can be shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from opik_optimizer.algorithms.few_shot_bayesian.options import SOURCES, FewShotOptions
from opik_optimizer.algorithms.few_shot_bayesian.pool import (
    Example,
    Pool,
    answer_column,
    text_of,
)
from opik_optimizer.columns import columns_of, inputs_of, label_columns
from opik_optimizer.errors import SettingsError
from opik_optimizer.study import expected_trials

if TYPE_CHECKING:
    from opik_optimizer.evaluation import ItemResult
    from opik_optimizer.prompt import ChatPrompt
    from opik_optimizer.session import Session

_BOOTSTRAP_SHARE = 0.1
_LEAST_BOOTSTRAP = 4


class Gathering:
    """Finds the prompt that gets demonstrations, and what can be shown in it.

    Args:
        session: What is worked on.
        options: The optimizer's parameters.

    Attributes:
        name: Name of the prompt.
        prompt: The prompt.
        columns: Columns of the data.

    Raises:
        SettingsError: There is no prompt of the name that the options say.
    """

    def __init__(self, session: Session, options: FewShotOptions) -> None:
        self._session, self._options = session, options
        self.name, self.prompt = self._target()
        self.columns = columns_of([session.item(item_id) for item_id in session.train_ids])
        self._used = [n for n in self.prompt.placeholders(self.columns) if n in self.columns]
        self._sources = SOURCES[options.answers]

    async def pool(self) -> Pool:
        """Return the examples, once the initial prompt was run on some of them.

        Raises:
            SettingsError: There are too few.
            BudgetExceededError: A limit on model calls was reached.
        """
        session, options = self._session, self._options
        scored = {*session.validation_ids}
        said = {self._input_text(session.item(item_id)) for item_id in scored}
        items = {
            item_id: item
            for item_id in session.train_ids
            if item_id not in scored
            and self._input_text(item := session.item(item_id)).strip()
            and self._input_text(item) not in said
        }
        labels = label_columns(self.columns, self._used)
        column = options.answer_column or answer_column(items.values(), labels, self._used)
        ids = sorted(items)
        if len(ids) > options.pool_size:
            ids = sorted(session.rng("pool").sample(ids, options.pool_size))
        tried = await self._bootstrap(ids)
        found = [self._example(i, items[i], column, tried.get(i)) for i in ids]
        examples = tuple(e for e in found if self._is_usable(e))
        if len(examples) < options.min_examples:
            raise SettingsError(
                f"{len(examples)} of {len(session.train_ids)} train items can be shown as "
                f"demonstrations, and min_examples is {options.min_examples}",
                remedy="name the column of expected answers (answer_column), and see to it that "
                "some items are not scored: 20 items or more, or a validation_dataset",
            )
        texts = tuple(self._input_text(example.item) for example in examples)
        return Pool(examples=examples, texts=texts)

    async def _bootstrap(self, ids: Sequence[str]) -> Mapping[str, ItemResult]:
        """Run the initial prompt on some examples: which are hard, and what are good answers?"""
        session, validation = self._session, len(self._session.validation_ids)
        wanted = self._options.bootstrap_items
        if wanted is None:
            left = session.remaining
            trials = expected_trials((left.trials, left.metric_calls), validation)
            wanted = min(validation, int(_BOOTSTRAP_SHARE * trials * validation))
            wanted = wanted if wanted >= _LEAST_BOOTSTRAP else 0
        chosen = session.rng("bootstrap").sample(list(ids), min(wanted, len(ids)))
        if not chosen:
            return {}
        tried = await session.evaluate(session.seed_candidate, sorted(chosen), split="train")
        return {result.item_id: result for result in tried.results}

    def _example(
        self,
        item_id: str,
        item: Mapping[str, object],
        column: str | None,
        tried: ItemResult | None,
    ) -> Example:
        label = text_of(item.get(column)).strip() if column is not None else ""
        own, difficulty = None, 0.5
        if tried is not None and tried.score is not None and tried.is_scored:
            difficulty = min(max(1 - tried.score, 0.0), 1.0)
            if tried.score >= self._session.settings.perfect_score:
                own = text_of(tried.output).strip() or None
        return Example(
            item_id=item_id, item=item, label=label or None, own=own, difficulty=difficulty
        )

    def _is_usable(self, example: Example) -> bool:
        answers = [example.label if "label" in self._sources else None]
        answers += [example.own if "own" in self._sources else None]
        longest = max((len(text) for text in answers if text), default=0)
        size = longest + len(self._input_text(example.item))
        return longest > 0 and size <= self._options.max_characters

    def _target(self) -> tuple[str, ChatPrompt]:
        """Return the prompt that gets demonstrations: the one named, else the last."""
        prompts = self._session.seed_candidate.prompts
        name = self._options.prompt_name or [*prompts][-1]
        if name not in prompts:
            raise SettingsError(
                f"there is no prompt {name!r}", remedy=f"prompt_name is one of {sorted(prompts)}"
            )
        return name, prompts[name]

    def _input_text(self, item: Mapping[str, object]) -> str:
        """Return what the prompt shows of an item: what is compared, and must not be repeated."""
        names = [name for name in self._used if name in item] or [*inputs_of(item)]
        return "\n".join(text_of(item[name]) for name in names)


__all__ = ["Gathering"]
