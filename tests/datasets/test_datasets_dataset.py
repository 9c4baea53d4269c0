"""Datasets in a store: items, ids, versions, views, and sets that are named by their content."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.datasets import (
    Dataset,
    PinnedDataset,
    create_dataset,
    from_items,
    get_dataset,
    get_or_create_dataset,
)
from opik_eval.datasets.dataset import pinned_dataset
from opik_eval.datasets.items import is_uuid, make_item
from opik_eval.errors import ConfigError, ConflictError, DatasetError, NotFoundError
from opik_eval.records import utc_now
from opik_eval.serialization import dumps
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage

ROWS = [{"q": "a", "n": 1}, {"q": "b", "n": 2}, {"q": "c", "n": 3}]
FIXED = "0190a5c8-0000-7000-8000-000000000001"
few_rows = st.lists(
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 2) | st.none(), max_size=2),
    min_size=1,
    max_size=6,
)


@pytest.fixture
def dataset(storage: Storage) -> Dataset:
    made = create_dataset(storage, "letters", description="some")
    made.insert(ROWS)
    return made


def fields(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    """The rows without the ids that the store gave."""
    return [{k: v for k, v in row.items() if k != "id" or not is_uuid(v)} for row in rows]


class TestItems:
    def test_inserted_items_come_back_in_order(self, dataset):
        """Each row gets a UUID beside the user's fields."""
        assert fields(dataset.get_items()) == ROWS
        assert fields(list(dataset)) == ROWS
        assert all(is_uuid(row["id"]) for row in dataset.get_items())
        assert len(dataset) == 3

    def test_duplicates_are_left_out_unless_wanted(self, dataset):
        """Content that is there already is not inserted again; other content in a row is."""
        assert dataset.insert(ROWS) is None
        assert dataset.insert([*ROWS, {"q": "d"}, {"q": "d"}]).items_added == 1
        assert dataset.insert(ROWS[:1], deduplication=False).items_total == 5

    def test_nothing_makes_no_version(self, dataset):
        """Inserting no items changes nothing."""
        assert dataset.insert([]) is None
        assert dataset.version.number == 1

    @pytest.mark.parametrize("identifier", [FIXED, uuid.UUID(FIXED), FIXED.upper()])
    def test_a_uuid_is_the_id_of_the_item(self, dataset, identifier):
        """A field ``id`` that is a UUID is taken as the item's id, and replaces that item."""
        dataset.insert([{"id": identifier, "q": "new"}])
        (record,) = [r for r in dataset.records() if r.data.get("q") == "new"]
        assert record.id == str(identifier)
        assert "id" not in record.data
        dataset.insert([{"id": identifier, "q": "newer"}])
        assert [r.data["q"] for r in dataset.records() if r.id == record.id] == ["newer"]

    @pytest.mark.parametrize("identifier", ["q-1", 17, None, "0190a5c8000070008000000000000001"])
    def test_any_other_id_stays_the_users(self, storage, identifier):
        """A field ``id`` of another form is data, and what the task sees."""
        made = create_dataset(storage, "own ids")
        made.insert([{"id": identifier, "q": "a"}])
        assert made.get_items() == [{"id": identifier, "q": "a"}]
        (record,) = made.records()
        assert record.data == {"id": identifier, "q": "a"}
        assert is_uuid(record.id)

    def test_get_items_takes_a_number_and_a_filter(self, dataset):
        """Both limits apply, the filter first; zero gives none."""
        assert fields(dataset.get_items(2)) == ROWS[:2]
        assert dataset.get_items(0) == []
        assert fields(dataset.get_items(filter_string="data.n >= 2")) == ROWS[1:]
        assert fields(dataset.get_items(1, "data.n >= 2")) == ROWS[1:2]
        with pytest.raises(DatasetError, match="nb_samples=-1 is negative"):
            dataset.get_items(-1)
        with pytest.raises(ConfigError):
            dataset.get_items(filter_string="nonsense >")

    def test_update_replaces_by_id(self, dataset):
        """Changed items go back under their ids and in their places."""
        rows = dataset.get_items()
        version = dataset.update([{**rows[1], "n": 20}])
        assert (version.items_modified, version.items_total) == (1, 3)
        assert [row["n"] for row in dataset] == [1, 20, 3]
        assert [row["id"] for row in dataset] == [row["id"] for row in rows]

    def test_update_finds_ids_of_the_users_own(self, storage):
        """Where items have ids of the user's, these tell which is meant, by value and type."""
        made = create_dataset(storage, "own")
        made.insert([{"id": "1", "q": "text"}, {"id": 1, "q": "number"}])
        made.update([{"id": 1, "q": "changed"}])
        assert made.get_items() == [{"id": "1", "q": "text"}, {"id": 1, "q": "changed"}]

    @pytest.mark.parametrize("row", [{"q": "no id"}, {"id": FIXED}, {"id": ["a"]}])
    def test_update_of_what_is_not_there_changes_nothing(self, dataset, row):
        """One unknown id refuses the whole update."""
        rows = dataset.get_items()
        with pytest.raises(DatasetError, match="of item 1 is not in dataset 'letters'"):
            dataset.update([{**rows[0], "n": 10}, row])
        assert dataset.get_items() == rows

    def test_update_by_an_id_of_several(self, storage):
        """An id that several items share does not say which is meant."""
        made = create_dataset(storage, "own")
        made.insert([{"id": "x", "n": 1}, {"id": "x", "n": 2}])
        with pytest.raises(DatasetError, match="is that of 2 items of dataset 'own'"):
            made.update([{"id": "x", "n": 3}])

    def test_delete(self, dataset):
        """Items go by id, one or many; unknown ids are no error."""
        first, second, third = (row["id"] for row in dataset.get_items())
        assert dataset.delete([first, FIXED]).items_deleted == 1
        assert dataset.delete(second).items_total == 1
        assert dataset.delete([FIXED]) is None
        assert [row["id"] for row in dataset] == [third]

    def test_delete_by_ids_of_the_users_own(self, storage):
        """What ``get_items`` shows as id is what ``delete`` takes, for all items that have it."""
        made = create_dataset(storage, "own")
        made.insert([{"id": "x", "n": 1}, {"id": "x", "n": 2}, {"id": "y"}, {"q": "none"}])
        made.delete(["x", "unknown"])
        assert fields(made.get_items()) == [{"id": "y"}, {"q": "none"}]

    def test_clear(self, dataset):
        """All items go in one version; the old one stays readable."""
        assert dataset.clear().items_deleted == 3
        assert len(dataset) == 0
        assert dataset.clear() is None
        assert fields(dataset.get_version_view("v1").get_items()) == ROWS

    def test_make_item(self):
        """An item is a copy of the row with an id and a time."""
        row = {"q": ["a"]}
        item = make_item(row)
        assert item.data == row
        assert is_uuid(item.id)
        assert item.created_at <= utc_now()
        assert make_item({"id": FIXED}, item_id="other").id == "other"


class TestSources:
    def test_renaming_and_ignoring(self, dataset):
        """Fields are renamed and left out by the names they have in the source."""
        dataset.insert_from(
            [{"Question": "z", "n": 9, "junk": 1}],
            keys_mapping={"Question": "q"},
            ignore_keys=["junk"],
        )
        assert fields(dataset.get_items())[-1] == {"q": "z", "n": 9}

    def test_two_fields_of_one_name(self, dataset):
        """A renaming that would hide a field is refused, and nothing is inserted."""
        with pytest.raises(DatasetError, match="two fields of item 1 the same name"):
            dataset.insert_from([{"a": 1}, {"a": 1, "b": 2}], keys_mapping={"a": "b"})
        assert len(dataset) == 3

    def test_json(self, dataset):
        """A JSON list is inserted; a text that is none is an error, not a path."""
        dataset.insert_from_json('[{"x": 1, "y": 2}]', {"x": "q"}, ["y"])
        assert fields(dataset.get_items())[-1] == {"q": 1}
        for text, problem in [("[", "not JSON"), ('"a.csv"', "not a JSON list"), ("[1]", "item 0")]:
            with pytest.raises(DatasetError, match=f"insert_from_json.*{problem}|{problem}"):
                dataset.insert_from_json(text)

    def test_pandas(self, dataset):
        """A frame's rows are inserted without its missing cells."""
        frame = pd.DataFrame({"x": ["z", None], "y": [1, 2]})
        dataset.insert_from_pandas(frame, {"x": "q"}, ["y"])
        assert fields(dataset.get_items())[-2:] == [{"q": "z"}, {}]

    def test_files(self, dataset, tmp_path):
        """Lines of a JSONL file go in, whatever its ending, and any known file by its path."""
        path = tmp_path / "rows.txt"
        path.write_text('{"x": 5}\n', encoding="utf-8")
        dataset.read_jsonl_from_file(path, {"x": "q"})
        dataset.read_jsonl_from_file(str(path), ignore_keys=["x"])
        dataset.insert_from(path.rename(tmp_path / "rows.jsonl"))
        assert fields(dataset.get_items())[-3:] == [{"q": 5}, {}, {"x": 5}]

    def test_another_dataset(self, dataset, storage):
        """A dataset can be copied into another; its items keep their ids."""
        copy = create_dataset(storage, "copy")
        copy.insert(dataset)
        assert copy.get_items() == dataset.get_items()

    def test_out(self, dataset, tmp_path):
        """Items go out as a frame, as JSON and as lines that read back."""
        rows = dataset.get_items()
        frame = dataset.to_pandas()
        assert frame.columns[0] == "id"
        assert frame.to_dict("records") == rows
        assert json.loads(dataset.to_json()) == rows
        dataset.to_jsonl(tmp_path / "out.jsonl")
        lines = (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()
        assert list(map(json.loads, lines)) == rows


class TestVersions:
    def test_every_change_is_a_version(self, dataset):
        """Versions are numbered and named, count their changes, and stay as they were."""
        rows = dataset.get_items()
        dataset.delete([rows[0]["id"]])
        dataset.update([{**rows[1], "n": 20}])
        assert dataset.version.name == "v3"
        assert [len(dataset.get_version_view(f"v{n}")) for n in (1, 2, 3)] == [3, 2, 2]
        assert dataset.get_version_view("v1").get_items() == rows
        assert dataset.get_version_view("v2").get_items() == rows[1:]
        assert dataset.get_version_view("v2").version.items_deleted == 1

    def test_unknown_version(self, dataset, storage):
        """The error lists the versions there are."""
        with pytest.raises(NotFoundError, match=r"no version 'v9'\n.*versions are v1"):
            dataset.get_version_view("v9")
        with pytest.raises(NotFoundError, match="none yet"):
            create_dataset(storage, "empty").get_version_view("v1")

    def test_a_dataset_without_items(self, storage):
        """It has no version, no items, and can be viewed all the same."""
        empty = create_dataset(storage, "empty")
        assert (len(empty), empty.version, empty.get_items()) == (0, None, [])
        assert empty.pinned() is empty
        assert len(empty.shuffle()) == 0
        assert empty.shuffle().version is None

    def test_views_do_not_move(self, dataset):
        """Views and pinned versions hold the items of their making, and know the version."""
        view, pinned = dataset.where("data.n > 1"), dataset.pinned()
        dataset.clear()
        assert fields(view.get_items()) == ROWS[1:]
        assert fields(pinned.get_items()) == ROWS
        assert (len(view), len(pinned)) == (2, 3)
        assert view.version == pinned.version == dataset.get_version_view("v1").version
        assert view.dataset is pinned.dataset is dataset
        assert pinned.pinned() is pinned
        assert pinned.name == view.name == "letters"

    def test_views_of_views(self, dataset):
        """Views can be narrowed further; parts carry their names."""
        parts = dataset.shuffle(seed=1).split({"train": 0.67, "test": 0.33})
        assert [part.name for part in parts.values()] == ["letters/train", "letters/test"]
        assert len(parts["train"].subset(1)) == 1
        both = [row["q"] for part in parts.values() for row in part]
        assert sorted(both) == ["a", "b", "c"]
        assert dataset.subset(2).get_items()[0] in dataset.get_items()


class TestNames:
    def test_create_and_get(self, storage):
        """A name is taken once; an unknown one lists what is there."""
        made = create_dataset(storage, "b", description="text", project_name="p")
        create_dataset(storage, "a")
        assert get_dataset(storage, "b").record == made.record
        assert (made.record.description, made.record.project_name) == ("text", "p")
        with pytest.raises(ConflictError, match="'b' is taken"):
            create_dataset(storage, "b")
        with pytest.raises(NotFoundError, match=r"no dataset 'c' in memory:\n.*: a, b$"):
            get_dataset(storage, "c")
        with pytest.raises(DatasetError, match="needs a name"):
            create_dataset(storage, " ")

    def test_long_lists_are_cut_and_say_so(self, storage):
        """Of many names the first are listed, with the number of the others."""
        for number in range(23):
            create_dataset(storage, f"d{number:02}")
        with pytest.raises(NotFoundError, match=r"d19 and 3 more$"):
            get_dataset(storage, "x")

    def test_nothing_there(self, storage):
        """In an empty store the error says that there is none."""
        with pytest.raises(NotFoundError, match="datasets there: none"):
            get_dataset(storage, "x")

    def test_get_or_create_in_many_threads(self, tmp_path):
        """Whoever loses the race gets the dataset of the winner."""
        storage = open_storage(f"file:{tmp_path / 'a.db'}")
        with ThreadPoolExecutor(8) as pool:
            made = list(pool.map(lambda _: get_or_create_dataset(storage, "x").id, range(16)))
        storage.close()
        assert len(set(made)) == 1

    def test_losing_the_race_to_create(self, storage):
        """A name that appears between the look and the write is no error."""

        class Late:
            def __init__(self, inner: Storage) -> None:
                self.inner, self.looks = inner, 0

            def find_dataset(self, name: str) -> object:
                self.looks += 1
                if self.looks == 1:
                    create_dataset(self.inner, name)
                    return None
                return self.inner.find_dataset(name)

            def __getattr__(self, name: str) -> object:
                return getattr(self.inner, name)

        assert get_or_create_dataset(Late(storage), "x").id == get_dataset(storage, "x").id

    def test_the_dataset_of_an_experiment(self, dataset, storage):
        """It is the version that was evaluated; if that is gone it is an error, not another one."""
        version = dataset.version
        dataset.clear()
        found = pinned_dataset(storage, "letters", version.id)
        assert isinstance(found, PinnedDataset)
        assert fields(found.get_items()) == ROWS
        assert pinned_dataset(storage, "letters", None).name == "letters"
        with pytest.raises(DatasetError, match="does not have the version"):
            pinned_dataset(storage, "letters", "another")
        for name in ("gone", None):
            with pytest.raises(DatasetError, match="is gone from memory:"):
                pinned_dataset(storage, name, version.id)


class TestFromItems:
    def test_same_items_are_the_same_dataset(self, storage):
        """A name made from the content finds the items again, in any store, under the same ids."""
        first = from_items(ROWS, storage=storage)
        again = from_items(iter(ROWS), storage=storage)
        elsewhere = from_items(ROWS, storage=open_storage("memory:"))
        assert first.id == again.id
        assert first.version.number == again.version.number == 1
        assert first.get_items() == again.get_items() == elsewhere.get_items()
        assert first.name == elsewhere.name != from_items(ROWS[:2], storage=storage).name

    def test_duplicates_are_kept(self, storage):
        """The items are exactly those of the source."""
        twice = from_items([*ROWS, *ROWS], storage=storage)
        assert fields(twice.get_items()) == [*ROWS, *ROWS]
        assert len({row["id"] for row in twice}) == 6

    def test_ids_of_the_rows_count(self, storage):
        """Rows that bring a UUID keep it."""
        made = from_items([{"id": FIXED, "q": "a"}], storage=storage, name="x")
        assert made.get_items() == [{"id": FIXED, "q": "a"}]
        from_items([{"id": FIXED, "q": "b"}], storage=storage, name="x")
        assert made.get_items() == [{"id": FIXED, "q": "b"}]
        assert made.version.items_modified == 1

    def test_a_name_with_other_items_gets_a_new_version(self, storage):
        """What is still there keeps its id, what is gone goes, what is new comes last."""
        made = from_items(ROWS, storage=storage, name="x")
        before = {row["q"]: row["id"] for row in made}
        from_items([{"q": "new"}, ROWS[2], ROWS[0]], storage=storage, name="x")
        assert fields(made.get_items()) == [ROWS[0], ROWS[2], {"q": "new"}]
        assert {row["q"]: row["id"] for row in made if row["q"] in before} == {
            name: before[name] for name in "ac"
        }
        assert made.version.number == 2
        from_items(made.get_items(), storage=storage, name="x")
        assert made.version.number == 2

    def test_a_set_named_by_content_that_was_changed_is_mended(self, storage):
        """If somebody inserted into it, it is again what its name says."""
        made = from_items(ROWS, storage=storage)
        made.insert([{"q": "slipped in"}])
        assert fields(from_items(ROWS, storage=storage).get_items()) == ROWS

    def test_items_inserted_otherwise_are_recognised(self, dataset, storage):
        """Items of the same content keep their ids, however they came in."""
        before = dataset.get_items()
        from_items(ROWS, storage=storage, name="letters")
        assert dataset.get_items() == before
        assert dataset.version.number == 1

    def test_no_items(self, storage):
        """An empty source is an error, and makes no dataset."""
        with pytest.raises(DatasetError, match="has no items"):
            from_items([], storage=storage)
        assert list(storage.list_datasets()) == []

    @given(few_rows, few_rows)
    def test_the_dataset_always_has_exactly_the_items(self, one, other):
        """Whatever was there before, afterwards there are these items, each as often as given."""
        storage = open_storage("memory:")
        from_items(one, storage=storage, name="x")
        made = from_items(other, storage=storage, name="x")
        assert sorted(map(dumps, fields(made.get_items()))) == sorted(map(dumps, other))
        version = made.version
        from_items(other, storage=storage, name="x")
        assert made.version == version
