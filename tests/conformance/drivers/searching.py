"""Search: every family of operators, on traces, spans, threads, items of datasets and prompts."""

from datetime import UTC, datetime, timedelta

from driving import PROJECT, drive, until

DAY = datetime(2026, 1, 1, tzinfo=UTC)

TRACES = {
    "": "alpha beta gamma",
    'name = "alpha one"': "alpha",
    'name != "alpha one"': "beta gamma",
    'name contains "TWO"': "beta",
    'name not_contains "alpha"': "beta gamma",
    'name starts_with "gam"': "gamma",
    'name ends_with "three"': "gamma",
    'name > "beta"': "beta gamma",
    'name < "beta"': "alpha",
    'input contains "france"': "alpha",
    'output contains "Rome"': "beta",
    'thread_id = "thread 1"': "alpha",
    'start_time >= "2026-01-02T00:00:00Z"': "beta gamma",
    'start_time < "2026-01-02T00:00:00Z"': "alpha",
    'end_time > "2026-01-03T00:00:02.5Z"': "gamma",
    'metadata.model = "m1"': "alpha",
    'metadata.model contains "M"': "alpha beta",
    "metadata.cost > 1": "beta",
    "metadata.cost <= 0.5": "alpha",
    'metadata."deep.key" = "value"': "alpha",
    'input_json.city = "Rome"': "beta",
    'output_json.answer starts_with "Ro"': "beta",
    'tags contains "blue"': "alpha",
    'tags not_contains "red"': "gamma",
    "tags is_empty": "gamma",
    "tags is_not_empty": "alpha beta",
    "total_estimated_cost > 0.1": "gamma",
    "usage.total_tokens = 30": "gamma",
    "usage.prompt_tokens >= 10": "gamma",
    "llm_span_count >= 1": "gamma",
    "duration >= 2000": "beta gamma",
    "duration < 1500": "alpha",
    "feedback_scores.quality > 0.5": "alpha",
    "feedback_scores.quality = 0.4": "beta",
    "feedback_scores.quality is_empty": "gamma",
    'feedback_scores."quality" is_not_empty': "alpha beta",
    "span_feedback_scores.depth >= 0.3": "gamma",
    "error_info is_not_empty": "beta",
    "error_info is_empty": "alpha gamma",
    'environment = "production"': "alpha",
    'environment in ("production", "staging")': "alpha beta",
    'environment not_in ("production")': "beta gamma",
    'tags contains "red" and duration > 1500 and name contains "two"': "beta",
}
SPANS = {
    'type = "llm"': "model",
    'type != "llm"': "lookup",
    'model = "gpt-4o-mini"': "model",
    'provider contains "open"': "model",
    "usage.completion_tokens > 15": "model",
    "total_estimated_cost >= 0.25": "model",
    'tags contains "tooling"': "lookup",
    'metadata.step = "1"': "lookup",
    "duration > 400": "model",
    "feedback_scores.depth < 0.9": "model",
    "error_info is_not_empty": "lookup",
    'name starts_with "look"': "lookup",
}
THREADS = {
    'id = "thread 1"': "thread 1",
    "number_of_messages >= 2": "thread 1|thread 2",
    'first_message contains "France"': "thread 1",
    'last_message contains "Rome"': "thread 2",
    "duration < 1500": "thread 1",
    'status = "active"': "thread 1|thread 2",
    "feedback_scores.calm > 0.5": "thread 2",
    'start_time > "2026-01-01T12:00:00Z"': "thread 2",
}
ITEMS = {
    'data.city = "Rome"': "Rome",
    'data.city contains "o"': "Rome Tokyo",
    'data."deep.key" starts_with "v"': "Paris",
    'full_data contains "tokyo"': "Tokyo",
    'source = "sdk"': "Paris Rome Tokyo",
}
PROMPTS = {'name contains "search"': "searched", 'tags contains "findable"': "searched"}


def write(client):
    first = client.trace(
        name="alpha one",
        start_time=DAY,
        input={"q": "Capital of France"},
        metadata={"model": "m1", "cost": 0.5, "deep": {"key": "value"}},
        tags=["red", "blue"],
        thread_id="thread 1",
        environment="production",
    )
    first.end(end_time=DAY + timedelta(seconds=1), output={"answer": "Paris"})
    second = client.trace(
        name="beta two",
        start_time=DAY + timedelta(days=1),
        input={"q": "Capital of Italy", "city": "Rome"},
        metadata={"model": "m2", "cost": 1.5},
        tags=["red"],
        thread_id="thread 2",
        environment="staging",
        error_info={"exception_type": "ValueError", "message": "no", "traceback": "here"},
    )
    second.end(end_time=DAY + timedelta(days=1, seconds=2), output={"answer": "Rome"})
    third = client.trace(
        name="gamma three", start_time=DAY + timedelta(days=2), input={"q": "none"}
    )
    model = third.span(
        name="model call",
        type="llm",
        start_time=DAY,
        end_time=DAY + timedelta(seconds=0.5),
        model="gpt-4o-mini",
        provider="openai",
        usage={"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30},
        total_cost=0.25,
    )
    third.span(
        name="lookup",
        type="tool",
        start_time=DAY,
        end_time=DAY + timedelta(seconds=0.25),
        tags=["tooling"],
        metadata={"step": "1"},
        error_info={"exception_type": "KeyError", "message": "k", "traceback": "there"},
    )
    third.end(end_time=DAY + timedelta(days=2, seconds=3), output={"answer": "?"})
    first.log_feedback_score("quality", 0.9)
    second.log_feedback_score("quality", 0.4)
    model.log_feedback_score("depth", 0.3)
    client.flush(30)
    client.log_threads_feedback_scores(
        [
            {"id": "thread 2", "name": "calm", "value": 0.9},
            {"id": "thread 1", "name": "calm", "value": 0.1},
        ]
    )
    dataset = client.create_dataset(f"{PROJECT} cities")
    dataset.insert(
        [
            {"city": "Paris", "people": 2, "deep": {"key": "value"}},
            {"city": "Rome", "people": 4},
            {"city": "Tokyo", "people": 14},
        ]
    )
    client.create_prompt("searched", "text", tags=["findable"])
    client.create_prompt("other", "text", tags=["hidden"])
    client.flush(30)
    return dataset


def wrong(table, search, separator=" "):
    """Return the filters that find something else than they should."""
    found = {}
    for text, expected in table.items():
        try:
            names = sorted(search(text))
        except Exception as error:  # noqa: BLE001 - it is what the table is compared with
            names = [repr(error)]
        if names != sorted(expected.split(separator)):
            found[text] = names
    return found


def flow(client):
    dataset = write(client)
    until(lambda: len(client.search_traces(PROJECT)) == 3)

    def traces(text):
        return [trace.name.split()[0] for trace in client.search_traces(PROJECT, text or None)]

    def spans(text):
        return [span.name.split()[0] for span in client.search_spans(PROJECT, filter_string=text)]

    mistakes = {
        "traces": wrong(TRACES, traces),
        "spans": wrong(SPANS, spans),
        "threads": wrong(
            THREADS,
            lambda text: [thread.id for thread in client.search_threads(PROJECT, text)],
            "|",
        ),
        "items": wrong(
            ITEMS, lambda text: [row["city"] for row in dataset.get_items(filter_string=text)]
        ),
        "prompts": wrong(
            PROMPTS, lambda text: [prompt.name for prompt in client.search_prompts(text)]
        ),
    }
    newest = client.search_traces(PROJECT, max_results=2)
    assert [trace.name for trace in newest] == ["gamma three", "beta two"]
    assert len(client.search_traces(PROJECT, max_batch_size=1)) == 3
    bare = client.search_traces(PROJECT, exclude=["input", "output"])
    assert all(trace.input is None and trace.output is None for trace in bare)
    return mistakes


if __name__ == "__main__":
    drive(flow)
