"""A script written for Opik's optimizers: a benchmark set, a metric, two optimizers in a row."""

from typing import Any

from opik.evaluation.metrics import LevenshteinRatio
from opik.evaluation.metrics.score_result import ScoreResult

import opik_optimizer
from opik_optimizer import (
    ChatPrompt,
    MetaPromptOptimizer,
    OptimizableAgent,
    ParameterOptimizer,
    ParameterSearchSpace,
    ParameterSpec,
)
from opik_optimizer.datasets import hotpot

dataset = opik_optimizer.datasets.tiny_test()
validation_dataset = opik_optimizer.datasets.tiny_test(split="validation")
answers = {
    item["text"]: item["label"]
    for part in (dataset, validation_dataset)
    for item in part.get_items()
}
assert len(dataset.get_items()) == 5
assert len(hotpot(test_mode=True).get_items()) == 5


def levenshtein_ratio(dataset_item: dict[str, Any], llm_output: str) -> ScoreResult:
    metric = LevenshteinRatio()
    score = metric.score(reference=dataset_item["label"], output=llm_output)
    return ScoreResult(name="levenshtein_ratio", value=score.value, reason="compared by letters")


class Clerk(OptimizableAgent):
    """Answers to the point if it is told to."""

    def invoke_agent(
        self,
        prompts: dict[str, ChatPrompt],
        dataset_item: dict[str, Any],
        allow_tool_use: bool = False,
        seed: int | None = None,
    ) -> str:
        prompt = next(iter(prompts.values()))
        messages = prompt.get_messages(dataset_item)
        answer = answers[messages[-1]["content"]]
        return answer if "one word" in messages[0]["content"] else f"I think that it is {answer}."


prompt = ChatPrompt(
    name="clerk",
    system="Answer the question.",
    user="{text}",
    model="openai/gpt-4o-mini",
    model_parameters={"temperature": 0.7},
)
optimizer = MetaPromptOptimizer(prompts_per_round=2, n_threads=4, seed=42, verbose=0)
result = optimizer.optimize_prompt(
    prompt=prompt,
    dataset=dataset,
    validation_dataset=validation_dataset,
    metric=levenshtein_ratio,
    agent=Clerk(),
    n_samples=5,
    max_trials=4,
    project_name="clerks",
)
assert result.metric_name == "levenshtein_ratio"
assert result.optimizer == "MetaPromptOptimizer"
assert result.score >= result.initial_score
assert [m["role"] for m in result.initial_prompt.get_messages()] == ["system", "user"]
result.display()

space = ParameterSearchSpace(
    parameters=[
        ParameterSpec(name="temperature", type="float", min=0.0, max=1.0, target="temperature")
    ]
)
tuned = ParameterOptimizer(seed=42, verbose=0).optimize_parameter(
    prompt=result.prompt,
    dataset=dataset,
    metric=levenshtein_ratio,
    parameter_space=space,
    agent=Clerk(),
    max_trials=3,
)
assert 0 <= tuned.get_optimized_model_kwargs()["temperature"] <= 1
assert tuned.get_optimized_model() == "openai/gpt-4o-mini"
