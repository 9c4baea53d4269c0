"""Test suites: assertions that a model judges, with a policy of how many runs must pass."""

import opik
from driving import PROJECT, drive

ASSERTIONS = ["names a city", "is short"]


def task(item):
    return {"input": item, "output": f"The capital of {item['country']} is Paris"}


def flow(client):
    suite = client.create_test_suite(
        f"{PROJECT} suite",
        description="capitals",
        global_assertions=ASSERTIONS,
        global_execution_policy={"runs_per_item": 2, "pass_threshold": 1},
        tags=["regression"],
    )
    suite.insert(
        [
            {"data": {"country": "France"}},
            {
                "data": {"country": "Italy"},
                "assertions": ["is polite"],
                "execution_policy": {"runs_per_item": 1, "pass_threshold": 1},
            },
        ]
    )
    again = client.get_test_suite(f"{PROJECT} suite")
    assert again.get_global_assertions() == ASSERTIONS, again.get_global_assertions()
    assert again.get_global_execution_policy() == {"runs_per_item": 2, "pass_threshold": 1}
    assert again.get_tags() == ["regression"], again.get_tags()
    result = opik.run_tests(again, task, experiment_name="suite", verbose=0, generate_report=False)
    assert result.all_items_passed
    again.update_test_settings(
        global_assertions=["is short"],
        global_execution_policy={"runs_per_item": 1, "pass_threshold": 1},
    )
    assert client.get_test_suite(again.name).get_global_assertions() == ["is short"]
    client.flush(30)
    found = client.get_test_suite_experiments(again.name)
    return {"items": again.get_items(), "experiments": [experiment.id for experiment in found]}


if __name__ == "__main__":
    drive(flow)
