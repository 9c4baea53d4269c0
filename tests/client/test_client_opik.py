"""The client as a whole: datasets, experiments, flushing, and what it leaves behind."""

from __future__ import annotations

import threading
import urllib.parse

import pytest

from opik_eval import Opik, open_storage
from opik_eval.errors import ConfigError, ConflictError, NotFoundError, UnavailableError
from opik_eval.experiments.experiment import ExperimentItemReferences
from opik_eval.storage.base import FlushReport
from opik_eval.storage.memory import MemoryStorage


class TestDatasets:
    def test_create_get_delete(self, client):
        """Datasets are found by name until they are deleted."""
        made = client.create_dataset("a", description="text", project_name="p")
        client.get_or_create_dataset("b", description="other")
        assert client.get_dataset("a", project_name="p").id == made.id
        assert client.get_or_create_dataset("a").record.description == "text"
        assert [d.name for d in client.get_datasets()] == ["a", "b"]
        assert [d.name for d in client.get_datasets(max_results=1)] == ["a"]
        with pytest.raises(ConflictError):
            client.create_dataset("a")
        client.delete_dataset("a")
        with pytest.raises(NotFoundError, match=r"no dataset 'a' .*\n.*datasets there: b$"):
            client.get_dataset("a")
        with pytest.raises(NotFoundError):
            client.delete_dataset("a")

    def test_items(self, client):
        """A dataset of the client takes items and gives them back."""
        dataset = client.create_dataset("a")
        dataset.insert([{"q": 1}, {"q": 1}])
        assert [row["q"] for row in client.get_dataset("a").get_items()] == [1]


class TestExperiments:
    def test_create_and_find(self, client):
        """An experiment is found by id, by name and by dataset, the newest first."""
        client.create_dataset("d").insert([{"q": 1}])
        prompt = client.create_prompt("p", "text")
        one = client.create_experiment(
            "d",
            "same",
            experiment_config={"model": "m"},
            prompts=[prompt],
            tags=["t"],
            optimization_id="o",
        )
        data = one.get_experiment_data()
        assert (data.config, data.tags, data.type) == ({"model": "m"}, ("t",), "regular")
        assert data.prompt_version_ids == (prompt.version_id,)
        assert (data.project_name, data.optimization_id) == ("shop", "o")
        assert data.dataset_version_id == client.get_dataset("d").version.id
        assert client.get_experiment_by_name("same").id == one.id
        two = client.create_experiment("d", "same", project_name="other", type="trial")
        assert two.project_name == "other"
        assert client.get_experiment_by_id(two.id).name == "same"
        assert [e.id for e in client.get_experiments_by_name("same")] == [two.id, one.id]
        assert [e.id for e in client.get_dataset_experiments("d")] == [two.id, one.id]
        assert [e.id for e in client.get_dataset_experiments("d", max_results=1)] == [two.id]
        with pytest.raises(ConfigError):
            client.get_experiment_by_name("same")

    def test_an_experiment_on_an_empty_dataset(self, client):
        """Without a name it gets one; without items in the dataset it has no version."""
        client.create_dataset("d")
        made = client.create_experiment("d")
        assert made.name.startswith("experiment-")
        assert made.get_experiment_data().dataset_version_id is None

    def test_what_is_not_there(self, client):
        """Unknown ids and names are errors."""
        for call in (
            lambda: client.create_experiment("no dataset"),
            lambda: client.get_experiment_by_id("x"),
            lambda: client.get_experiment_by_name("x"),
            lambda: client.get_experiments_by_name("x"),
            lambda: client.update_experiment("x", name="y"),
            lambda: client.get_optimization_by_id("x"),
        ):
            with pytest.raises(NotFoundError):
                call()
        assert client.get_dataset_experiments("x") == []

    def test_unknown_keywords(self, client):
        """A misspelt keyword is an error with a suggestion, and nothing is stored."""
        client.create_dataset("d")
        with pytest.raises(TypeError, match=r"'tag'; did you mean 'tags'\?"):
            client.create_experiment("d", "e", tag=["x"])
        assert client.get_dataset_experiments("d") == []

    def test_update(self, client):
        """Name and configuration change apart; what is not named stays."""
        client.create_dataset("d")
        made = client.create_experiment("d", "before", experiment_config={"a": 1})
        client.update_experiment(made.id, name="after")
        assert made.get_experiment_data().config == {"a": 1}
        client.update_experiment(made.id, experiment_config={"a": 2})
        assert (made.name, made.get_experiment_data().config) == ("after", {"a": 2})

    def test_link_and_delete(self, client):
        """Traces are linked to items; deleting experiments leaves traces, one id or many."""
        dataset = client.create_dataset("d")
        dataset.insert([{"q": 1}])
        trace = client.trace("ask")
        trace.end(output={"a": 1})
        first, second, third = (client.create_experiment("d", name) for name in "abc")
        (item,) = dataset.get_items()
        first.insert([ExperimentItemReferences(item["id"], trace.id)])
        client.flush()
        (content,) = first.get_items()
        assert content.trace_id == trace.id
        client.delete_experiments([first.id, second.id])
        client.delete_experiments(third.id)
        assert client.get_dataset_experiments("d") == []
        assert client.get_trace_content(trace.id).output == {"a": 1}

    def test_optimizations(self, client):
        """An optimization is stored as running and found by its id."""
        made = client.create_optimization("d", "accuracy", name="run", metadata={"a": 1})
        other = client.create_optimization("d", "accuracy")
        assert client.get_optimization_by_id(made.id) == made
        assert (made.status, made.metadata, made.project_name) == ("running", {"a": 1}, "shop")
        client.delete_optimizations(made.id)
        client.delete_optimizations([other.id])
        assert list(client.storage.list_optimizations()) == []


class Stubborn(MemoryStorage):
    """A storage whose destination takes its time, like a server out of reach."""

    def flush(self, timeout_seconds: float | None = None) -> FlushReport:
        return FlushReport(delivered=1, pending=2, rejected=("too large",))


class TestLife:
    def test_settings_say_what_is_meant(self, monkeypatch, tmp_path):
        """Without arguments the settings decide on storage and project."""
        client = Opik()
        assert client.project_name == "Default Project"
        assert urllib.parse.unquote(client.storage.location).endswith("default.db")
        client.end()

    def test_host_is_a_target(self, tmp_path, monkeypatch):
        """``host`` names the storage where ``storage`` does not."""
        client = Opik(host=f"file:{tmp_path / 'a.db'}", workspace="w", api_key="k", batching=True)
        assert client.storage.location.endswith("a.db")
        client.end()
        monkeypatch.chdir(tmp_path)
        server = Opik(host="https://user:secret@host.example/api/", workspace="w", api_key="k")
        assert server.storage.location == "https://host.example/api"
        server.end()

    def test_flush(self, client):
        """Flushing says what became of the client's traces."""
        assert client.flush()
        client.trace("ask").end()
        report = client.flush_report(10)
        assert (report.delivered, report.pending, report.rejected) == (2, 0, ())
        assert client.flush(timeout=10)

    def test_flush_tells_the_truth_once(self):
        """What the storage still has to deliver is counted once, traced or not."""
        client = Opik(storage=Stubborn())
        for _ in range(2):
            report = client.flush_report()
            assert (report.pending, report.rejected) == (2, ("too large",))
            assert not client.flush()
            client.trace("ask").end()
        client.end()

    def test_end_closes_what_the_client_opened(self, tmp_path):
        """Thread and storage of the client's own are gone, and all is stored."""
        target = f"file:{tmp_path / 'a.db'}"
        before = set(threading.enumerate())
        client = Opik(storage=target)
        client.trace("ask").end()
        client.end()
        client.end()
        assert set(threading.enumerate()) == before
        with pytest.raises(UnavailableError):
            client.search_traces()
        again = Opik(storage=target)
        assert [trace.name for trace in again.search_traces()] == ["ask"]
        again.end()

    def test_end_leaves_what_was_passed_in(self):
        """A storage object belongs to whoever opened it, and stays open."""
        storage = open_storage("memory:")
        client = Opik(storage=storage)
        client.trace("ask").end()
        client.end(timeout=10)
        assert [trace.name for trace in storage.list_traces()] == ["ask"]
        assert client.storage is storage
        storage.close()

    def test_end_after_the_end_of_the_storage(self, caplog):
        """If the storage is gone, the loss is logged and the end still comes."""
        storage = open_storage("memory:")
        client = Opik(storage=storage)
        client.trace("ask")
        client.flush()
        storage.close()
        client.trace("late")
        client.end(timeout=5)
        assert "were lost" in caplog.text
