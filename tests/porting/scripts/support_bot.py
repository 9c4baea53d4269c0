"""A script written for Opik: a dataset, a tracked task, own metric, evaluate."""

import opik
from opik import Opik, track
from opik.evaluation import evaluate
from opik.evaluation.metrics import BaseMetric, Contains, Equals, base_metric, score_result

client = Opik()
dataset = client.get_or_create_dataset(name="Support questions", description="From the help desk")
dataset.insert(
    [
        {"user_question": "How do I reset my password?", "expected_output": "reset link"},
        {"user_question": "Where is my invoice?", "expected_output": "billing page"},
    ]
)
dataset.insert([{"user_question": "Where is my invoice?", "expected_output": "billing page"}])
assert len(dataset.get_items()) == 2


@track(name="retrieve", type="tool")
def retrieve(question: str) -> list[str]:
    return ["Use the reset link."] if "password" in question else ["See the billing page."]


@track
def answer(question: str) -> str:
    context = retrieve(question)
    return context[0]


def evaluation_task(item: dict) -> dict:
    return {"output": answer(item["user_question"]), "context": ["docs"]}


class Brevity(base_metric.BaseMetric):
    """Shorter is better."""

    def __init__(self, limit: int, name: str = "brevity"):
        super().__init__(name=name)
        self.limit = limit

    def score(self, output: str, **ignored_kwargs):
        return score_result.ScoreResult(
            name=self.name, value=float(len(output) <= self.limit), reason=f"{len(output)} chars"
        )


class Polite(BaseMetric):
    def score(self, output: str, **ignored_kwargs):
        return [score_result.ScoreResult(name="polite", value=0.0)]


result = evaluate(
    experiment_name="Support bot v1",
    dataset=dataset,
    task=evaluation_task,
    scoring_metrics=[Contains(), Brevity(limit=40), Polite(name="politeness"), Equals()],
    scoring_key_mapping={"reference": "expected_output"},
    experiment_config={"model": "rules"},
    task_threads=2,
)
scores = result.aggregate_evaluation_scores().aggregated_scores
assert scores["contains_metric"].mean == 1.0
assert scores["brevity"].mean == 1.0
assert opik.flush_tracker() is not None
experiment = client.get_experiment_by_name("Support bot v1")
assert len(experiment.get_items()) == 2
