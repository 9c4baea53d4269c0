"""Experiments, their items, the comparison, optimizations, and verdicts."""

from __future__ import annotations

import json
from typing import Any

import pytest
from server_client import END, START, Api

from opik_eval.ids import new_id


def experiment(api: Api, dataset: dict[str, Any], **fields: object) -> str:
    """Create an experiment and return its id."""
    sent = {"id": new_id(), "dataset_name": dataset["name"], "project_name": api.project, **fields}
    assert api.send("POST", "experiments", sent).status_code == 201
    return str(sent["id"])


def result(api: Api, experiment_id: str, item: dict[str, Any], **fields: object) -> str:
    """Write an item of an experiment with its trace, and return the trace's id."""
    trace = api.trace(output={"o": 1}, input={"i": 1}, end_time=END, **fields)["id"]
    link = {"experiment_id": experiment_id, "dataset_item_id": item["id"], "trace_id": trace}
    api.ok("POST", "experiments/items", {"experiment_items": [{"id": new_id(), **link}]})
    return str(trace)


def score(api: Api, trace: str, value: float) -> None:
    """Score a trace."""
    given = {"id": trace, "name": "good", "value": value, "source": "sdk"}
    api.ok("PUT", "traces/feedback-scores", {"scores": [given]})


def test_nameless_experiments_get_a_name(api: Api) -> None:
    """An experiment without name gets one, which clients read back; a known id changes nothing."""
    dataset = api.dataset({"q": 1})
    first = experiment(api, dataset, name=None, metadata={"a": 1, "_opik_resume": "{}"})
    found = api.ok("GET", f"experiments/{first}")
    assert found["name"]
    assert found["metadata"] == {"a": 1, "_opik_resume": "{}"}
    assert (found["dataset_id"], found["type"]) == (dataset["id"], "regular")
    experiment(api, dataset, id=first, name="other")
    assert api.ok("GET", f"experiments/{first}")["name"] == found["name"]
    assert api.send("GET", f"experiments/{new_id()}").status_code == 404
    assert api.send("POST", "experiments", {"name": "x"}).status_code == 422


def test_scores_of_traces_are_the_experiment_s(api: Api) -> None:
    """An experiment has the means of its traces' scores, their cost, usage and durations."""
    dataset = api.dataset({"q": 1}, {"q": 2})
    run = experiment(api, dataset)
    for item, value in zip(api.items(dataset), (0.5, 1.0), strict=True):
        trace = result(api, run, item)
        score(api, trace, value)
        api.span(trace, total_estimated_cost=0.5, usage={"total_tokens": 4})
    found = api.ok("GET", f"experiments/{run}")
    assert found["feedback_scores"] == [{"name": "good", "value": 0.75}]
    assert found["trace_count"] == 2
    assert (found["total_estimated_cost"], found["total_estimated_cost_avg"]) == (1.0, 0.5)
    assert found["usage"] == {"total_tokens": 4.0}
    assert found["duration"] == {"p50": 2000.0, "p90": 2000.0, "p99": 2000.0}


def test_items_before_their_experiment(api: Api) -> None:
    """Items may arrive before the experiment they are of."""
    dataset = api.dataset({"q": 1})
    run = new_id()
    result(api, run, api.items(dataset)[0])
    experiment(api, dataset, id=run)
    assert api.ok("GET", f"experiments/{run}")["trace_count"] == 1


def test_updates_and_finish(api: Api) -> None:
    """Experiments are changed, finished and deleted."""
    run = experiment(api, api.dataset(), tags=["a"])
    scores = [{"name": "overall", "value": 0.5}]
    api.ok("PATCH", f"experiments/{run}", {"name": "n", "experiment_scores": scores})
    api.ok("PATCH", f"experiments/{run}", {"tags_to_add": ["b"], "tags_to_remove": ["a"]})
    assert api.ok("GET", f"experiments/{run}")["status"] == "running"
    api.ok("POST", "experiments/finish", {"ids": [run]})
    found = api.ok("GET", f"experiments/{run}")
    assert (found["name"], found["status"], found["tags"]) == ("n", "completed", ["b"])
    assert found["experiment_scores"] == scores
    api.ok("POST", "experiments/delete", {"ids": [run]})
    assert api.send("PATCH", f"experiments/{run}", {"name": "x"}).status_code == 404


def test_prompt_versions_must_exist(api: Api) -> None:
    """An experiment may only name prompt versions that are there."""
    dataset = api.dataset()
    body = {"dataset_name": dataset["name"], "prompt_versions": [{"id": new_id()}]}
    assert api.send("POST", "experiments", body).status_code == 409


def test_comparison_of_experiments(api: Api) -> None:
    """The comparison shows each dataset item with what every experiment made of it."""
    dataset = api.dataset({"q": 1}, {"q": 2})
    items = api.items(dataset)
    runs = [experiment(api, dataset) for _ in range(2)]
    traces = [result(api, run, items[0]) for run in runs]
    score(api, traces[0], 0.5)
    path = f"datasets/{dataset['id']}/items/experiments/items"
    page = api.ok("GET", path, params={"experiment_ids": json.dumps(runs)})
    assert page["total"] == 1
    (shown,) = page["content"]
    assert (shown["id"], shown["data"]) == (items[0]["id"], {"q": 1})
    first = next(r for r in shown["experiment_items"] if r["experiment_id"] == runs[0])
    assert (first["trace_id"], first["output"], first["input"]) == (traces[0], {"o": 1}, {"i": 1})
    assert [(s["name"], s["value"]) for s in first["feedback_scores"]] == [("good", 0.5)]
    assert first["duration"] == 2000.0
    nothing = {"experiment_ids": json.dumps(runs), "search": "no such text"}
    assert api.ok("GET", path, params=nothing)["total"] == 0
    for bad in ("[1]", "[", "[]"):
        assert api.send("GET", path, params={"experiment_ids": bad}).status_code == 400
    assert api.send("GET", path).status_code == 422


def test_comparison_keeps_deleted_items(api: Api) -> None:
    """What an experiment ran on is shown although the dataset has lost it since."""
    dataset = api.dataset({"q": 1})
    (item,) = api.items(dataset)
    version = api.ok("GET", f"datasets/{dataset['id']}/versions")["content"][0]["id"]
    run = experiment(api, dataset, dataset_version_id=version)
    result(api, run, item)
    api.ok("POST", "datasets/items/delete", {"item_ids": [item["id"]]})
    path = f"datasets/{dataset['id']}/items/experiments/items"
    page = api.ok("GET", path, params={"experiment_ids": json.dumps([run])})
    assert [row["id"] for row in page["content"]] == [item["id"]]
    summary = api.ok("GET", f"experiments/{run}")["dataset_version_summary"]
    assert summary["version_name"] == "v1"


def test_assertions_decide_the_pass_rate(api: Api) -> None:
    """Results of assertions show on items and make the pass rate; writing again replaces."""
    dataset = api.dataset({"q": 1}, {"q": 2})
    run = experiment(api, dataset, evaluation_method="evaluation_suite")
    traces = [result(api, run, item) for item in api.items(dataset)]
    for trace, status in zip(traces, ("passed", "failed"), strict=True):
        given = {"entity_id": trace, "name": "polite", "status": status, "source": "sdk"}
        body = {"entity_type": "TRACE", "assertion_results": [given]}
        api.ok("PUT", "assertion-results", body)
        api.ok("PUT", "assertion-results", body)
    found = api.ok("GET", f"experiments/{run}")
    assert (found["pass_rate"], found["passed_count"], found["total_count"]) == (0.5, 1, 2)
    path = f"datasets/{dataset['id']}/items/experiments/items"
    page = api.ok("GET", path, params={"experiment_ids": json.dumps([run])})
    shown = [row["experiment_items"][0] for row in page["content"]]
    assert [item["status"] for item in shown] == ["passed", "failed"]
    assert shown[0]["assertion_results"] == [{"value": "polite", "passed": True, "reason": None}]
    for bad in ({"entity_type": "X"}, {"entity_type": "SPAN", "assertion_results": []}):
        assert api.send("PUT", "assertion-results", bad).status_code == 422
    wrong = {"entity_type": "TRACE", "assertion_results": [{**given, "status": "maybe"}]}
    assert api.send("PUT", "assertion-results", wrong).status_code == 422


def test_bulk_upload(api: Api) -> None:
    """A bulk upload writes experiment, items, traces, spans and scores in one step."""
    dataset = api.dataset({"q": 1}, {"q": 2})
    one, two = api.items(dataset)
    trace = {"id": new_id(), "name": "t", "start_time": START, "output": {"a": 1}}
    span = {"name": "s", "start_time": START, "type": "llm"}
    scores = [{"name": "good", "value": 1.0, "source": "sdk"}]
    body = {
        "experiment_name": "bulk",
        "experiment_id": new_id(),
        "dataset_name": dataset["name"],
        "project_name": api.project,
        "items": [
            {
                "dataset_item_id": one["id"],
                "trace": trace,
                "spans": [span],
                "feedback_scores": scores,
            },
            {"dataset_item_id": two["id"], "evaluate_task_result": {"answer": 2}},
        ],
    }
    api.ok("PUT", "experiments/items/bulk", body)
    found = api.ok("GET", f"experiments/{body['experiment_id']}")
    assert (found["name"], found["trace_count"]) == ("bulk", 2)
    assert found["feedback_scores"] == [{"name": "good", "value": 1.0}]
    assert api.ok("GET", f"traces/{trace['id']}")["llm_span_count"] == 1
    query = {"project_name": api.project}
    outputs = [row["output"] for row in api.lines("traces/search", query)]
    assert {"answer": 2} in outputs
    both = {**body["items"][0], "evaluate_task_result": 1}  # type: ignore[index]
    assert api.send("PUT", "experiments/items/bulk", {**body, "items": [both]}).status_code == 422
    other = {**body, "dataset_name": api.dataset()["name"]}
    assert api.send("PUT", "experiments/items/bulk", other).status_code == 409
    wrong = {**body, "items": [{"dataset_item_id": one["id"], "trace": 5}]}
    assert api.send("PUT", "experiments/items/bulk", wrong).status_code == 422


def test_streams_and_lists(api: Api) -> None:
    """Experiments are streamed by part of their name and listed by dataset, type and score."""
    dataset = api.dataset({"q": 1})
    name = f"Exp {new_id()}"
    trial = experiment(api, dataset, name=name, type="trial")
    plain = experiment(api, dataset, name=name + " two")
    trace = result(api, trial, api.items(dataset)[0])
    score(api, trace, 1.0)
    assert [row["id"] for row in api.lines("experiments/stream", {"name": name.lower()})] == [
        plain,
        trial,
    ]
    assert api.lines("experiments/stream", {"name": "no such name"}) == []

    def listed(**query: object) -> list[str]:
        found = api.ok("GET", "experiments", params={"datasetId": dataset["id"], **query})
        return [row["id"] for row in found["content"]]

    assert listed() == [plain, trial]
    assert listed(types='["trial"]') == [trial]
    assert listed(name="TWO") == [plain]
    assert listed(experiment_ids=json.dumps([plain])) == [plain]
    assert listed(sorting='[{"field": "name", "direction": "ASC"}]') == [trial, plain]
    good = [{"field": "feedback_scores", "key": "good", "operator": ">", "value": "0.5"}]
    assert listed(filters=json.dumps(good)) == [trial]
    config = [{"field": "type", "operator": "=", "value": "regular"}]
    assert listed(filters=json.dumps(config)) == [plain]
    (item,) = api.lines("experiments/items/stream", {"experiment_name": name})
    assert item["trace_id"] == trace
    assert api.ok("GET", f"experiments/items/{item['id']}") == item
    api.ok("POST", "experiments/items/delete", {"ids": [item["id"]]})
    assert api.send("GET", f"experiments/items/{item['id']}").status_code == 404


@pytest.mark.parametrize("method", ["POST", "PUT"])
def test_optimizations(api: Api, method: str) -> None:
    """A run says how many trials it had and what the best of them reached."""
    dataset = api.dataset({"q": 1})
    run = {
        "id": new_id(),
        "dataset_name": dataset["name"],
        "objective_name": "good",
        "status": "running",
        "metadata": {"optimizer": "x"},
        "project_name": api.project,
    }
    assert api.send(method, "optimizations", run).status_code == 201
    for value in (0.25, 0.75):
        trial = experiment(api, dataset, type="trial", optimization_id=run["id"])
        score(api, result(api, trial, api.items(dataset)[0]), value)
    experiment(api, dataset, type="mini-batch", optimization_id=run["id"])
    api.ok("PUT", f"optimizations/{run['id']}", {"status": "completed"})
    found = api.ok("GET", f"optimizations/{run['id']}")
    assert (found["status"], found["num_trials"]) == ("completed", 2)
    assert (found["baseline_objective_score"], found["best_objective_score"]) == (0.25, 0.75)
    query = {"dataset_id": dataset["id"], "name": found["name"]}
    assert [r["id"] for r in api.ok("GET", "optimizations", params=query)["content"]] == [run["id"]]
    api.ok("POST", "optimizations/delete", {"ids": [run["id"]]})
    assert api.send("GET", f"optimizations/{run['id']}").status_code == 404
    assert api.send(method, "optimizations", {**run, "objective_name": ""}).status_code == 422


def test_guardrails(api: Api) -> None:
    """Results of guardrails show on the trace and can be filtered by."""
    trace = api.trace()["id"]
    api.trace()
    check = {
        "entity_id": trace,
        "secondary_id": new_id(),
        "name": "PII",
        "result": "failed",
        "config": {},
        "details": {"found": 1},
    }
    api.ok("POST", "guardrails", {"guardrails": [check]})
    (shown,) = api.ok("GET", f"traces/{trace}")["guardrails_validations"]
    assert (shown["name"], shown["result"]) == ("PII", "failed")
    failed = [{"field": "guardrails", "operator": "=", "value": "failed"}]
    rows = api.lines("traces/search", {"project_name": api.project, "filters": failed})
    assert [row["id"] for row in rows] == [trace]
