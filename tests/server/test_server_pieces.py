"""Parsers and pages on their own, with arbitrary input."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from functools import partial

import hypothesis.strategies as st
import pytest
from hypothesis import example, given, settings

from opik_eval.server.bodies import RawBody, parse_json
from opik_eval.server.failures import FrameworkError, RefusedError
from opik_eval.server.filters import wanted
from opik_eval.server.paging import Page, Sorting, cursor_in, ordered, sorting_in
from opik_eval.server.paths import normalized
from opik_eval.server.payloads import identifier
from opik_eval.server.routes.collections import COLLECTIONS, Collection
from opik_eval.server.views.experiments import quantiles

ENTITIES = ("trace", "thread", "dataset_item", "prompt_version")
FEW = settings(max_examples=40)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


def refusal(function: Callable[[], object]) -> int | None:
    """Return the status with which a call is refused; ``None`` if it is not."""
    try:
        function()
    except RefusedError as error:
        return error.status if error.messages[0] else 0
    return None


@given(st.binary())
@example(b"\xff")
@example(b"[" * 100_000)
@example(b"1" * 10_000)
def test_any_bytes_are_json_or_a_400(data: bytes) -> None:
    """Whatever comes is a value, or a refusal that says why."""
    assert refusal(lambda: parse_json(data)) in (None, 400)


@FEW
@given(VALUES)
def test_what_python_writes_is_read(value: object) -> None:
    """Every value that the standard library can write is read, NaN among them."""
    assert json.dumps(parse_json(json.dumps(value).encode())) == json.dumps(value)


@given(st.binary(max_size=300), st.integers(0, 200))
def test_decompression_keeps_the_limit(data: bytes, limit: int) -> None:
    """Compressed bytes give what went in, or a 413 if that is too much."""
    body = RawBody(zlib.compress(data, wbits=31), "gzip", limit)
    if len(data) <= limit:
        assert body.data() == data
        return
    with pytest.raises(FrameworkError) as refused:
        body.data()
    assert refused.value.status == 413


@given(st.text(alphabet="/apiokv1", max_size=30))
def test_normalized_paths_are_stable(path: str) -> None:
    """A normalized path begins with one slash and holds no doubled ones."""
    rest, mount = normalized(f"/{path}")
    assert rest.startswith("/")
    assert "//" not in rest
    assert mount in ("", "/api", "/opik/api")


@given(st.lists(st.integers()), st.integers(1, 5), st.integers(1, 5))
def test_pages_are_slices(rows: list[int], number: int, size: int) -> None:
    """A page is a slice of the list, and the total its length."""
    found, total = Page(number, size).cut(iter(rows))
    assert found == rows[(number - 1) * size : number * size]
    assert total == len(rows)


@given(st.lists(st.none() | st.integers() | st.text()), st.booleans())
def test_orders_put_missing_values_last(rows: list[object], descending: bool) -> None:
    """Rows without a value come last whatever the direction; none is lost."""
    found = ordered(rows, [Sorting("x", descending=descending)], lambda row, _: row)
    present = [row for row in found if row is not None]
    assert found == present + [None] * (len(rows) - len(present))
    assert sorted(map(repr, found)) == sorted(map(repr, rows))


@FEW
@given(VALUES)
@example([{"field": "name", "operator": "in", "value": None}])
@example([{"field": [], "operator": {}, "value": []}])
@example([{"field": "feedback_scores", "key": 5, "operator": "=", "value": "1"}])
def test_any_filter_is_one_or_refused(value: object) -> None:
    """Whatever comes as a filter is one, or is refused with 400."""
    for entity in ENTITIES:
        assert refusal(partial(wanted, value, entity)) in (None, 400)


@given(st.text())
@example("[[1]]")
@example('[{"field": {}}]')
def test_any_order_is_one_or_refused(text: str) -> None:
    """Whatever comes as an order is one, or is refused with 400."""
    assert refusal(lambda: sorting_in(text, ("name",))) in (None, 400)


@FEW
@given(VALUES)
def test_any_cursor_is_one_or_refused(value: object) -> None:
    """Whatever comes as limit and cursor is one, or is refused."""
    payload = {"limit": value, "last_retrieved_id": value}
    assert refusal(lambda: cursor_in(payload, 2000)) in (None, 422)


@FEW
@given(VALUES)
def test_any_id_is_one_or_refused(value: object) -> None:
    """Whatever comes as an id is a UUIDv7, or is refused with 400."""
    assert refusal(lambda: identifier(value)) in (None, 400)


@given(st.lists(st.floats(0, 1e6), min_size=1))
def test_quantiles_are_ordered(values: list[float]) -> None:
    """Quantiles are within the values and in order."""
    found = quantiles(values)
    assert found is not None
    assert min(values) <= found["p50"] <= found["p90"] <= found["p99"] <= max(values) * (1 + 1e-12)  # type: ignore[operator]


def test_quantiles_interpolate() -> None:
    """The median of an even number of values is between the middle ones."""
    assert quantiles([1.0, 2.0, 3.0, 4.0]) == {"p50": 2.5, "p90": 3.7, "p99": pytest.approx(3.97)}
    assert quantiles([]) is None


@pytest.mark.parametrize("collection", COLLECTIONS, ids=lambda c: c.kind)
@FEW
@given(value=VALUES)
def test_collections_refuse_what_they_cannot_check(collection: Collection, value: object) -> None:
    """The check of a collection refuses or accepts any payload, and never fails."""
    payload = value if isinstance(value, dict) else {"name": value, "webhook": value, "type": value}
    assert refusal(lambda: collection.check(payload)) in (None, 422)
