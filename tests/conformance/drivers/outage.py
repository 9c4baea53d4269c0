"""Goes on logging while the server is away; the test and this program wait for files of each other.

The server goes when nothing is under way: a request whose connection is reset is lost in the client
(``httpx.ReadError`` is none of the errors after which it tries again).
"""

from pathlib import Path

import opik
from driving import drive, until

COUNT = 25
logged = []


@opik.track(name="inner", type="tool")
def inner(number):
    return {"doubled": number * 2}


@opik.track(name="outer")
def outer(number, phase):
    opik.opik_context.update_current_trace(metadata={"phase": phase})
    logged.append(opik.opik_context.get_current_trace_data().id)
    opik.opik_context.update_current_trace(feedback_scores=[{"name": "n", "value": number}])
    return inner(number)["doubled"]


def log(phase):
    """Log some traces by decorator and by hand."""
    client = opik.get_global_client()
    for number in range(COUNT):
        outer(number, phase)
    trace = client.trace(name="by hand", input={"phase": phase})
    logged.append(trace.id)
    span = trace.span(name="step", input={"phase": phase})
    span.end(output={"done": True})
    trace.end(output={"done": phase})


def flow(client):
    log("before")
    assert client.flush(60)
    wait_for("is-down")
    log("during")
    client.flush(5)  # which says True once the client knows that the server is away
    wait_for("is-up")
    log("after")
    client.flush(60)
    # What could not be sent comes when the client has seen that the server is back.
    find = client.rest_client.traces.get_trace_by_id
    until(lambda: all(_is_there(find, trace_id) for trace_id in logged), 90)
    client.flush(60)
    return logged


def wait_for(name):
    """Tell the test that its turn is now, and wait until it has done it."""
    Path(f"ready-for-{name}").touch()
    until(Path(name).exists, 120)


def _is_there(find, trace_id):
    try:
        return find(trace_id).output is not None
    except opik.rest_api.core.ApiError:
        return False


if __name__ == "__main__":
    drive(flow)
