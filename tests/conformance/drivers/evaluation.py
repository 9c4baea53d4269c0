"""Evaluations: of a task, of a prompt, scored again, and resumed."""

from contextlib import suppress

import opik
from driving import PROJECT, drive
from opik.evaluation import metrics
from opik.evaluation.metrics import score_result

CAPITALS = {
    "France": "Paris",
    "Italy": "Rome",
    "Japan": "Tokyo",
    "Chile": "Santiago",
    "Peru": "Lima",
}
calls = []


class Length(metrics.BaseMetric):
    def __init__(self):
        super().__init__(name="length")

    def score(self, output, **ignored):
        return score_result.ScoreResult(
            name=self.name, value=len(output) / 100, reason=f"{len(output)} letters"
        )


def task(item):
    calls.append(item["country"])
    return {"output": CAPITALS[item["country"]], "reference": item["capital"]}


def broken(item):
    if item["country"] in ("Japan", "Peru"):
        raise RuntimeError(f"no {item['country']}")
    return task(item)


def worst(results):
    return [
        score_result.ScoreResult(
            name="worst", value=min(s.value for r in results for s in r.score_results)
        )
    ]


def seen(result):
    """Return what a result says of every item."""
    return [
        {
            "trace_id": test.test_case.trace_id,
            "item_id": test.test_case.dataset_item_id,
            "trial": test.trial_id,
            "output": test.test_case.task_output,
            "scores": {
                score.name: score.value for score in test.score_results if not score.scoring_failed
            },
        }
        for test in result.test_results
    ]


def told(result):
    return {"id": result.experiment_id, "name": result.experiment_name, "items": seen(result)}


def whole(dataset):
    return opik.evaluate(
        dataset=dataset,
        task=task,
        scoring_metrics=[metrics.Equals(), Length()],
        scoring_functions=[],
        experiment_name="whole",
        experiment_config={"model": "table", "temperature": 0.0},
        experiment_scoring_functions=[worst],
        experiment_tags=["nightly"],
        trial_count=2,
        task_threads=4,
        verbose=0,
    )


def scored_again(name):
    return opik.evaluate_experiment(
        experiment_name=name, scoring_metrics=[metrics.Contains()], scoring_threads=2, verbose=0
    )


def of_prompt(dataset):
    return opik.evaluate_prompt(
        dataset=dataset,
        messages=[{"role": "user", "content": "What is the capital of {{country}}?"}],
        model="openai/gpt-4o-mini",
        scoring_metrics=[metrics.Equals()],
        experiment_name="prompt",
        nb_samples=3,
        task_threads=2,
        verbose=0,
    )


def resumed(dataset):
    """Break an evaluation off, and go on with it."""
    options = {"scoring_metrics": [metrics.Equals()], "verbose": 0}
    with suppress(RuntimeError):
        opik.evaluate(
            dataset=dataset, task=broken, experiment_name="resumed", task_threads=1, **options
        )
    client = opik.get_global_client()
    client.flush(30)
    experiment = client.get_experiment_by_name("resumed")
    calls.clear()
    result = opik.evaluate_resume(experiment_id=experiment.id, task=task, task_threads=1, **options)
    return {**told(result), "called": list(calls)}


def flow(client):
    dataset = client.create_dataset(f"{PROJECT} capitals")
    dataset.insert(
        [
            {"country": country, "capital": capital, "reference": capital}
            for country, capital in CAPITALS.items()
        ]
    )
    first = whole(dataset)
    client.flush(30)
    read = client.get_experiment_by_name("whole").get_items()
    said = {
        "whole": told(first),
        "read": [
            {
                "item": item.dataset_item_id,
                "trace": item.trace_id,
                "output": item.evaluation_task_output,
                "scores": item.feedback_scores,
            }
            for item in read
        ],
        "again": told(scored_again("whole")),
        "prompt": told(of_prompt(dataset)),
        "resumed": resumed(dataset),
    }
    found = client.get_dataset_experiments(dataset.name)
    assert {experiment.name for experiment in found} == {"whole", "prompt", "resumed"}
    unnamed = opik.evaluate(dataset=dataset, task=task, nb_samples=1, verbose=0)
    assert unnamed.experiment_name
    said["unnamed"] = told(unnamed)
    return said


if __name__ == "__main__":
    drive(flow)
