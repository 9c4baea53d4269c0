"""A client with an API key, which sends more than it may in a minute."""

from datetime import UTC, datetime

from driving import drive
from opik.rest_api.core.api_error import ApiError

COUNT = 60  # with as many scores it is more than the 100 events that the server takes in a minute


def flow(client):
    try:
        client.auth_check()
    except ApiError as error:
        client.trace(name="refused").end()
        return {"status": error.status_code, "is_flushed": client.flush(10)}
    traces = []
    for number in range(COUNT):
        trace = client.trace(
            name=f"trace {number}",
            end_time=datetime.now(UTC),
            output={"number": number},
        )
        trace.log_feedback_score("number", number)
        traces.append(trace.id)
    return {"status": 204, "is_flushed": client.flush(90), "traces": traces}


if __name__ == "__main__":
    drive(flow)
