"""Exports and imports: exact round trips in every format, and clear errors for broken files."""

from __future__ import annotations

import hashlib
import json
import math
from random import Random

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from opik_eval.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    SchemaVersionError,
    StorageError,
    UnavailableError,
)
from opik_eval.records import (
    Attachment,
    Dataset,
    DatasetItem,
    Experiment,
    ExperimentItem,
    FeedbackScore,
    ItemScore,
    Optimization,
    Project,
    Prompt,
    PromptVersion,
    Span,
    Trace,
)
from opik_eval.storage.memory import MemoryStorage
from opik_eval.storage.transfer import (
    export_store,
    import_store,
    read_records,
    to_frame,
    write_records,
)
from opik_eval.testing.storage_agreement import everything as everything_but_prompts
from opik_eval.testing.storage_agreement import outcome, random_step
from opik_eval.testing.storage_cases import day, item

FORMATS = ("jsonl", "csv", "parquet")


def full_store() -> MemoryStorage:
    """Return a store with something of everything."""
    storage = MemoryStorage()
    storage.write(
        [
            Project(id="p", name="P", description="d"),
            Trace(id="t", project_name="P", input={"a": [1, "x"]}, start_time=day(0), tags=()),
            Trace(id="u", input="text", output="", name="", last_updated_at=day(1)),
            Span(id="s", trace_id="t", usage={"total_tokens": 3}, cost_usd=0.1),
            FeedbackScore(entity_id="t", name="n", value=1, reason='"quoted"'),
            FeedbackScore(entity_type="span", entity_id="s", name="n", value=0.1),
            FeedbackScore(entity_type="thread", entity_id="x", name="n", value=2, source="ui"),
            Dataset(id="d", name="questions"),
            Dataset(id="e", name="empty"),
            Experiment(id="x", name="run", config={"k": None}, experiment_scores={"m": 0.5}),
            ExperimentItem(
                id="i",
                experiment_id="x",
                dataset_item_id="1",
                trace_id="t",
                scores=(ItemScore(name="n", value=None, scoring_failed=True),),
            ),
            Prompt(id="r", name="prompt"),
            PromptVersion(
                id="v", prompt_id="r", commit="c", number=1, template="a\r\nb\r", type="jinja2"
            ),
            Optimization(id="o", name="opt", metadata={"z": [True, False]}),
        ]
    )
    storage.change_items("d", upsert=[item("b", q=1), item("a", q=2)], changed_at=day(1))
    storage.change_items(
        "d",
        upsert=[DatasetItem(id="a", data={"q": 3}, description="new", created_at=day(0))],
        delete=["b"],
        change_description="second",
        changed_at=day(2),
    )
    storage.change_items("d", upsert=[item("c", q=4), item("b", q=5)], changed_at=day(3))
    storage.change_items("d", delete=["a"], upsert=[item("a", q=3)], changed_at=day(4))
    for number, content in enumerate((b"one", b"two", b"one")):
        storage.put_attachment(
            Attachment(
                id=str(number),
                entity_type="span" if number else "trace",
                entity_id="s" if number else "t",
                file_name="f",
                mime_type="text/plain",
                sha256=hashlib.sha256(content).hexdigest(),
                size_bytes=len(content),
            ),
            content,
        )
    return storage


def everything(storage) -> dict[str, object]:
    """Return all that a store holds."""
    prompts = list(storage.list_prompts())
    attachments = [*storage.list_attachments("trace", "t"), *storage.list_attachments("span", "s")]
    return {
        **everything_but_prompts(storage),
        "experiment items": list(storage.list_experiment_items("x")),
        "prompts": prompts,
        "prompt versions": [list(storage.list_prompt_versions(p.id)) for p in prompts],
        "optimizations": list(storage.list_optimizations()),
        "attachments": {a: storage.read_attachment(a.id) for a in attachments},
    }


@pytest.mark.parametrize("form", FORMATS)
def test_an_imported_export_is_the_same_store(tmp_path, form) -> None:
    """Every record, version and attachment comes back equal, in every format."""
    source, target = full_store(), MemoryStorage()
    manifest = export_store(source, tmp_path / "out", format=form)
    assert import_store(target, tmp_path / "out") == manifest
    assert everything(target) == everything(source)
    assert manifest.counts["traces"] == 2
    assert manifest.counts["dataset_versions"] == 4


def test_importing_again_changes_nothing(tmp_path) -> None:
    """An import is idempotent, for datasets too."""
    target = full_store()
    before = everything(target)
    export_store(target, tmp_path)
    import_store(target, tmp_path)
    assert everything(target) == before


def test_two_exports_of_one_store_are_equal(tmp_path) -> None:
    """Exports have no noise: the same store gives the same bytes."""
    for name in ("a", "b"):
        export_store(full_store(), tmp_path / name)
    files = [p for p in sorted((tmp_path / "a").rglob("*")) if p.is_file()]
    assert len(files) == 16
    for path in files:
        twin = tmp_path / "b" / path.relative_to(tmp_path / "a")
        if not path.name.startswith("dataset"):
            assert path.read_bytes() == twin.read_bytes()


@pytest.mark.parametrize("seed", range(8))
def test_any_history_of_a_store_can_be_exported(tmp_path, seed) -> None:
    """Random histories of changes come back with all versions, ids and times."""
    random, source, target = Random(seed), MemoryStorage(), MemoryStorage()
    for _ in range(60):
        outcome(source, random_step(random))
    export_store(source, tmp_path, format=FORMATS[seed % 3])
    import_store(target, tmp_path)
    kept = everything_but_prompts(target)
    expected = everything_but_prompts(source)
    for orphans in ("experiment items", "summaries"):  # items whose experiment was deleted
        kept.pop(orphans)
        expected.pop(orphans)
    assert kept == expected


def test_an_import_continues_a_datasets_history(tmp_path) -> None:
    """Where the target has the first versions, only the later ones are replayed."""
    source, target = MemoryStorage(), MemoryStorage()
    for storage in (source, target):
        storage.write([Dataset(id="d", name="d", created_at=day(0))])
        storage.change_items(
            "d", upsert=[DatasetItem(id="1", data={}, created_at=day(0))], changed_at=day(1)
        )
    source.change_items("d", upsert=[item("2", q=1)], changed_at=day(2))
    export_store(source, tmp_path)
    import_store(target, tmp_path)
    assert everything_but_prompts(target) == everything_but_prompts(source)


def test_an_import_refuses_another_history(tmp_path) -> None:
    """A dataset that went another way is not overwritten."""
    source, target = MemoryStorage(), MemoryStorage()
    for number, storage in enumerate((source, target)):
        storage.write([Dataset(id="d", name="d")])
        storage.change_items("d", upsert=[item("1", q=number)], changed_at=day(1))
    export_store(source, tmp_path)
    with pytest.raises(ConflictError, match="another version 1"):
        import_store(target, tmp_path)
    assert [i.data for i in target.list_dataset_items("d")] == [{"q": 1}]


def test_a_broken_line_is_named_and_nothing_is_written(tmp_path) -> None:
    """The error says file and line, before the store has changed."""
    export_store(full_store(), tmp_path)
    path = tmp_path / "traces.jsonl"
    lines = path.read_text().splitlines()
    for broken in ("{oops", '{"id":1}', '{"name":"no id"}', '{"id":"t","unknown":1}'):
        path.write_text("\n".join([lines[0], "", broken]) + "\n")
        target = MemoryStorage()
        with pytest.raises(StorageError, match=r"traces\.jsonl, line 3"):
            import_store(target, tmp_path)
        assert list(target.list_projects()) == []


def test_missing_lines_and_files_are_noticed(tmp_path) -> None:
    """A truncated or missing file is an error, not a smaller store."""
    export_store(full_store(), tmp_path)
    path = tmp_path / "traces.jsonl"
    path.write_text(path.read_text().splitlines()[0] + "\n")
    with pytest.raises(StorageError, match=r"has 1 records, but manifest\.json counts 2"):
        import_store(MemoryStorage(), tmp_path)
    path.unlink()
    with pytest.raises(UnavailableError, match="traces"):
        import_store(MemoryStorage(), tmp_path)


def test_changes_without_their_version_are_noticed(tmp_path) -> None:
    """A history that does not fit its versions is an error."""
    export_store(full_store(), tmp_path)
    versions, manifest = tmp_path / "dataset_versions.jsonl", tmp_path / "manifest.json"
    lines = versions.read_text().splitlines()
    content = json.loads(manifest.read_text())
    content["counts"]["dataset_versions"] = len(lines) - 1
    manifest.write_text(json.dumps(content))
    versions.write_text("\n".join(lines[:-1]))
    with pytest.raises(StorageError, match="version 4 of dataset d"):
        import_store(MemoryStorage(), tmp_path)
    versions.write_text(
        "\n".join([lines[0].replace('"items_added":2', '"items_added":7'), *lines[1:-1]])
    )
    with pytest.raises(StorageError, match="did not come back"):
        import_store(MemoryStorage(), tmp_path)


def test_a_folder_must_be_an_export(tmp_path) -> None:
    """No manifest, a foreign one, a broken one and a newer one are told apart."""
    with pytest.raises(NotFoundError, match="not a finished export"):
        import_store(MemoryStorage(), tmp_path)
    manifest = tmp_path / "manifest.json"
    for text, error in (
        ("{", StorageError),
        ("[]", StorageError),
        ('{"product": "other"}', StorageError),
        ('{"product": "opik-eval export", "schema_version": 2}', SchemaVersionError),
    ):
        manifest.write_text(text)
        with pytest.raises(error):
            import_store(MemoryStorage(), tmp_path)


def test_an_export_does_not_mix_with_what_is_there(tmp_path) -> None:
    """A folder that holds something, or cannot be made, is refused; so is an unknown format."""
    (tmp_path / "file").write_text("mine")
    with pytest.raises(ConflictError, match="not empty"):
        export_store(MemoryStorage(), tmp_path)
    with pytest.raises(UnavailableError):
        export_store(MemoryStorage(), tmp_path / "file")
    with pytest.raises(ConfigError, match="unknown format"):
        export_store(MemoryStorage(), tmp_path / "new", format="xml")


texts = st.text(st.characters(codec="utf-8"), max_size=8) | st.sampled_from(
    ["", '"', '""', '"x', "\r", "a\r\nb", "\x00", "null", "1", ",", "'"]
)
scalars = st.none() | st.booleans() | st.integers() | texts
scalars |= st.floats(allow_nan=False, allow_infinity=False)
values = st.recursive(
    scalars, lambda v: st.lists(v, max_size=3) | st.dictionaries(texts, v, max_size=3)
)
times = st.datetimes().map(lambda moment: moment.replace(tzinfo=day(0).tzinfo))
some = st.none() | texts


@st.composite
def traces(draw):
    fields = {
        "name": some,
        "input": values,
        "metadata": st.none() | st.dictionaries(texts, values, max_size=3),
        "tags": st.none() | st.lists(texts, max_size=3),
        "start_time": st.none() | times,
        "ttft_seconds": st.none() | st.floats(allow_nan=False),
        "thread_id": some,
    }
    return Trace.model_validate({"id": draw(texts), **{k: draw(v) for k, v in fields.items()}})


@pytest.mark.parametrize("form", FORMATS)
def test_files_of_records_round_trip(tmp_path_factory, form) -> None:
    """Whatever texts, values and times records hold, files give them back equal."""
    path = tmp_path_factory.mktemp("files") / f"traces.{form}"

    @settings(max_examples=40, deadline=None)
    @given(st.lists(traces(), max_size=5))
    def check(records) -> None:
        assert write_records(path, Trace, records) == len(records)
        assert list(read_records(path, Trace)) == records

    check()


@pytest.mark.parametrize("form", FORMATS)
def test_long_and_many_rows_round_trip(tmp_path, form) -> None:
    """Cells of a megabyte and more rows than a batch come back, and numbers as they were."""
    path = tmp_path / f"rows.{form}"
    records = [
        ExperimentItem(
            id=str(n), experiment_id="e", dataset_item_id="i", trial_id=n, cost_usd=n / 3
        )
        for n in range(2_500)
    ]
    records.append(records[0].model_copy(update={"output": "x" * 1_000_000}))
    records[-1].model_fields_set.add("output")
    write_records(path, ExperimentItem, records)
    assert list(read_records(path, ExperimentItem)) == records


@pytest.mark.parametrize("form", FORMATS)
def test_defaults_that_nobody_set_stay_unset(tmp_path, form) -> None:
    """A file keeps the difference between a default and a value that equals it."""
    path = tmp_path / f"scores.{form}"
    records = [
        FeedbackScore(entity_id="t", name="n", value=1),
        FeedbackScore(entity_id="t", name="n", value=math.inf, source="sdk"),
    ]
    write_records(path, FeedbackScore, records)
    found = list(read_records(path, FeedbackScore))
    assert [r.model_fields_set for r in found] == [r.model_fields_set for r in records]
    assert found == records


def test_broken_tables_are_explained(tmp_path) -> None:
    """The error names the line or row, or says where reading stopped."""
    table = tmp_path / "t.csv"
    for text, message in (
        ('id,input\n1,"5"\n2,{oops\n', "line 3"),
        ("id,nonsense\n1,2\n", "line 2"),
        ("id\n1\n2,3\n", "after line 2"),
        ('id\n1\n"2\n', "after line 2"),
    ):
        table.write_text(text)
        with pytest.raises(StorageError, match=message):
            list(read_records(table, Trace))
    table.write_bytes(b"id\n\xff\n")
    with pytest.raises(StorageError, match="after line 0"):
        list(read_records(table, Trace))
    parquet = tmp_path / "t.parquet"
    parquet.write_bytes(b"not parquet")
    with pytest.raises(StorageError, match="after row 0"):
        list(read_records(parquet, Trace))
    pd.DataFrame({"id": ["1", None]}).to_parquet(parquet)
    with pytest.raises(StorageError, match="row 2"):
        list(read_records(parquet, Trace))


def test_tables_that_others_wrote_can_be_read(tmp_path) -> None:
    """A table needs only the columns that its records name; an empty one has no records."""
    table = tmp_path / "items.csv"
    table.write_text('id,data\n1,"{""q"": ""Paris?""}"\n')
    assert list(read_records(table, DatasetItem)) == [DatasetItem(id="1", data={"q": "Paris?"})]
    table.write_text("")
    assert list(read_records(table, DatasetItem)) == []


def test_the_ending_names_the_format(tmp_path) -> None:
    """Another ending, or a file that is not there, is an error."""
    with pytest.raises(ConfigError, match="does not say its format"):
        write_records(tmp_path / "x.txt", Trace, [])
    with pytest.raises(UnavailableError, match=r"x\.csv"):
        list(read_records(tmp_path / "x.csv", Trace))
    with pytest.raises(UnavailableError, match="cannot write"):
        write_records(tmp_path / "no" / "x.csv", Trace, [])


def test_a_frame_has_a_column_per_field() -> None:
    """Times are typed, nested values stay objects, several types are refused."""
    frame = to_frame(
        [Trace(id="1", metadata={"a": 1}, start_time=day(0)), Trace(id="2", tags=("x",))]
    )
    assert list(frame.columns) == list(Trace.model_fields)
    assert frame["metadata"][0] == {"a": 1}
    assert frame["start_time"][0] == pd.Timestamp("2026-01-01", tz="UTC")
    assert frame["start_time"].isna().tolist() == [False, True]
    assert to_frame([]).empty
    with pytest.raises(ConfigError, match="Span, Trace"):
        to_frame([Trace(id="1"), Span(id="1", trace_id="1")])
