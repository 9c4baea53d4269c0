"""Loaders of benchmark data sets: splits that exist, sources in order, no silent substitute."""

from __future__ import annotations

import inspect
import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace

import pytest

import opik_optimizer
from opik_eval import config, evaluate
from opik_eval.datasets.dataset import Dataset
from opik_eval.errors import DatasetError
from opik_eval.metrics import Equals
from opik_eval.storage.base import Storage
from opik_eval.storage.opening import open_storage
from opik_optimizer import ChatPrompt, datasets
from opik_optimizer.datasets import catalogue, rows
from opik_optimizer.datasets.benchmark import Benchmark
from opik_optimizer.testing.toy import ToyOptimizer

Loader = Callable[..., Dataset]

NAMES = datasets.__all__
BENCHMARKS = [b for _, b in inspect.getmembers(catalogue) if isinstance(b, Benchmark)]
DATA = os.environ.get("OPIK_EVAL_DATA_DIR")
COLUMNS = {
    "ai2_arc": {"question", "choices", "answerKey"},
    "arc_agi2": {"training_examples_text", "test_inputs_text", "test_outputs", "task_id"},
    "cnn_dailymail": {"article", "highlights"},
    "context7_eval": {"user_query", "expected_tool", "arguments", "reference_answer"},
    "driving_hazard": {"question_id", "question", "image", "hazard"},
    "election_questions": {"question", "label"},
    "gsm8k": {"question", "answer"},
    "halu_eval": {"input", "llm_output", "expected_hallucination_label"},
    "hotpot": {"question", "answer", "context", "supporting_facts"},
    "hover": {"claim", "label", "supporting_facts"},
    "ifbench": {"prompt", "ground_truth"},
    "medhallu": {"Question", "Knowledge", "Ground Truth"},
    "pupa": {"user_query", "target_response", "pii_units"},
    "rag_hallucinations": {"context", "question", "answer", "is_hallucination"},
    "ragbench_sentence_relevance": {"question", "sentence", "label"},
    "tiny_test": {"text", "label", "metadata"},
    "truthful_qa": {"question", "answer", "choices", "correct_answer", "incorrect_answers"},
}


class Hub:
    """A stand-in for the two libraries of the hub: 1000 rows in every split of every set."""

    def __init__(self) -> None:
        self.reachable = True
        self.asked: list[tuple[str, str | None, str]] = []
        self.read = 0
        self.constants = SimpleNamespace(HF_HUB_OFFLINE=False, ENDPOINT="https://hub.example")
        self.config = SimpleNamespace(HF_HUB_OFFLINE=False)

    def get_session(self) -> Hub:
        return self

    def head(self, url: str, *, timeout: float) -> None:
        if not self.reachable:
            raise ConnectionError("no network")

    def load_dataset(
        self, repository: str, name: str | None, *, split: str, streaming: bool
    ) -> Iterator[Mapping[str, object]]:
        if not self.reachable:
            raise ConnectionError(f"cannot reach {repository}")
        assert streaming
        self.asked.append((repository, name, split))
        return self._rows(split)

    def _rows(self, split: str) -> Iterator[Mapping[str, object]]:
        for n in range(1000):
            self.read += 1
            yield {"question": f"{split} {n}", "answer": str(n), "level": n % 2}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Hub:
    hub = Hub()
    monkeypatch.delenv("OPIK_EVAL_DATA_DIR", raising=False)
    monkeypatch.setitem(sys.modules, "datasets", hub)
    monkeypatch.setitem(sys.modules, "huggingface_hub", hub)
    return hub


def questions(dataset: Dataset) -> list[object]:
    return [item["question"] for item in dataset.get_items()]


def numbered(split: str, *numbers: range) -> list[object]:
    return [f"{split} {n}" for part in numbers for n in part]


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_has_the_columns(name: str, storage: Storage) -> None:
    """Every set has rows in its source's form with it, and they become items as they should."""
    loader: Loader = getattr(datasets, name)
    items = loader(test_mode=True, storage=storage).get_items()
    assert len(items) == 5
    assert all(item.keys() >= COLUMNS[name] for item in items)
    assert all(item[column] not in (None, "") for item in items for column in COLUMNS[name])


@pytest.mark.parametrize("benchmark", BENCHMARKS, ids=lambda b: b.name)
def test_splits_share_no_items(benchmark: Benchmark) -> None:
    """No item is in two splits of a set; every set can teach."""
    places = {
        split: {(part.hub, part.source, n) for n in range(part.start, part.stop)}
        for split, part in benchmark.parts.items()
    }
    assert "train" in places
    assert all(not places[a] & places[b] for a, b in combinations(places, 2))


def test_all_seventeen_are_there() -> None:
    """The names are Opik's, and each is reached from the package."""
    assert len(NAMES) == 17 == len(COLUMNS)
    assert opik_optimizer.datasets is datasets


def test_importing_loads_nothing_heavy() -> None:
    """Neither the package nor the sub-package loads the library of the hub."""
    code = (
        "import sys, opik_optimizer; opik_optimizer.datasets.gsm8k; "
        "sys.exit(any(name in sys.modules for name in ('datasets', 'pandas', 'PIL')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_presets_hold_with_every_argument(hub: Hub, storage: Storage) -> None:
    """A split has its rows whether it is named or not, and whatever else is said."""
    gsm8k = datasets.gsm8k
    assert questions(gsm8k(storage=storage)) == numbered("train", range(150))
    assert questions(gsm8k(split="validation", storage=storage)) == numbered(
        "train", range(150, 300)
    )
    test = gsm8k(split="TEST", count=3, start=2, storage=storage)
    assert questions(test) == numbered("test", range(2, 5))
    assert test.name == "gsm8k_test_from2_3"
    assert hub.asked[-1] == ("openai/gsm8k", "main", "test")
    assert hub.read == 150 + 300 + 150, "only the rows that are needed are read"


def test_a_split_that_grows_passes_over_the_others(hub: Hub, storage: Storage) -> None:
    """More training items than usual are none of the validation split."""
    found = questions(datasets.gsm8k(count=200, storage=storage))
    assert found == numbered("train", range(150), range(300, 350))
    names = questions(datasets.ifbench(split="test", count=2, storage=storage))
    assert names == numbered("train", range(2))
    assert hub.asked[-1][0] == "allenai/IFBench_test"


def test_a_seed_shuffles_within_the_split(hub: Hub, storage: Storage) -> None:
    """The same seed gives the same items, none of another split."""
    first, again = (questions(datasets.gsm8k(seed=1, count=20, storage=storage)) for _ in range(2))
    assert first == again
    assert first != numbered("train", range(20))
    assert set(first) <= set(numbered("train", range(150)))


def test_filters_choose_by_columns(hub: Hub, storage: Storage) -> None:
    """Values, lists of values and functions choose; too few of them are an error."""
    gsm8k = datasets.gsm8k
    odd = gsm8k(filter_by={"level": 1}, count=2, storage=storage)
    assert questions(odd) == ["train 1", "train 3"]
    assert odd.name.startswith("gsm8k_train_2_filtered_")
    listed = gsm8k(filter_by={"answer": ("5", "7")}, storage=storage)
    assert questions(listed) == ["train 5", "train 7"]
    made = gsm8k(filter_by={"answer": lambda text: text == "9"}, storage=storage)
    assert questions(made) == ["train 9"]
    with pytest.raises(DatasetError, match=r"1 such items from 0 on, and 2 were"):
        gsm8k(filter_by={"answer": "5"}, count=2, storage=storage)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"split": "nonsense"}, "no split 'nonsense'"),
        ({"count": 0}, "count=0"),
        ({"start": -1}, "start=-1"),
        ({"test_mode": True, "test_mode_count": 6}, "comes with 5"),
        ({"test_mode": True, "filter_by": {"answer": "none"}}, "comes with 0"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, object], problem: str) -> None:
    """Splits that do not exist and numbers that mean nothing are errors."""
    with pytest.raises(DatasetError, match=problem):
        datasets.gsm8k(storage="memory:", **options)  # type: ignore[arg-type]


def test_unknown_options_are_refused() -> None:
    """A typing mistake is no option."""
    with pytest.raises(TypeError, match="splt"):
        datasets.gsm8k(splt="test")  # type: ignore[call-arg]


def test_out_of_reach_is_an_error(hub: Hub, storage: Storage) -> None:
    """Without network there is no substitute; the error says what can be done."""
    hub.reachable = False
    with pytest.raises(DatasetError, match=r"gsm8k/train\.jsonl.*\n?.*test_mode=True"):
        datasets.gsm8k(storage=storage)
    assert not list(storage.list_datasets()), "nothing was stored"


def test_test_mode_says_what_it_is(
    hub: Hub, storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    """The rows of test mode come from the package, and log, name and description say so."""
    with caplog.at_level(logging.WARNING, logger="opik_optimizer"):
        found = datasets.gsm8k(test_mode=True, test_mode_count=2, storage=storage)
    assert (found.name, len(found), hub.asked) == ("gsm8k_train_sample", 2, [])
    assert "made up" in caplog.text
    assert "Made up" in str(found.record.description)


@pytest.mark.parametrize("place", ["train.jsonl", "gsm8k/train.jsonl"])
def test_a_folder_of_files(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Hub, storage: Storage
) -> None:
    """Local files are read before the hub is asked, by argument or setting."""
    file = tmp_path / place
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(json.dumps({"question": n}) + "\n" for n in range(200)))
    assert questions(datasets.gsm8k(path=tmp_path, storage=storage)) == [*range(150)]
    assert questions(datasets.gsm8k(path=file, split="validation", storage=storage)) == [
        *range(150, 200)
    ]
    monkeypatch.setenv("OPIK_EVAL_DATA_DIR", str(tmp_path))
    config.settings.cache_clear()
    assert questions(datasets.gsm8k(count=2, storage=storage)) == [0, 1]
    assert not hub.asked
    datasets.gsm8k(split="test", storage=storage)
    assert hub.asked, "what is not there comes from the hub"
    with pytest.raises(DatasetError, match="no rows of gsm8k/test"):
        datasets.gsm8k(split="test", path=tmp_path, storage=storage)


@pytest.mark.skipif(not DATA, reason="OPIK_EVAL_DATA_DIR names no folder with public data sets")
def test_the_real_gsm8k(storage: Storage) -> None:
    """The published test set is read from the folder of local data."""
    found = datasets.gsm8k(split="test", count=1319, storage=storage)
    assert len(found) == 1319
    assert all("####" in str(item["answer"]) for item in found)


def test_loading_again_changes_nothing(hub: Hub, storage: Storage) -> None:
    """The same call gives the same dataset in the same version."""
    first, second = (datasets.gsm8k(count=3, storage=storage) for _ in range(2))
    assert first.id == second.id
    assert second.version is not None
    assert second.version.number == 1
    assert datasets.gsm8k(count=3, dataset_name="mine", storage=storage).name == "mine"


def test_evaluate_and_optimize_take_it(storage: Storage) -> None:
    """What a loader returns can be evaluated and optimized on."""
    items = datasets.tiny_test(count=5, storage=storage)
    assert items.name == "tiny_test_train"
    answers = {str(item["text"]): str(item["label"]) for item in items}

    def task(item: Mapping[str, object]) -> dict[str, object]:
        return {"output": answers[str(item["text"])], "reference": item["label"]}

    result = evaluate(items, task, [Equals()], verbose=0, storage=storage)
    assert [score.value for case in result.test_results for score in case.score_results] == [1] * 5

    def is_right(dataset_item: Mapping[str, object], llm_output: str) -> bool:
        return llm_output == dataset_item["label"]

    found = ToyOptimizer(verbose=0).optimize_prompt(
        ChatPrompt(system="Answer.", user="{text}", model="fake/echo"),
        items,
        is_right,
        agent=lambda prompts, dataset_item: answers[dataset_item["text"]],
        storage=storage,
    )
    assert found.score == 1.0


def test_pictures_become_small_jpegs() -> None:
    """A picture is scaled down, keeps its shape, and becomes a URL with the data in it."""
    image = pytest.importorskip("PIL.Image")
    picture = image.new("RGBA", (1000, 500), "red")
    url = rows.image_url(picture, (512, 384), 60)
    assert url.startswith("data:image/jpeg;base64,")
    assert picture.size == (1000, 500), "the source is left alone"
    assert len(rows.image_url(picture, None, 95)) > len(url)
    with pytest.raises(DatasetError, match="Pillow"):
        rows.image_url({"bytes": b""}, None, 60)


def test_the_picture_options_reach_the_pictures(storage: Storage) -> None:
    """``driving_hazard`` has two options of its own."""
    found = datasets.driving_hazard(test_mode=True, image_quality=10, storage=storage)
    assert str(found.get_items()[0]["image"]).startswith("data:image/")


def test_puzzles_join_the_tests_of_a_task() -> None:
    """Rows of one task become one item, in both forms that the sources have."""
    pair = {"input": [[1, 2]], "output": [[2, 1]]}
    split = [
        {
            "id": f"t__test_{n}",
            "training_examples": [pair],
            "test_inputs": [[[n]]],
            "test_outputs": [[[n]]],
        }
        for n in (1, 2)
    ]
    (item,) = rows.puzzles(split)
    assert (item["task_id"], item["test_inputs"]) == ("t", [[[1]], [[2]]])
    assert item["shape_summary"] == "example 1: 1 x 2 to 1 x 2\ntest 1: 1 x 1\ntest 2: 1 x 1"
    for more in ({}, {"test_outputs": [pair["output"]]}):  # the source repeats them
        (original,) = rows.puzzles([{"task_id": "u", "train": [pair], "test": [pair], **more}])
        assert (original["test_inputs"], original["test_outputs"]) == ([[[1, 2]]], [[[2, 1]]])
    assert "output:\n2 1" in str(original["training_examples_text"])


def test_instructions_keep_their_own_prompt() -> None:
    """Rows that have a prompt stay as they are."""
    row = {"prompt": "Do it.", "key": "1"}
    assert rows.instruction(row) is row


def test_choices_tell_nothing() -> None:
    """The order of choices is that of the alphabet, each once."""
    row = {
        "question": "?",
        "category": "c",
        "best_answer": "No",
        "correct_answers": ["No", "Never"],
        "incorrect_answers": ["Always"],
    }
    assert rows.truthful(row)["choices"] == ["Always", "Never", "No"]


def test_the_default_store_is_used(tmp_path: Path) -> None:
    """Without a storage the dataset is where evaluations are."""
    found = datasets.tiny_test()
    with closing(found.storage), closing(open_storage(None)) as default:
        assert default.find_dataset(found.name) is not None
