"""Experiments uploaded in bulk, and attachments."""

from datetime import UTC, datetime
from pathlib import Path

import opik
from driving import PROJECT, drive, until
from opik.id_helpers import generate_id

START = datetime(2026, 3, 4, 5, 6, 7, 890123, tzinfo=UTC)


def upload(client):
    dataset = client.create_dataset(f"{PROJECT} bulk")
    dataset.insert([{"number": number} for number in range(300)])
    experiment = client.create_experiment(
        dataset_name=dataset.name, name="bulk", experiment_config={"by": "hand"}
    )
    items, given = [], {}
    for row in dataset.get_items():
        number = row["number"]
        if number % 3 == 0:
            items.append(
                opik.ExperimentItemBulkRecord(
                    dataset_item_id=row["id"], evaluate_task_result={"answer": number}
                )
            )
            continue
        trace_id = given[row["id"]] = generate_id()
        trace = opik.ExperimentItemBulkTrace(
            id=trace_id,
            start_time=START,
            end_time=START,
            name="task",
            input={"number": number},
            output={"answer": number},
        )
        span = opik.ExperimentItemBulkSpan(
            id=generate_id(),
            start_time=START,
            end_time=START,
            type="llm",
            model="m",
            usage={"total_tokens": number},
        )
        score = {"name": "parity", "value": number % 2, "reason": "counted"}
        items.append(
            opik.ExperimentItemBulkRecord(
                dataset_item_id=row["id"], trace=trace, spans=[span], feedback_scores=[score]
            )
        )
    experiment.batch_upload_items(items)
    read = client.get_experiment_by_name("bulk").get_items()
    return {
        "experiment": experiment.id,
        "numbers": {row["id"]: row["number"] for row in dataset.get_items()},
        "traces": given,
        "read": {item.dataset_item_id: item.evaluation_task_output for item in read},
    }


def attach(client):
    text = Path("note.txt")
    text.write_bytes("Grüße\n".encode() * 1000)
    large = Path("large.bin")
    large.write_bytes(bytes(range(256)) * (20 << 12))  # 20 MiB
    trace = client.trace(
        name="attached",
        input={"a": 1},
        attachments=[opik.Attachment(data=str(text), content_type="text/plain")],
    )
    span = trace.span(
        name="model", attachments=[opik.Attachment(data=b"\x00\x01\x02", file_name="raw bytes.bin")]
    )
    span.end()
    trace.end()
    client.flush(60)
    files = client.get_attachment_client()
    files.upload_attachment(
        project_name=PROJECT,
        entity_type="trace",
        entity_id=trace.id,
        file_path=str(large),
        mime_type="application/x-large",
    )
    until(lambda: len(files.get_attachment_list(PROJECT, trace.id, "trace")) == 2)
    until(lambda: len(files.get_attachment_list(PROJECT, span.id, "span")) == 1)
    listed = {row.file_name: row for row in files.get_attachment_list(PROJECT, trace.id, "trace")}
    assert listed["large.bin"].file_size == large.stat().st_size
    for path, kind in ((text, "text/plain"), (large, "application/x-large")):
        content = b"".join(files.download_attachment(PROJECT, "trace", trace.id, path.name, kind))
        assert content == path.read_bytes(), (path, len(content))
    picture = (
        "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJ" + "AAAA" * 70_000
    )
    inline = client.trace(
        name="inline",
        start_time=START,
        end_time=START,
        input={"picture": picture},
        output={"seen": True},
    )
    client.flush(60)
    return {"trace": trace.id, "span": span.id, "inline": inline.id}


def flow(client):
    return {"bulk": upload(client), "files": attach(client)}


if __name__ == "__main__":
    drive(flow)
