"""The merge of partial writes: a semilattice, so that no order of arrival matters."""

from __future__ import annotations

from datetime import timedelta
from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.records import (
    Dataset,
    DatasetItem,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Span,
    Trace,
)
from opik_eval.storage.items import ItemChange, item_hash, next_version, plan_change
from opik_eval.storage.merge import (
    ArrivalClock,
    decode,
    encode,
    implied_project,
    key_of,
    merge,
    merged,
    project_key,
)
from opik_eval.testing.storage_cases import day

values = st.none() | st.sampled_from([0, 1, 1.0, True, "", "a", [1], {"a": None}])
words = st.none() | st.sampled_from(["", "a", "b"])
stamps = st.none() | st.integers(0, 3).map(day)
arrivals = st.integers(0, 4).map(day)
REQUIRED = {
    Project: {"id": "1", "name": "P"},
    Trace: {"id": "1"},
    Span: {"id": "1", "trace_id": "t"},
    FeedbackScore: {"entity_id": "1", "name": "n", "value": 1},
    Dataset: {"id": "1", "name": "d"},
    Experiment: {"id": "1"},
    ExperimentItem: {"id": "1", "experiment_id": "e", "dataset_item_id": "i"},
    Prompt: {"id": "1", "name": "p"},
    PromptVersion: {"id": "1", "prompt_id": "p", "commit": "c", "number": 1, "template": "t"},
    Optimization: {"id": "1"},
}
OPTIONAL = {
    Project: {"description": words, "name": st.sampled_from(["P", "p"])},
    Trace: {"name": words, "input": values, "tags": st.none() | st.lists(st.sampled_from("ab"))},
    Span: {"name": words, "output": values, "cost_usd": st.none() | st.sampled_from([0.5, 1.0])},
    FeedbackScore: {"reason": words, "value": st.sampled_from([0, 0.5]), "source": st.just("ui")},
    Dataset: {"description": words, "name": st.sampled_from(["d", "e"])},
    Experiment: {"status": words, "config": st.none() | st.dictionaries(st.just("k"), values)},
    ExperimentItem: {"output": values, "trial_id": st.integers(0, 2)},
    Prompt: {"description": words, "template_structure": st.sampled_from([None, "text", "chat"])},
    PromptVersion: {"change_description": words, "type": st.sampled_from(["jinja2", "python"])},
    Optimization: {"name": words, "metadata": st.none() | st.dictionaries(st.just("k"), values)},
}


@st.composite
def states(draw, kind):
    """One write of a record of that type, with any of its fields named."""
    fields = dict(REQUIRED[kind])
    for name, strategy in OPTIONAL[kind].items():
        if draw(st.booleans()):
            fields[name] = draw(strategy)
    fields["last_updated_at"] = draw(stamps)
    return merged(kind.model_validate(fields), draw(arrivals))


@pytest.mark.parametrize("kind", list(REQUIRED), ids=lambda kind: kind.__name__)
def test_merging_is_a_semilattice(kind) -> None:
    """Commutative, associative and idempotent, times included, for every writable type."""

    @given(states(kind), states(kind), states(kind))
    def check(a, b, c) -> None:
        assert merge(a, b) == merge(b, a)
        assert merge(merge(a, b), c) == merge(a, merge(b, c))
        assert merge(a, a) == a
        assert merge(merge(a, b), b) == merge(a, b)
        assert encode(merge(a, b).record()) == encode(merge(b, a).record())

    check()


@given(
    st.lists(states(Trace), min_size=1, max_size=6).flatmap(
        lambda s: st.tuples(st.just(s), st.permutations(s))
    )
)
def test_every_permutation_of_writes_ends_alike(case) -> None:
    """Any number of partial writes gives one result in any order."""
    writes, shuffled = case
    assert reduce(merge, writes) == reduce(merge, shuffled)


@given(st.lists(states(Trace), min_size=1, max_size=5))
def test_each_field_is_that_of_its_newest_write(writes) -> None:
    """An oracle that keeps every write agrees, where times differ."""
    result = reduce(merge, writes)
    for name in {name for write in writes for name in write.values}:
        naming = [w for w in writes if name in w.values]
        newest = max(w.written_at for w in naming)
        assert result.time_of(name) == newest
        assert result.values[name] in [w.values[name] for w in naming if w.written_at == newest]
    assert set(result.values) == {name for write in writes for name in write.values}


def test_times_are_kept_only_where_they_differ() -> None:
    """A write that names all fields of the older one leaves no time behind."""
    old = merged(Trace(id="1", name="a", last_updated_at=day(0)), day(5))
    new = merged(Trace(id="1", name="b", input=1, last_updated_at=day(1)), day(5))
    part = merged(Trace(id="1", output=2, last_updated_at=day(2)), day(5))
    assert merge(old, new).older == {}
    assert merge(merge(old, new), part).older == {"name": day(1), "input": day(1)}
    assert merge(old, new).written_at == day(1)


def test_the_arrival_counts_where_the_writer_gives_no_time() -> None:
    """A write without a time of its own is as new as its arrival."""
    timed = merged(Trace(id="1", name="timed", last_updated_at=day(1)), day(9))
    before = merged(Trace(id="1", name="untimed"), day(0))
    after = merged(Trace(id="1", name="untimed"), day(2))
    assert merge(timed, before).record().name == "timed"
    assert merge(timed, after).record().name == "untimed"
    assert merge(timed, after).record().last_updated_at == day(1)


def test_a_record_gives_copies_of_its_values() -> None:
    """Changing a record that was read does not change the state."""
    state = merged(Trace(id="1", metadata={"a": [1]}), day(0))
    state.record().metadata["a"].append(2)
    assert state.record().metadata == {"a": [1]}


def test_only_named_fields_are_encoded() -> None:
    """Neither None nor a default that nobody set is in the text."""
    record = ExperimentItem(id="1", experiment_id="e", dataset_item_id="i", output=None)
    assert encode(record) == b'{"dataset_item_id":"i","experiment_id":"e","id":"1"}'
    assert decode(ExperimentItem, encode(record)) == record


def test_keys_tell_records_apart() -> None:
    """Projects go by name, scores by entity, name and author, thread scores by project too."""
    assert key_of(Project(id="1", name="STRASSE")) == key_of(Project(id="2", name="straße"))
    a = FeedbackScore(entity_id="t", name="n", value=1, project_name="p")
    assert key_of(a) == key_of(a.model_copy(update={"project_name": "q", "value": 2}))
    assert key_of(a) != key_of(a.model_copy(update={"author": "me"}))
    thread = a.model_copy(update={"entity_type": "thread"})
    assert key_of(thread) != key_of(thread.model_copy(update={"project_name": "q"}))
    assert key_of(Span(id="s", trace_id="t")) == ("s",)
    assert project_key(None) == project_key("default PROJECT")


def test_a_real_project_outweighs_an_implied_one() -> None:
    """What a trace implies is older than anything written, but the id is the same everywhere."""
    real = merged(Project(id="mine", name="Demo", last_updated_at=day(0)), day(0))
    assert merge(implied_project("demo"), real).record().id == "mine"
    assert implied_project("demo").values["id"] == implied_project("DEMO").values["id"]


def test_arrivals_are_strictly_ordered() -> None:
    """A clock that stands still or goes back gives increasing times."""
    readings = iter([day(1), day(1), day(0), day(2)])
    clock = ArrivalClock(lambda: next(readings))
    microsecond = timedelta(microseconds=1)
    assert [clock.next() for _ in range(4)] == [
        day(1),
        day(1) + microsecond,
        day(1) + 2 * microsecond,
        day(2),
    ]


class Present:
    """Items that a plan starts from."""

    def __init__(self, items) -> None:
        self.items = {i.id: i.model_copy(update={"content_hash": item_hash(i)}) for i in items}

    def find_item(self, item_id):
        return self.items.get(item_id)

    def count_hash(self, content_hash):
        return sum(i.content_hash == content_hash for i in self.items.values())

    def item_ids(self):
        return list(self.items)


item_lists = st.lists(
    st.builds(
        lambda i, q, d: DatasetItem(id=i, data={"q": q}, description=d),
        st.sampled_from("abcd"),
        st.integers(0, 2),
        st.sampled_from([None, "x"]),
    ),
    max_size=5,
)


@given(
    item_lists,
    item_lists,
    st.just("all") | st.lists(st.sampled_from("abcz")),
    st.booleans(),
)
def test_plans_agree_with_doing_it_step_by_step(present, upsert, delete, skip_known) -> None:
    """The net change is what a plain dictionary shows after the same steps."""
    start = Present(present)
    change = plan_change(
        start, upsert=upsert, delete=delete, skip_known=skip_known, changed_at=day(0)
    )
    now = dict(start.items)
    for item_id in list(now) if delete == "all" else delete:
        now.pop(item_id, None)
    for new in upsert:
        old = now.get(new.id)
        description = new.description or (old.description if old else None)
        after = DatasetItem(id=new.id, data=new.data, description=description)
        others = [i for i in now.values() if i.id != new.id]
        if not (skip_known and item_hash(after) in map(item_hash, others)):
            now[new.id] = after
    content = {i: (item.data, item.description) for i, item in now.items()}
    expected = {i: (item.data, item.description) for i, item in start.items.items()}
    for gone in change.deleted:
        del expected[gone]
    for item in (*change.added, *change.modified):
        expected[item.id] = (item.data, item.description)
        assert item.content_hash == item_hash(item)
    assert expected == content
    assert {i.id for i in change.added} == now.keys() - start.items.keys()
    assert all(i.id in start.items for i in change.modified)


def test_version_ids_follow_from_history() -> None:
    """Another change, number or past gives another id; order and times inside do not."""
    a, b = DatasetItem(id="a", data={}), DatasetItem(id="b", data={})
    later = b.model_copy(update={"last_updated_at": day(3)})
    first = next_version("d", None, ItemChange(added=(a, b)), changed_at=day(0))
    same = next_version("d", None, ItemChange(added=(later, a)), changed_at=day(0))
    other = next_version("d", None, ItemChange(added=(a,)), changed_at=day(0))
    second = next_version("d", first, ItemChange(deleted=("a",)), changed_at=day(0))
    assert first.id == same.id
    assert len({first.id, other.id, second.id}) == 3
    assert (second.name, second.items_total) == ("v2", 1)
