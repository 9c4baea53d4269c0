"""A run of the published optimizer."""

from driving import PROJECT, drive


def exact(dataset_item, llm_output):
    from opik.evaluation.metrics.score_result import ScoreResult

    return ScoreResult(
        name="exact", value=float(llm_output == dataset_item["capital"]), reason="compared"
    )


def flow(client):
    import opik_optimizer

    dataset = client.create_dataset(f"{PROJECT} capitals")
    dataset.insert(
        [
            {"country": c, "capital": a}
            for c, a in (("France", "Paris"), ("Italy", "Rome"), ("Japan", "Tokyo"))
        ]
    )
    prompt = opik_optimizer.ChatPrompt(
        system="You know geography.", user="The capital of {country}?", model="openai/gpt-4o-mini"
    )
    optimizer = opik_optimizer.MetaPromptOptimizer(
        model="openai/gpt-4o-mini",
        prompts_per_round=1,
        n_threads=2,
        verbose=0,
        enable_context=False,
        use_hall_of_fame=False,
    )
    result = optimizer.optimize_prompt(prompt, dataset, exact, max_trials=2, project_name=PROJECT)
    client.flush(30)
    return {
        "optimization": result.optimization_id,
        "score": result.score,
        "initial": result.initial_score,
        "dataset": dataset.id,
    }


if __name__ == "__main__":
    drive(flow)
