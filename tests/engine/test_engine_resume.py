"""Which units of an earlier run stand."""

from __future__ import annotations

from opik_eval.engine.resume import plan_units, skip_done, sort_out
from opik_eval.records import DatasetItem, ErrorInfo, ExperimentItem, ItemScore


def items(count: int) -> list[DatasetItem]:
    return [DatasetItem(id=f"i{n}", data={"n": n}) for n in range(count)]


def stored(item: str, key: str | None, **fields: object) -> ExperimentItem:
    given = {"output": {"output": 1}, **fields}
    return ExperimentItem(
        id=f"x-{item}", experiment_id="e", dataset_item_id=item, resume_key=key, **given
    )


def test_units_stand_in_order_with_trials_side_by_side() -> None:
    """Indices count items in order, trials of an item one after the other; keys differ."""
    planned = list(plan_units(items(3), task="t", trial_count=2))
    assert [(u.index, u.dataset_item.id, u.trial) for u in planned] == [
        (0, "i0", 0),
        (1, "i0", 1),
        (2, "i1", 0),
        (3, "i1", 1),
        (4, "i2", 0),
        (5, "i2", 1),
    ]
    assert len({u.key for u in planned}) == 6
    assert planned[0].item == {"id": "i0", "n": 0}


def test_keys_depend_on_content_task_and_trial() -> None:
    """Another content, task or trial is other work; the item's id does not matter."""

    def key(data: dict, task: str = "t", identifier: str = "i") -> str:
        (planned,) = plan_units([DatasetItem(id=identifier, data=data)], task=task, trial_count=1)
        return planned.key

    assert key({"n": 1}) == key({"n": 1}, identifier="j")
    assert len({key({"n": 1}), key({"n": 2}), key({"n": 1}, task="u")}) == 3


def test_items_are_sorted_by_what_is_left_to_do() -> None:
    """Complete, to be scored, to be run: each stored item is in one of them, or nobody's."""
    failed_score = ItemScore(name="m", scoring_failed=True)
    error = ErrorInfo(exception_type="ValueError", traceback="")
    earlier = sort_out(
        [
            stored("complete", "k:m"),
            stored("other-metrics", "k:n"),
            stored("failed-score", "k:m", scores=(failed_score,)),
            stored("failed", "k:m", error_info=error, output=None),
            stored("empty", "k:m", output=None),
            stored("of-another-program", None),
        ],
        metrics_key="m",
    )
    assert list(earlier.complete) == [("complete", "k")]
    assert list(earlier.unscored) == [("other-metrics", "k"), ("failed-score", "k")]
    assert [item.dataset_item_id for item in earlier.failed] == ["failed", "empty"]


def test_what_stands_is_skipped_and_what_lacks_scores_is_reused() -> None:
    """Units with a complete result stand; those without scores run with their stored output."""
    planned = list(plan_units(items(3), task="t", trial_count=1))
    earlier = sort_out(
        [stored("i0", f"{planned[0].key}:m"), stored("i1", f"{planned[1].key}:old")],
        metrics_key="m",
    )
    to_run, standing = skip_done(planned, earlier)
    assert [unit.index for unit, _ in standing] == [0]
    assert [(unit.index, unit.stored is not None) for unit in to_run] == [(1, True), (2, False)]


def test_items_of_equal_content_keep_their_own_results() -> None:
    """Two items that say the same are two units: neither takes the other's result."""
    twins = [DatasetItem(id=name, data={"n": 1}) for name in ("a", "b")]
    planned = list(plan_units(twins, task="t", trial_count=1))
    earlier = sort_out([stored("b", f"{planned[1].key}:m")], metrics_key="m")
    to_run, standing = skip_done(planned, earlier)
    assert [unit.dataset_item.id for unit in to_run] == ["a"]
    assert [item.dataset_item_id for _, item in standing] == ["b"]


def test_scores_that_failed_are_not_kept_beside_the_new_ones() -> None:
    """A failed score of a metric that names its scores otherwise when it works does not stay."""
    failed_score = ItemScore(name="m", scoring_failed=True)
    good = ItemScore(name="other", value=1.0)
    planned = list(plan_units(items(1), task="t", trial_count=1))
    earlier = sort_out(
        [stored("i0", f"{planned[0].key}:m", scores=(failed_score, good))], metrics_key="m"
    )
    (unit,), _ = skip_done(planned, earlier)
    assert unit.stored is not None
    assert unit.stored.scores == (good,)
