"""Changes that come in groups, and pages: the backends agree with each other and with the rule."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import given, settings

from opik_eval.errors import ConflictError
from opik_eval.records import Dataset, DatasetItem, Span, Trace
from opik_eval.storage.query import parse_filter
from opik_eval.storage.workspaces import WorkspaceStorage, open_workspaces

DAY = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
STEP = st.tuples(
    st.sampled_from([None, "g1", "g1", "g2"]),
    st.lists(st.tuples(st.sampled_from("abcd"), st.integers(0, 2)), max_size=4),
    st.lists(st.sampled_from("abcd"), max_size=3),
)


@pytest.fixture(params=["memory:", "file:"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[WorkspaceStorage]:
    """A store of each kind."""
    target = f"file:{tmp_path / 'opik.db'}" if request.param == "file:" else request.param
    workspaces = open_workspaces(target)
    yield workspaces.storage("default")
    workspaces.close()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[WorkspaceStorage, ...]]:
    """A memory store and a file store."""
    path = tmp_path_factory.mktemp("groups") / "opik.db"
    opened = [open_workspaces(target) for target in ("memory:", f"file:{path}")]
    yield tuple(workspaces.storage("default") for workspaces in opened)
    for workspaces in opened:
        workspaces.close()


@settings(max_examples=40)
@given(steps=st.lists(STEP, max_size=10), name=st.uuids())
def test_backends_agree_on_groups(
    pair: tuple[WorkspaceStorage, ...], steps: list[tuple], name: object
) -> None:
    """Any history of grouped changes gives the same versions and items everywhere."""
    dataset = f"d {name} {len(steps)} {hash(str(steps))}"
    for storage in pair:
        storage.write([Dataset(id=dataset, name=dataset)])
    for number, (group, upserts, deletes) in enumerate(steps):
        made = [
            storage.change_items(
                dataset,
                upsert=[DatasetItem(id=item, data={"v": value}) for item, value in upserts],
                delete=deletes,
                group_id=group,
                changed_at=DAY + dt.timedelta(seconds=number),
            )
            for storage in pair
        ]
        assert made[0] == made[1]
    histories = [list(storage.list_dataset_versions(dataset)) for storage in pair]
    assert histories[0] == histories[1]
    for version in histories[0]:
        contents = [
            [(i.id, i.data) for i in s.list_dataset_items(dataset, version=version.number)]
            for s in pair
        ]
        assert contents[0] == contents[1]
        assert len(contents[0]) == version.items_total


def test_a_group_extends_its_version(store: WorkspaceStorage) -> None:
    """Calls of one group make one version while no other comes between, and then the next."""
    store.write([Dataset(id="d", name="d")])
    for item in "abc":
        store.change_items("d", upsert=[DatasetItem(id=item, data={})], group_id="g")
    (version,) = store.list_dataset_versions("d")
    assert (version.items_total, version.items_added) == (3, 3)
    store.change_items("d", delete=["a"])
    store.change_items("d", delete=["b"], group_id="g")
    store.change_items("d", upsert=[DatasetItem(id="b", data={"n": 1})], group_id="g")
    *_, last = store.list_dataset_versions("d")
    assert (last.number, last.items_modified, last.items_deleted) == (3, 1, 0)
    assert [i.id for i in store.list_dataset_items("d", version=1)] == ["a", "b", "c"]


def test_changes_from_an_old_version_are_refused(store: WorkspaceStorage) -> None:
    """A change that starts from another version than the latest does nothing."""
    store.write([Dataset(id="d", name="d")])
    one = [DatasetItem(id="a", data={})]
    with pytest.raises(ConflictError, match="version 0"):
        store.change_items("d", upsert=one, base_version=1)
    assert list(store.list_dataset_versions("d")) == []
    store.change_items("d", upsert=one, base_version=0)
    with pytest.raises(ConflictError, match="version 1"):
        store.change_items("d", delete="all", base_version=0)
    store.change_items("d", delete="all", base_version=1)


def test_pages_are_slices_of_lists(store: WorkspaceStorage) -> None:
    """Pages and counts are what the whole list says."""
    traces = [Trace(id=f"t{n}", project_name="P", name="even" * (n % 2 == 0)) for n in range(7)]
    spans = [Span(id=f"s{n}", trace_id=f"t{n % 2}", project_name="P") for n in range(7)]
    store.write([*traces, *spans, Trace(id="t99", project_name="other")])
    where = parse_filter("name = even", "trace")
    for limit, skip, before in ((3, 0, None), (3, 2, None), (2, 1, "t5"), (9, 0, "t0")):
        for chosen in (None, where):
            full = store.list_traces(project_name="p", where=chosen, newest_first=True)
            rows = [t for t in full if before is None or t.id < before][skip : skip + limit]
            page = store.page_traces(
                project_name="p", where=chosen, before_id=before, skip=skip, limit=limit
            )
            assert list(page) == rows
    assert store.count_traces() == 8
    assert store.count_traces(project_name="p", where=where) == 4
    mine = store.page_spans(project_name="p", trace_ids=["t1"], before_id="s5", limit=9)
    assert [span.id for span in mine] == ["s3", "s1"]
    assert store.count_spans(trace_ids=["t1"]) == 3
    assert store.count_spans(project_name="other") == 0
