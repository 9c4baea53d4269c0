"""Which item of one run is which item of the other."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from opik_eval.experiments.case import TestResult
from opik_eval.serialization import content_hash


@dataclass(slots=True)
class ItemRuns:
    """All trials of one item.

    Attributes:
        values: Mean over the trials by metric; metrics without any value are absent.
        missing: By metric, the share of its results that are failed or unscored.
        error_share: Share of trials whose task raised.
    """

    trials: list[TestResult]
    values: dict[str, float] = field(default_factory=dict)
    missing: dict[str, float] = field(default_factory=dict)
    error_share: float = 0.0

    @property
    def item_id(self) -> str:
        """The dataset item."""
        return self.trials[0].test_case.dataset_item_id

    @property
    def content(self) -> Mapping[str, object]:
        """What the user wrote into the item."""
        content = self.trials[0].test_case.dataset_item_content
        if content.get("id") != self.item_id:
            return content
        return {key: value for key, value in content.items() if key != "id"}


@dataclass(frozen=True, slots=True)
class Pairing:
    """The items of two runs side by side.

    Attributes:
        pairs: Items of both runs, in the order of the first.
        only_in_a: Number of items without a partner in the second run.
        only_in_b: Number of items without a partner in the first run.
        changed: Number of pairs with one id whose content differs.
        by_content: Number of pairs found by content, their ids being different.
    """

    pairs: list[tuple[ItemRuns, ItemRuns]]
    only_in_a: int
    only_in_b: int
    changed: int
    by_content: int


def items_of(results: Sequence[TestResult]) -> dict[str, ItemRuns]:
    """Group results by item and average the trials of each."""
    items: dict[str, ItemRuns] = {}
    for result in results:
        item_id = result.test_case.dataset_item_id
        runs = items.get(item_id)
        if runs is None:
            runs = items[item_id] = ItemRuns([])
        runs.trials.append(result)
    for runs in items.values():
        _average(runs)
    return items


def pair_items(a: Mapping[str, ItemRuns], b: Mapping[str, ItemRuns]) -> Pairing:
    """Pair items by id, and what remains by content.

    Content that occurs twice in a run identifies nothing; such items stay without a partner.
    """
    partner = {item_id: item_id for item_id in a if item_id in b}
    changed = sum(a[item_id].content != b[item_id].content for item_id in partner)
    rest_a = _by_unique_content(a, partner)
    rest_b = _by_unique_content(b, partner)
    found = {rest_a[key]: rest_b[key] for key in rest_a if key in rest_b}
    partner.update(found)
    return Pairing(
        pairs=[(a[item_id], b[partner[item_id]]) for item_id in a if item_id in partner],
        only_in_a=len(a) - len(partner),
        only_in_b=len(b) - len(partner),
        changed=changed,
        by_content=len(found),
    )


def _by_unique_content(items: Mapping[str, ItemRuns], paired: Mapping[str, str]) -> dict[str, str]:
    hashes = {
        item_id: content_hash(runs.content)
        for item_id, runs in items.items()
        if item_id not in paired and runs.content
    }
    counts = Counter(hashes.values())
    return {key: item_id for item_id, key in hashes.items() if counts[key] == 1}


def _average(runs: ItemRuns) -> None:
    values: dict[str, list[float]] = {}
    seen: Counter[str] = Counter()
    for trial in runs.trials:
        for score in trial.score_results:
            seen[score.name] += 1
            if score.value is not None and score.is_scored:
                values.setdefault(score.name, []).append(float(score.value))
    runs.values = {name: math.fsum(part) / len(part) for name, part in values.items()}
    runs.missing = {name: 1 - len(values.get(name, ())) / count for name, count in seen.items()}
    runs.error_share = sum(t.error is not None for t in runs.trials) / len(runs.trials)
