"""Datasets, items and versions."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from server_client import Api

from opik_eval.ids import new_id


def row(data: dict[str, object], **fields: object) -> dict[str, object]:
    """Return an item to write."""
    return {"id": new_id(), "source": "sdk", "data": data, **fields}


def versions(api: Api, dataset: dict[str, object]) -> list[dict[str, object]]:
    """Return the versions of a dataset, newest first."""
    path = f"datasets/{dataset['id']}/versions"
    return list(api.ok("GET", path, params={"size": 100})["content"])


def test_get_or_create(api: Api) -> None:
    """A missing dataset is 404, which makes clients create it; a taken name is 409."""
    name = f"d {new_id()}"
    assert api.send("POST", "datasets/retrieve", {"dataset_name": name}).status_code == 404
    body = {"name": name, "project_name": api.project, "tags": ["t"], "type": "dataset"}
    assert api.send("POST", "datasets", body).status_code == 201
    assert api.send("POST", "datasets", body).status_code == 409
    found = api.ok("POST", "datasets/retrieve", {"dataset_name": name, "project_name": "other"})
    assert (found["name"], found["tags"], found["dataset_items_count"]) == (name, ["t"], 0)
    assert found["latest_version"] is None
    assert api.ok("GET", f"datasets/{found['id']}") == found
    project = api.ok("GET", f"projects/{found['project_id']}")
    assert project["name"] in (api.project, "Default Project")


def test_concurrent_uploads_of_one_group_are_one_version(api: Api) -> None:
    """All requests of one batch group make one version, even at the same time."""
    dataset = api.dataset()
    group = new_id()
    ids = [[new_id() for _ in range(20)] for _ in range(8)]

    def put(chunk: list[str]) -> None:
        items = [row({"n": n}, id=item) for n, item in enumerate(chunk)]
        body = {"dataset_name": dataset["name"], "batch_group_id": group, "items": items}
        api.ok("PUT", "datasets/items", body)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, ids))
    (version,) = versions(api, dataset)
    assert (version["version_name"], version["items_total"]) == ("v1", 160)
    assert (version["is_latest"], version["tags"]) == (True, ["latest"])
    api.ok("PUT", "datasets/items", {"dataset_name": dataset["name"], "items": [row({"n": 0})]})
    assert [v["version_name"] for v in versions(api, dataset)] == ["v2", "v1"]
    put([new_id()])  # the group is not the latest any more
    assert [v["items_total"] for v in versions(api, dataset)] == [162, 161, 160]


def test_items_create_their_dataset(api: Api) -> None:
    """Items for an unknown name make the dataset; for an unknown id they are 404."""
    name = f"d {new_id()}"
    api.ok("PUT", "datasets/items", {"dataset_name": name, "items": [row({})]})
    assert api.ok("POST", "datasets/retrieve", {"dataset_name": name})["dataset_items_count"] == 1
    body = {"dataset_id": new_id(), "items": [row({})]}
    assert api.send("PUT", "datasets/items", body).status_code == 404
    assert api.send("PUT", "datasets/items", {"items": [row({})]}).status_code == 422


@pytest.mark.parametrize(
    "bad", [{"data": 5}, {"data": None}, {"id": "x", "data": {}}, {"data": {}, "tags": "t"}]
)
def test_bad_items_are_refused(api: Api, bad: dict[str, object]) -> None:
    """An item must have an object as data."""
    body = {"dataset_name": api.dataset()["name"], "items": [bad]}
    assert api.send("PUT", "datasets/items", body).status_code == 400


def test_nulls_are_as_absent(api: Api) -> None:
    """Explicit nulls of optional fields, as Opik's client sends them, say nothing."""
    nulls = dict.fromkeys(
        ("trace_id", "span_id", "description", "tags", "evaluators", "execution_policy")
    )
    dataset = api.dataset()
    item = row({"a": None}, **nulls)
    body = {"dataset_id": dataset["id"], "batch_group_id": None, "items": [item]}
    api.ok("PUT", "datasets/items", body)
    assert api.items(dataset)[0]["data"] == {"a": None}


def test_pages_of_items(api: Api) -> None:
    """Items come in the order of insertion, with total and columns."""
    dataset = api.dataset(*({"n": n, "s": "x"} for n in range(5)))
    path = f"datasets/{dataset['id']}/items"
    page = api.ok("GET", path, params={"page": 2, "size": 2})
    assert [item["data"]["n"] for item in page["content"]] == [2, 3]
    assert (page["total"], page["size"]) == (5, 2)
    columns = {column["name"]: column["types"] for column in page["columns"]}
    assert columns == {"n": ["number"], "s": ["string"]}


def test_stream_of_items(api: Api) -> None:
    """The stream goes by ``steam_limit`` and the last id, newest first."""
    dataset = api.dataset(*({"n": n} for n in range(5)))
    ids = sorted((item["id"] for item in api.items(dataset)), reverse=True)
    seen: list[str] = []
    while True:
        body = {"dataset_name": dataset["name"], "steam_limit": 2, "project_name": None}
        rows = api.lines(
            "datasets/items/stream", {**body, **({"last_retrieved_id": seen[-1]} if seen else {})}
        )
        seen += [item["id"] for item in rows]
        if len(rows) < 2:
            break
    assert seen == ids


def test_filters_of_items(api: Api) -> None:
    """Items are filtered by their data in lists, streams and deletes."""
    dataset = api.dataset({"city": "Rome", "n": 1}, {"city": "Oslo", "n": 2})
    rome = json.dumps([{"field": "data", "key": "city", "operator": "=", "value": "rome"}])
    assert [item["data"]["n"] for item in api.items(dataset, filters=rome)] == [1]
    assert [item["data"]["n"] for item in api.items(dataset, search="osl")] == [2]
    stream = {"dataset_name": dataset["name"], "filters": rome}
    assert len(api.lines("datasets/items/stream", stream)) == 1
    mine = json.dumps([{"field": "created_by", "operator": "=", "value": "admin"}])
    assert len(api.items(dataset, filters=mine)) == 2
    api.ok(
        "POST", "datasets/items/delete", {"dataset_id": dataset["id"], "filters": json.loads(rome)}
    )
    assert [item["data"]["n"] for item in api.items(dataset)] == [2]
    api.ok("POST", "datasets/items/delete", {"dataset_id": dataset["id"]})
    assert api.items(dataset) == []


def test_deletes_make_versions(api: Api) -> None:
    """Deleting items makes a version; older ones can still be read by hash, name and tag."""
    dataset = api.dataset({"n": 1}, {"n": 2})
    item = api.items(dataset)[0]["id"]
    api.ok("POST", "datasets/items/delete", {"item_ids": [item], "batch_group_id": new_id()})
    newest, oldest = versions(api, dataset)
    assert (newest["items_deleted"], newest["items_total"]) == (1, 1)
    for name in (oldest["version_hash"], "v1", oldest["id"]):
        assert len(api.items(dataset, version=name)) == 2
    assert len(api.items(dataset, version="latest")) == 1
    unknown = {"version": "nonsense"}
    assert api.send("GET", f"datasets/{dataset['id']}/items", params=unknown).status_code == 404
    both = {"item_ids": [item], "dataset_id": dataset["id"]}
    assert api.send("POST", "datasets/items/delete", both).status_code == 422
    assert api.send("POST", "datasets/items/delete", {}).status_code == 422


def test_single_items(api: Api) -> None:
    """Items are read and changed one by one or several alike."""
    dataset = api.dataset({"n": 1}, {"n": 2})
    one, two = (item["id"] for item in api.items(dataset))
    api.ok("PATCH", f"datasets/items/{one}", {"data": {"n": 9}, "tags": ["a"]})
    found = api.ok("GET", f"datasets/items/{one}")
    assert (found["data"], found["tags"], found["dataset_id"]) == ({"n": 9}, ["a"], dataset["id"])
    change = {"ids": [one, two], "update": {"tags": ["b"]}, "merge_tags": True}
    api.ok("PATCH", "datasets/items/batch", change)
    assert [item["tags"] for item in api.items(dataset)] == [["a", "b"], ["b"]]
    assert api.send("GET", f"datasets/items/{new_id()}").status_code == 404


def test_versions_by_name(api: Api) -> None:
    """A version is found by its name, tagged, compared and restored."""
    dataset = api.dataset({"n": 1})
    path = f"datasets/{dataset['id']}/versions"
    item = api.items(dataset)[0]["id"]
    update = {"dataset_id": dataset["id"], "items": [row({"n": 2}, id=item), row({"n": 3})]}
    api.ok("PUT", "datasets/items", update)
    found = api.ok("POST", f"{path}/retrieve", {"version_name": "v1"})
    assert found["items_total"] == 1
    assert api.send("POST", f"{path}/retrieve", {"version_name": "v9"}).status_code == 404
    old = found["version_hash"]
    api.ok("POST", f"{path}/hash/{old}/tags", {"tag": "gold"})
    assert len(api.items(dataset, version="gold")) == 1
    assert api.send("POST", f"{path}/hash/{old}/tags", {"tag": "gold"}).status_code == 409
    assert api.send("POST", f"{path}/hash/{old}/tags", {"tag": "latest"}).status_code == 422
    assert api.ok("PATCH", f"{path}/hash/{old}", {"tags_to_add": ["x"]})["tags"] == ["gold", "x"]
    api.ok("DELETE", f"{path}/{old}/tags/gold")
    assert api.send("GET", f"datasets/{dataset['id']}/items?version=gold").status_code == 404
    counts = api.ok("GET", f"{path}/diff", params={"from": "v1"})["statistics"]
    assert counts == {
        "items_added": 1,
        "items_modified": 1,
        "items_deleted": 0,
        "items_unchanged": 0,
    }
    restored = api.ok("POST", f"{path}/restore", {"version_ref": "v1"})
    assert restored["version_name"] == "v3"
    assert [i["data"] for i in api.items(dataset)] == [{"n": 1}]


def test_changes_start_from_a_version(api: Api) -> None:
    """Changes name the version they start from; a stale one is 409 and changes nothing."""
    dataset = api.dataset({"n": 1}, {"n": 2})
    path = f"datasets/{dataset['id']}/items/changes"
    one, two = (item["id"] for item in api.items(dataset))
    base = versions(api, dataset)[0]["id"]
    change = {
        "base_version": base,
        "added_items": [row({"n": 3})],
        "edited_items": [{"id": one, "data": {"n": 10}}],
        "deleted_ids": [two],
        "change_description": "tidy",
        "execution_policy": {"runs_per_item": 2, "pass_threshold": 1},
    }
    reply = api.send("POST", path, change)
    assert reply.status_code == 201
    version = reply.json()
    assert (version["version_name"], version["change_description"]) == ("v2", "tidy")
    assert version["execution_policy"]["runs_per_item"] == 2
    assert sorted(item["data"]["n"] for item in api.items(dataset)) == [3, 10]
    assert api.send("POST", path, change).status_code == 409
    assert api.send("POST", path, {"added_items": [row({})]}).status_code == 422
    forced = {"added_items": [row({"n": 4})]}
    assert api.send("POST", path, forced, params={"override": True}).status_code == 201
    assert versions(api, dataset)[0]["execution_policy"]["runs_per_item"] == 2


def test_suites_have_settings_before_items(api: Api) -> None:
    """A test suite keeps evaluators and policy although it has no items yet."""
    dataset = api.dataset(type="evaluation_suite")
    evaluator = {"name": "j", "type": "llm_judge", "config": {"x": 1}}
    change = {"evaluators": [evaluator], "execution_policy": {"runs_per_item": 3}}
    path = f"datasets/{dataset['id']}/items/changes"
    assert api.send("POST", path, {}, params={"override": True}).status_code == 400
    first = api.ok("POST", path, change, params={"override": True})
    assert (first["items_total"], first["evaluators"]) == (0, [evaluator])
    assert versions(api, dataset)[0]["id"] == first["id"]
    api.ok("PUT", "datasets/items", {"dataset_id": dataset["id"], "items": [row({"q": 1})]})
    (version,) = versions(api, dataset)
    assert (version["items_total"], version["evaluators"]) == (1, [evaluator])


def test_lists_and_deletes(api: Api) -> None:
    """Datasets are listed by name and project, changed and deleted in every way."""
    one, two, three = (api.dataset({"n": 1}) for _ in range(3))
    found = api.ok("GET", "datasets", params={"project_id": one["project_id"], "size": 100})
    assert {d["id"] for d in found["content"]} >= {one["id"], two["id"], three["id"]}
    name = json.dumps([{"field": "name", "operator": "=", "value": one["name"]}])
    by_name = api.ok("GET", "datasets", params={"name": one["name"], "filters": name})
    assert [d["id"] for d in by_name["content"]] == [one["id"]]
    api.ok("PUT", f"datasets/{one['id']}", {"name": one["name"] + "!", "description": "d"})
    assert api.ok("GET", f"datasets/{one['id']}")["description"] == "d"
    api.ok("DELETE", f"datasets/{one['id']}")
    api.ok("POST", "datasets/delete", {"dataset_name": two["name"]})
    api.ok("POST", "datasets/delete-batch", {"ids": [three["id"]]})
    for dataset in (one, two, three):
        assert api.send("GET", f"datasets/{dataset['id']}").status_code == 404
    assert api.send("POST", "datasets/delete", {"dataset_name": two["name"]}).status_code == 404
