"""Contract of experiments, prompts and optimizations."""

from __future__ import annotations

from opik_eval.ids import new_id
from opik_eval.records import (
    Experiment,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Optimization,
    Prompt,
    PromptVersion,
    ScoreSummary,
    Trace,
)
from opik_eval.storage.base import Storage
from opik_eval.testing.storage_cases import StorageCase, add_experiment, ids, score


class RunContract(StorageCase):
    """Experiments, prompts and optimizations are found by their properties."""

    def test_experiments_are_listed_by_property(self, storage: Storage) -> None:
        """Each given property must hold exactly; names may repeat."""
        known = ids(4)
        storage.write(
            [
                Experiment(id=known[1], name="a", dataset_name="d", optimization_id="o"),
                Experiment(id=known[0], name="a", dataset_name="d"),
                Experiment(id=known[3], name="A", dataset_name="e"),
                Experiment(id=known[2]),
            ]
        )
        assert [e.id for e in storage.list_experiments()] == known
        assert [e.id for e in storage.list_experiments(newest_first=True)] == known[::-1]
        assert [e.id for e in storage.list_experiments(name="a")] == known[:2]
        assert [e.id for e in storage.list_experiments(name="a", optimization_id="o")] == known[1:2]
        assert [e.id for e in storage.list_experiments(dataset_name="e")] == known[3:]
        assert list(storage.list_experiments(name="?")) == []
        assert storage.find_experiment("?") is None

    def test_experiment_items_are_listed_by_id(self, storage: Storage) -> None:
        """An experiment's own items come in the order of their ids, before it exists or after."""
        known = ids(3)
        for item_id in reversed(known):
            storage.write([ExperimentItem(id=item_id, experiment_id="e", dataset_item_id="i")])
        storage.write([ExperimentItem(id=new_id(), experiment_id="f", dataset_item_id="i")])
        assert [i.id for i in storage.list_experiment_items("e")] == known
        assert list(storage.list_experiment_items("?")) == []

    def test_single_items_can_be_deleted(self, storage: Storage) -> None:
        """The named items go, their traces and the other items stay, unknown ids are no error."""
        storage.write([Trace(id="t"), score("t")])
        storage.write(
            ExperimentItem(id=i, experiment_id="e", dataset_item_id=i, trace_id="t") for i in "ab"
        )
        storage.delete_experiment_items(["a", "unknown"])
        assert [i.id for i in self.reopen(storage).list_experiment_items("e")] == ["b"]
        assert storage.find_trace("t") is not None
        assert [s.count for s in storage.summarize_scores(["e"])] == [1]

    def test_deleting_experiments_keeps_their_traces(self, storage: Storage) -> None:
        """Items go with their experiment, traces stay, unknown ids are no error."""
        first, second = add_experiment(storage), add_experiment(storage)
        for experiment_id in (first, second):
            storage.write(
                [
                    Trace(id=f"t{experiment_id}"),
                    ExperimentItem(
                        id=new_id(),
                        experiment_id=experiment_id,
                        dataset_item_id="i",
                        trace_id=f"t{experiment_id}",
                    ),
                ]
            )
        storage.delete_experiments([first, "unknown"])
        seen = self.reopen(storage)
        assert [e.id for e in seen.list_experiments()] == [second]
        assert list(seen.list_experiment_items(first)) == []
        assert len(list(seen.list_experiment_items(second))) == 1
        assert seen.find_trace(f"t{first}") is not None

    def test_summaries_count_scores_of_people(self, storage: Storage) -> None:
        """Values are those on the traces, one mean per item; failures are those of the items."""
        failed = ItemScore(name="judge", scoring_failed=True)
        unscored = ItemScore(name="exact", value=None)
        good = ItemScore(name="exact", value=1)
        for experiment, trace, scores in (
            ("e1", "t1", (good, failed)),
            ("e1", "t2", (good,)),
            ("e1", "t3", (unscored, failed)),
            ("e1", None, ()),
            ("e2", "t4", (good,)),
        ):
            storage.write(
                [
                    ExperimentItem(
                        id=new_id(),
                        experiment_id=experiment,
                        dataset_item_id="i",
                        trace_id=trace,
                        scores=scores,
                    )
                ]
            )
        storage.write([score("t1", "exact", 1), score("t2", "exact", 0), score("t4", "exact", 1)])
        storage.write([FeedbackScore(entity_id="t1", name="exact", value=0, author="ann")])
        storage.write([FeedbackScore(entity_id="t2", name="liked", value=4, author="ann")])
        storage.write([score("elsewhere", "exact", 9)])
        storage.write([FeedbackScore(entity_type="span", entity_id="t1", name="x", value=1)])
        assert storage.summarize_scores(["e2", "e1", "unknown", "e1"]) == [
            ScoreSummary(experiment_id="e1", name="exact", count=2, mean=0.25, failed=1),
            ScoreSummary(experiment_id="e1", name="judge", count=0, mean=None, failed=2),
            ScoreSummary(experiment_id="e1", name="liked", count=1, mean=4, failed=0),
            ScoreSummary(experiment_id="e2", name="exact", count=1, mean=1, failed=0),
        ]
        assert storage.summarize_scores([]) == []

    def test_items_that_share_a_trace_each_count(self, storage: Storage) -> None:
        """A trace that serves two items gives both its value."""
        for item_id in ids(2):
            storage.write(
                [
                    ExperimentItem(
                        id=item_id, experiment_id="e", dataset_item_id=item_id, trace_id="t"
                    )
                ]
            )
        storage.write([score("t", "n", 0.5)])
        (summary,) = storage.summarize_scores(["e"])
        assert (summary.count, summary.mean) == (2, 0.5)

    def test_prompts_have_numbered_versions(self, storage: Storage) -> None:
        """Prompts are found by exact name; versions come by number."""
        first, second = ids(2)
        storage.write([Prompt(id=second, name="P"), Prompt(id=first, name="p")])
        storage.write([_version(second, number) for number in (10, 2, 1)])
        storage.write([_version(first, 1)])
        found = storage.find_prompt("P")
        assert found is not None
        assert found.id == second
        assert storage.find_prompt("?") is None
        assert [p.id for p in storage.list_prompts()] == [first, second]
        assert [v.number for v in storage.list_prompt_versions(second)] == [1, 2, 10]
        assert list(storage.list_prompt_versions("?")) == []

    def test_deleting_prompts_takes_their_versions(self, storage: Storage) -> None:
        """Versions go with their prompt, unknown ids are no error, and the name is free."""
        storage.write([Prompt(id="p1", name="a"), Prompt(id="p2", name="b")])
        storage.write([_version("p1", 1), _version("p2", 1)])
        storage.delete_prompts(["p1", "unknown"])
        assert [p.id for p in storage.list_prompts()] == ["p2"]
        assert list(storage.list_prompt_versions("p1")) == []
        assert len(list(storage.list_prompt_versions("p2"))) == 1
        storage.write([Prompt(id="p3", name="a")])

    def test_optimizations_are_listed_by_property(self, storage: Storage) -> None:
        """Each given property must hold exactly; deleting one keeps its trials."""
        first, second = ids(2)
        storage.write([Optimization(id=second, name="a", dataset_name="d")])
        storage.write([Optimization(id=first, name="a", dataset_name="e")])
        trial = add_experiment(storage, optimization_id=first)
        assert [o.id for o in storage.list_optimizations()] == [first, second]
        assert [o.id for o in storage.list_optimizations(name="a", dataset_name="d")] == [second]
        assert list(storage.list_optimizations(name="A")) == []
        storage.delete_optimizations([first, "unknown"])
        assert storage.find_optimization(first) is None
        assert [o.id for o in storage.list_optimizations()] == [second]
        assert storage.find_experiment(trial) is not None


def _version(prompt_id: str, number: int) -> PromptVersion:
    return PromptVersion(
        id=new_id(), prompt_id=prompt_id, commit=f"{number:08x}", number=number, template="t"
    )
