"""``list``, ``show`` and ``compare``: looking at what is stored."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from opik_eval import Opik, evaluate
from opik_eval.cli import listing
from opik_eval.metrics import Equals
from opik_eval.storage.opening import open_storage


def store(name: str, right: int, *, of: int = 20, broken: int = 0) -> None:
    """Store an experiment with so many right answers and failed tasks."""

    def task(item):
        if item["n"] < broken:
            raise ValueError(f"item {item['n']}\nis broken")
        return {"output": "yes" if item["n"] >= of - right else "no"}

    items = [{"n": n, "reference": "yes"} for n in range(of)]
    evaluate(items, task, [Equals()], experiment_name=name, verbose=0)


@pytest.mark.parametrize("kind", ["experiments", "datasets", "prompts", "projects"])
def test_empty_store(cli, kind: str) -> None:
    """A store without anything says so; as JSON it is an empty list."""
    open_storage().close()
    outcome = cli("list", kind)
    assert outcome.code == 0
    assert outcome.out.startswith(f"no {kind} in file:")
    assert cli("list", kind, "--json").json == []


def test_reading_makes_no_store(cli, tmp_path) -> None:
    """Where there is no store, commands that read say so, say what to do, and leave none behind."""
    for words in ("list", "show x", "compare a b", "export backup", "resume x"):
        outcome = cli(*words.split(), "--storage", f"file:{tmp_path / 'none.db'}")
        assert outcome.code == 1
        assert "there is no store" in outcome.err
        assert "--storage" in outcome.err
    assert not (tmp_path / "none.db").exists()


def test_list_of_experiments(cli) -> None:
    """Experiments are listed newest first, with scores and ids, a line each."""
    store("first", 5)
    store("second", 10)
    lines = cli("list").out.splitlines()
    assert lines[0].split() == ["name", "dataset", "status", "scores", "created", "id"]
    assert [line.split()[0] for line in lines[1:]] == ["second", "first"]
    assert "equals_metric 0.500" in lines[1]
    rows = cli("list", "--json").json
    assert sorted(rows[0]) == ["created", "dataset", "id", "name", "scores", "status"]
    assert lines[1].endswith(rows[0]["id"])


def test_list_on_a_narrow_terminal(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal that is too narrow for the table, each experiment takes a few short lines."""
    store("first", 5)
    (row,) = cli("list", "--json").json
    monkeypatch.setattr(listing, "sys", SimpleNamespace(stdout=SimpleNamespace(isatty=lambda: 1)))
    monkeypatch.setenv("COLUMNS", "60")
    lines = cli("list").out.splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[:2] == ["first", f"  id       {row['id']}"]
    assert "  scores   equals_metric 0.250" in lines
    monkeypatch.setenv("COLUMNS", "300")
    assert len(cli("list").out.splitlines()) == 2


def test_list_of_the_rest(cli) -> None:
    """Datasets, prompts and projects are listed with what tells them apart."""
    client = Opik(project_name="shop")
    client.get_or_create_dataset("questions").insert([{"q": 1}, {"q": 2}])
    client.create_prompt("greeting", "Hello {{name}}")
    client.create_prompt("greeting", "Hi {{name}}")
    client.trace("t").end()
    client.end()
    (dataset,) = cli("list", "datasets", "--json").json
    assert (dataset["name"], dataset["items"], dataset["version"]) == ("questions", 2, "v1")
    (prompt,) = cli("list", "prompts", "--json").json
    assert (prompt["name"], prompt["versions"]) == ("greeting", 2)
    assert "shop" in [row["name"] for row in cli("list", "projects", "--json").json]
    assert "questions" in cli("list", "datasets").out


def test_show(cli) -> None:
    """``show`` prints scores with intervals, by name and by id."""
    store("mine", 5)
    outcome = cli("show", "mine")
    assert outcome.code == 0
    assert "mine: 20 items, completed" in outcome.out
    assert "[0.11, 0.47]" in outcome.out
    assert "Failures" not in outcome.out
    identifier = cli("list", "--json").json[0]["id"]
    assert cli("show", identifier).out == outcome.out


def test_show_lists_failures(cli) -> None:
    """Failed items are counted, and the first of them shown with their error on one line."""
    store("mine", 5, broken=3)
    text = cli("show", "mine", "--failures", "2").out
    assert "Failures: 3, the first 2:" in text
    assert text.count("task raised ValueError") == 2
    assert "    item 0 is broken\n" in text
    assert "Failures: 3:" in cli("show", "mine").out
    assert cli("show", "mine", "--failures", "0").out.endswith("Failures: 3\n")


def test_show_lists_failures_as_json(cli, write_run) -> None:
    """Failed tasks and scores have ids, name and message; the total counts all of them."""
    name = write_run("odd", "fails_on_odd", metrics="['shop_tasks:broken_metric']")
    assert cli("run", name).code == 3
    result = cli("show", "odd", "--json", "--failures", "4").json
    assert result["failures_total"] == 6
    assert [failure["kind"] for failure in result["failures"]] == ["task"] * 3 + ["score"]
    assert sorted(result["failures"][3]) == [
        "dataset_item_id",
        "kind",
        "message",
        "name",
        "trace_id",
        "trial_id",
    ]
    assert result["failures"][0]["message"] == "odd"
    assert result["failures"][3]["message"] == "no score today"


def test_failures_name_their_trial(cli, write_run) -> None:
    """Where items have several trials, a failure says which one it was."""
    cli("run", write_run("odd", "fails_on_odd", extra="options: {trial_count: 2}\n"))
    assert ", trial 1: task raised ValueError" in cli("show", "odd").out


def test_several_of_one_name(cli) -> None:
    """A name that several experiments have is refused, with the ids to choose from."""
    store("mine", 5)
    store("mine", 6)
    outcome = cli("show", "mine")
    assert outcome.code == 1
    for row in cli("list", "--json").json:
        assert row["id"] in outcome.err


def test_compare(cli) -> None:
    """``compare`` pairs the items, tests the difference and shows what changed."""
    store("old", 5)
    store("new", 18)
    outcome = cli("compare", "old", "new")
    assert outcome.code == 0
    assert "better" in outcome.out
    assert "Got better: 13" in outcome.out
    result = cli("compare", "old", "new", "--json").json
    assert result["paired_items"] == 20
    assert result["regressions"] == []
    assert result["metrics"][0]["verdict"] == "better"


def test_regression_exits_with_4(cli) -> None:
    """A significant loss exits with 4 and is named on standard error; JSON has it too."""
    store("old", 18)
    store("new", 5)
    outcome = cli("compare", "old", "new", "--items", "1")
    assert outcome.code == 4
    assert "regression: equals_metric is worse in B" in outcome.err
    assert "The first 1:" in outcome.out
    found = cli("compare", "old", "new", "--json")
    assert found.code == 4
    assert found.json["regressions"] == ["equals_metric is worse in B"]


def test_more_failed_tasks_are_a_regression(cli) -> None:
    """A run whose tasks fail more often has got worse, whatever its scores say."""
    store("old", 20)
    store("new", 20, broken=12)
    outcome = cli("compare", "old", "new")
    assert outcome.code == 4
    assert "task errors is worse in B" in outcome.err


def test_margin(cli) -> None:
    """With a margin, a loss that the data cannot rule out exits with 4; a ruled-out one with 0."""
    store("old", 10)
    store("new", 10)
    assert cli("compare", "old", "new").code == 0
    strict = cli("compare", "old", "new", "--margin", "0.01", "--metric", "equals_metric")
    assert strict.code == 4
    assert "may be a loss of more than 0.01" in strict.err
    assert cli("compare", "old", "new", "--margin", "0.5").code == 0


def test_unknown_metric(cli) -> None:
    """A metric that neither run has is an error that lists those they have."""
    store("old", 10)
    outcome = cli("compare", "old", "old", "--metric", "speed")
    assert outcome.code == 1
    assert "equals_metric" in outcome.err
