"""Contract of datasets, their items and versions."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

import pytest

from opik_eval.errors import NotFoundError
from opik_eval.ids import new_id
from opik_eval.records import Dataset, DatasetItem, Experiment, utc_now
from opik_eval.storage.base import Storage
from opik_eval.storage.items import item_hash
from opik_eval.testing.storage_cases import StorageCase, add_dataset, contents, day, ids, item


class DatasetContract(StorageCase):
    """Items change by versions; every version stays readable."""

    def test_datasets_are_found_by_exact_name(self, storage: Storage) -> None:
        """Names compare exactly; datasets are listed by id."""
        first, second = ids(2)
        storage.write([Dataset(id=second, name="Q"), Dataset(id=first, name="q")])
        found = storage.find_dataset("Q")
        assert found is not None
        assert found.id == second
        assert storage.find_dataset("other") is None
        assert [d.id for d in storage.list_datasets()] == [first, second]

    def test_a_new_dataset_has_no_version(self, storage: Storage) -> None:
        """Before the first change there are neither items nor versions."""
        dataset_id = add_dataset(storage)
        assert contents(storage, dataset_id) == []
        assert list(storage.list_dataset_versions(dataset_id)) == []
        assert storage.change_items(dataset_id) is None
        assert storage.change_items(dataset_id, delete="all") is None
        assert list(storage.list_dataset_versions(dataset_id)) == []

    def test_changing_an_unknown_dataset_is_an_error(self, storage: Storage) -> None:
        """Items need their dataset."""
        with pytest.raises(NotFoundError):
            storage.change_items("unknown", upsert=[item("1", q=1)])
        assert list(storage.list_dataset_items("unknown")) == []
        assert list(storage.list_dataset_versions("unknown")) == []

    def test_every_change_is_a_version(self, storage: Storage) -> None:
        """Versions count added, modified and deleted items and keep their contents."""
        dataset_id = add_dataset(storage)
        made = [
            storage.change_items(dataset_id, upsert=[item("1", q=1), item("2", q=2)]),
            storage.change_items(
                dataset_id,
                upsert=[item("2", q=20), item("3", q=3)],
                delete=["1", "unknown"],
                change_description="second",
            ),
            storage.change_items(dataset_id, delete="all"),
        ]
        seen = self.reopen(storage)
        versions = list(seen.list_dataset_versions(dataset_id))
        assert versions == made
        assert [
            (v.number, v.name, v.items_total, v.items_added, v.items_modified, v.items_deleted)
            for v in versions
        ] == [(1, "v1", 2, 2, 0, 0), (2, "v2", 2, 1, 1, 1), (3, "v3", 0, 0, 0, 2)]
        assert versions[1].change_description == "second"
        assert {v.dataset_id for v in versions} == {dataset_id}
        assert len({v.id for v in versions}) == 3
        assert contents(seen, dataset_id, 1) == [{"q": 1}, {"q": 2}]
        assert contents(seen, dataset_id, 2) == [{"q": 20}, {"q": 3}]
        assert contents(seen, dataset_id, 3) == contents(seen, dataset_id) == []

    def test_an_unknown_version_is_an_error(self, storage: Storage) -> None:
        """Reading a version that does not exist does not look like an empty dataset."""
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("1", q=1)])
        for number in (0, 2, -1):
            with pytest.raises(NotFoundError):
                list(storage.list_dataset_items(dataset_id, version=number))

    def test_a_change_without_effect_makes_no_version(self, storage: Storage) -> None:
        """Repeating an upsert, or deleting what is not there, changes nothing."""
        dataset_id = add_dataset(storage)
        given = [item("1", q=1), item("2", q=2)]
        storage.change_items(dataset_id, upsert=given)
        assert storage.change_items(dataset_id, upsert=given) is None
        assert storage.change_items(dataset_id, upsert=given, delete="all") is None
        assert storage.change_items(dataset_id, delete=["unknown"]) is None
        assert storage.change_items(dataset_id, upsert=[item("3", q=3)], delete=["3"]) is not None
        assert len(list(storage.list_dataset_versions(dataset_id))) == 2

    def test_items_keep_the_order_of_their_first_insertion(self, storage: Storage) -> None:
        """Updates, deletes and returns do not move an item; ids do not matter."""
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("c", q=1), item("a", q=2)])
        storage.change_items(dataset_id, upsert=[item("b", q=3), item("c", q=4)])
        storage.change_items(dataset_id, delete=["a"])
        storage.change_items(dataset_id, upsert=[item("a", q=5)])
        assert contents(storage, dataset_id) == [{"q": 4}, {"q": 5}, {"q": 3}]

    def test_none_keeps_and_data_replaces(self, storage: Storage) -> None:
        """An upsert over an item replaces its data and keeps what it does not name."""
        dataset_id = add_dataset(storage)
        full = DatasetItem(id="1", data={"a": 1, "b": 2}, description="d", source="manual")
        storage.change_items(dataset_id, upsert=[full])
        storage.change_items(dataset_id, upsert=[DatasetItem(id="1", data={"a": 3}, tags=("t",))])
        (found,) = storage.list_dataset_items(dataset_id)
        assert (found.data, found.description, found.source) == ({"a": 3}, "d", "manual")
        assert found.tags == ("t",)

    def test_the_store_keeps_hash_and_times(self, storage: Storage) -> None:
        """Items carry the hash of their content, their creation and their last change."""
        dataset_id = add_dataset(storage)
        before = utc_now() - timedelta(milliseconds=1)
        storage.change_items(dataset_id, upsert=[item("1", q=1)])
        (created,) = storage.list_dataset_items(dataset_id)
        storage.change_items(dataset_id, upsert=[item("1", q=2)])
        (changed,) = storage.list_dataset_items(dataset_id)
        assert created.content_hash == item_hash(item("1", q=1))
        assert changed.content_hash == item_hash(item("other", q=2))
        assert created.created_at is not None
        assert created.created_at >= before
        assert changed.created_at == created.created_at
        assert changed.last_updated_at is not None
        assert created.last_updated_at is not None
        assert changed.last_updated_at > created.last_updated_at

    def test_given_times_are_kept(self, storage: Storage) -> None:
        """An import keeps the times of items and versions."""
        dataset_id = add_dataset(storage)
        given = DatasetItem(id="1", data={}, created_at=day(1), last_updated_at=day(2))
        version = storage.change_items(dataset_id, upsert=[given], changed_at=day(3))
        assert version is not None
        assert version.created_at == day(3)
        (found,) = storage.list_dataset_items(dataset_id)
        assert (found.created_at, found.last_updated_at) == (day(1), day(2))

    def test_the_same_history_has_the_same_version_ids(self, storage: Storage) -> None:
        """Version ids follow from the changes, so that an import finds them again."""
        made = []
        for name in ("a", "b"):
            storage.write([Dataset(id="fixed", name=name)])
            first = storage.change_items("fixed", upsert=[item("1", q=1)], changed_at=day(1))
            second = storage.change_items("fixed", delete=["1"], changed_at=day(2))
            assert first is not None
            assert second is not None
            made.append((first.id, second.id))
            storage.delete_dataset("fixed")
        assert made[0] == made[1]


class ItemContract(StorageCase):
    """Known content can be skipped; changes are atomic, of any size, and end with the dataset."""

    def test_known_content_is_skipped(self, storage: Storage) -> None:
        """With skip_known, content that another item has is not written; else it is."""
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("1", q=1)])
        repeated = [item("2", q=1), item("3", q=3), item("4", q=3)]
        version = storage.change_items(dataset_id, upsert=repeated, skip_known=True)
        assert version is not None
        assert version.items_added == 1
        assert contents(storage, dataset_id) == [{"q": 1}, {"q": 3}]
        storage.change_items(dataset_id, upsert=[item("2", q=1)])
        assert contents(storage, dataset_id) == [{"q": 1}, {"q": 3}, {"q": 1}]

    def test_content_that_was_updated_away_may_come_again(self, storage: Storage) -> None:
        """Hashes are those of the current content, within and across changes."""
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("1", q="old")])
        storage.change_items(dataset_id, upsert=[item("1", q="new")])
        storage.change_items(dataset_id, upsert=[item("2", q="old")], skip_known=True)
        assert contents(storage, dataset_id) == [{"q": "new"}, {"q": "old"}]
        swap = [item("1", q="newer"), item("3", q="new")]
        storage.change_items(dataset_id, upsert=swap, skip_known=True)
        assert contents(storage, dataset_id) == [{"q": "newer"}, {"q": "old"}, {"q": "new"}]

    def test_content_that_was_deleted_may_come_again(self, storage: Storage) -> None:
        """Deletes come first and free their content at once."""
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("1", q=1), item("2", q=2)])
        storage.change_items(dataset_id, delete=["1"], upsert=[item("3", q=1)], skip_known=True)
        assert contents(storage, dataset_id) == [{"q": 2}, {"q": 1}]
        storage.change_items(dataset_id, delete="all")
        storage.change_items(dataset_id, upsert=[item("4", q=1)], skip_known=True)
        assert contents(storage, dataset_id) == [{"q": 1}]

    def test_an_update_to_known_content_follows_the_rule(self, storage: Storage) -> None:
        """Making an item equal another is skipped with skip_known and done without it."""
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("1", q=1), item("2", q=2)])
        same = [item("2", q=1)]
        assert storage.change_items(dataset_id, upsert=same, skip_known=True) is None
        assert storage.change_items(dataset_id, upsert=same) is not None
        assert contents(storage, dataset_id) == [{"q": 1}, {"q": 1}]

    def test_a_failing_source_of_items_changes_nothing(self, storage: Storage) -> None:
        """A change is all or nothing."""
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("1", q=1)])

        def items() -> Iterator[DatasetItem]:
            yield item("2", q=2)
            raise RuntimeError("source broke")

        with pytest.raises(RuntimeError, match="source broke"):
            storage.change_items(dataset_id, upsert=items(), delete="all")
        assert contents(storage, dataset_id) == [{"q": 1}]
        assert len(list(storage.list_dataset_versions(dataset_id))) == 1

    def test_many_items_are_all_listed(self, storage: Storage) -> None:
        """Twelve thousand items go in by one change and come out in order."""
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=(item(str(n), n=n) for n in range(12_000)))
        assert contents(storage, dataset_id) == [{"n": n} for n in range(12_000)]
        assert len(list(storage.list_dataset_versions(dataset_id))) == 1

    def test_deleting_a_dataset_keeps_its_experiments(self, storage: Storage) -> None:
        """Items and versions go, experiments stay, and the id starts afresh."""
        dataset_id = add_dataset(storage)
        storage.change_items(dataset_id, upsert=[item("1", q=1)])
        storage.write([Experiment(id=new_id(), dataset_id=dataset_id)])
        storage.delete_dataset(dataset_id)
        storage.delete_dataset("unknown")
        assert storage.find_dataset("questions") is None
        assert list(storage.list_dataset_items(dataset_id)) == []
        assert list(storage.list_dataset_versions(dataset_id)) == []
        assert len(list(storage.list_experiments())) == 1
        with pytest.raises(NotFoundError):
            storage.change_items(dataset_id, upsert=[item("1", q=1)])
