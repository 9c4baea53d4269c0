"""Scores on traces, spans and threads; threads; queues of annotation; deletions and copies."""

from driving import PROJECT, drive, until


def conversation(client, thread, turns):
    ids = []
    for turn in range(turns):
        trace = client.trace(name="turn", thread_id=thread, input={"input": f"question {turn}"})
        span = trace.span(name="model", type="llm")
        span.log_feedback_score("fluent", 0.25 * turn, reason=f"turn {turn}")
        span.end()
        trace.log_feedback_score("helpful", turn / 2, category_name="by hand", reason="because")
        trace.end(output={"output": f"answer {turn}"})
        ids.append((trace.id, span.id))
    return ids


def flow(client):
    first = conversation(client, "thread one", 3)
    conversation(client, "thread two", 1)
    traces = [trace for trace, _ in first]
    client.flush(30)
    client.log_traces_feedback_scores(
        [{"id": trace, "name": "overall", "value": -3.5} for trace in traces]
    )
    client.log_traces_feedback_scores(
        [{"id": traces[0], "name": "overall", "value": 1, "reason": "second thoughts"}]
    )
    client.log_spans_feedback_scores(
        [{"id": span, "name": "brief", "value": 1.0, "category_name": "c"} for _, span in first]
    )
    client.log_assertion_results(
        [{"id": traces[0], "name": "is polite", "status": "passed", "reason": "it is"}]
    )
    client.flush(30)
    until(lambda: len(client.search_threads(PROJECT)) == 2)
    client.get_threads_client().close_thread("thread one", PROJECT)
    client.log_threads_feedback_scores(
        [{"id": "thread one", "name": "resolved", "value": 0.75, "reason": "yes"}], PROJECT
    )
    client.flush(30)
    client.delete_trace_feedback_score(traces[1], "overall")
    client.rest_client.traces.delete_traces(ids=[traces[2]])
    found = client.search_threads(PROJECT, 'id = "thread one"')
    queue = client.create_traces_annotation_queue("to judge", description="d", instructions="i")
    queue.add_traces([client.get_trace_content(trace) for trace in traces[:2]])
    until(lambda: len(list(queue.get_items())) == 2)
    queue.remove_traces([client.get_trace_content(traces[0])])
    until(lambda: [item.id for item in queue.get_items()] == [traces[1]])
    queue.update(description="changed")
    assert client.get_traces_annotation_queue(queue.id).description == "changed"
    emptied = client.create_traces_annotation_queue("to delete")
    emptied.delete()
    assert [queue.name for queue in client.get_traces_annotation_queues()] == ["to judge"]
    client.copy_traces(PROJECT, f"{PROJECT} copy")
    client.flush(30)
    until(lambda: len(client.search_traces(f"{PROJECT} copy")) == 3)
    return {"traces": traces, "threads": [thread.dict() for thread in found]}


if __name__ == "__main__":
    drive(flow)
