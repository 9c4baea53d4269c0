"""Deletions of every kind of thing that can be deleted, beside others that stay."""

from driving import PROJECT, drive, until


def traced(client, name):
    trace = client.trace(name=name, thread_id=name)
    trace.span(name="inner").end()
    trace.log_feedback_score("good", 1)
    trace.end()
    return trace.id


def flow(client):
    rest = client.rest_client
    traces = {name: traced(client, name) for name in ("kept", "one", "batch", "thread")}
    client.flush(30)
    rest.traces.delete_trace_by_id(traces["one"])
    rest.traces.delete_traces(ids=[traces["batch"]])
    rest.traces.delete_trace_threads(project_name=PROJECT, thread_ids=["thread"])
    until(lambda: [trace.name for trace in client.search_traces(PROJECT)] == ["kept"])
    assert [span.trace_id for span in client.search_spans(PROJECT)] == [traces["kept"]]

    dataset = client.create_dataset(f"{PROJECT} kept")
    dataset.insert([{"number": number} for number in range(4)])
    experiments = {
        name: client.create_experiment(dataset.name, name=name) for name in ("kept", "deleted")
    }
    rest.experiments.delete_experiments_by_id(ids=[experiments["deleted"].id])
    optimizations = {
        name: client.create_optimization(dataset.name, "accuracy", name=name)
        for name in ("kept", "deleted")
    }
    client.delete_optimizations([optimizations["deleted"].id])
    suites = {name: client.create_test_suite(f"{PROJECT} suite {name}") for name in ("a", "b")}
    client.delete_test_suite(suites["b"].name)
    assert [suite.name for suite in client.get_test_suites()] == [suites["a"].name]
    prompts = {name: client.create_prompt(f"{PROJECT} {name}", "text") for name in ("kept", "gone")}
    (gone,) = rest.prompts.get_prompts(name=prompts["gone"].name).content
    rest.prompts.delete_prompt(gone.id)
    client.create_environment("kept-environment")
    client.create_environment("deleted-environment")
    client.delete_environment("deleted-environment")
    assert "deleted-environment" not in {found.name for found in client.get_environments()}
    other = client.trace(name="of another project", project_name=f"{PROJECT} deleted")
    other.end()
    client.flush(30)
    project = rest.projects.retrieve_project(name=f"{PROJECT} deleted")
    rest.projects.delete_project_by_id(project.id)
    return {
        "traces": traces,
        "experiments": {name: experiment.id for name, experiment in experiments.items()},
        "optimizations": {name: found.id for name, found in optimizations.items()},
        "trace of project": other.id,
    }


if __name__ == "__main__":
    drive(flow)
