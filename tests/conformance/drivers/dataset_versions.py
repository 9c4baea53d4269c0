"""Datasets: made, filled in parallel, read, changed, read as they were, cleared, deleted."""

from driving import PROJECT, drive, until

NAME = f"{PROJECT} kept"
ROWS = 2500


def rows_of(dataset):
    return {row["number"]: row for row in dataset.get_items()}


def flow(client):
    dataset = client.get_or_create_dataset(NAME, description="numbers")
    rows = [
        {"number": n, "text": f"№ {n}", "nested": {"list": [n, None, 0.5], "empty": {}}}
        for n in range(ROWS)
    ]
    dataset.insert(rows)
    first = rows_of(dataset)
    assert {n: {k: v for k, v in row.items() if k != "id"} for n, row in first.items()} == {
        r["number"]: r for r in rows
    }
    assert dataset.get_current_version_name() == "v1", dataset.get_current_version_name()

    again = client.get_dataset(NAME)
    again.insert(rows[:10])  # known by their content: nothing changes
    assert again.get_current_version_name() == "v1", again.get_current_version_name()
    again.insert([{"number": -1, "text": "", "nested": {}}])
    again.update([{"id": first[0]["id"], "number": 0, "text": "changed", "nested": {}}])
    again.delete([first[1]["id"], first[2]["id"]])
    assert again.get_current_version_name() == "v4", again.get_current_version_name()
    changed = rows_of(again)
    assert len(changed) == ROWS - 1
    assert changed[0]["text"] == "changed"
    assert changed[0]["id"] == first[0]["id"]
    old = again.get_version_view("v1")
    assert {row["number"] for row in old.get_items()} == set(range(ROWS))
    assert len(client.get_dataset(NAME).get_items(nb_samples=7)) == 7
    found = again.get_items(filter_string='data.text contains "99"')
    assert len(found) == sum("99" in row["text"] for row in changed.values()), len(found)
    streamed = [row for chunk in again.stream_items(chunk_size=500) for row in chunk]
    assert {row["id"] for row in streamed} == {row["id"] for row in changed.values()}
    assert len(again.to_pandas()) == len(changed)

    from_json = client.create_dataset(f"{PROJECT} from json")
    from_json.insert_from_json(
        '[{"q": "a", "drop": 1}, {"q": "b", "drop": 2}]',
        keys_mapping={"q": "question"},
        ignore_keys=["drop"],
    )
    assert sorted(row["question"] for row in from_json.get_items()) == ["a", "b"]
    cleared = client.create_dataset(f"{PROJECT} cleared")
    cleared.insert([{"a": 1}, {"a": 2}])
    cleared.clear()
    assert cleared.get_items() == []
    client.create_dataset(f"{PROJECT} deleted").insert([{"a": 1}])
    client.delete_dataset(f"{PROJECT} deleted")
    names = {dataset.name for dataset in client.get_datasets()}
    assert names == {NAME, from_json.name, cleared.name}, names
    until(lambda: client.get_dataset(NAME).dataset_items_count == len(changed))
    return {"rows": list(changed.values()), "first": list(first.values())}


if __name__ == "__main__":
    drive(flow)
