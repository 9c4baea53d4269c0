"""Costs of spans whose clients did not say them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from server_client import Api

from opik_eval.ids import new_id
from opik_eval.models.base import Usage
from opik_eval.models.pricing import cost_usd
from opik_eval.records import Span
from opik_eval.server.costs import cost_of, is_unpriced, model_name, priced

TOKENS = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
PRICE = 0.0035


@pytest.fixture
def trace(api: Api) -> object:
    """The id of a trace."""
    return api.trace()["id"]


def test_tokens_of_known_models_have_a_price(api: Api, trace: object) -> None:
    """The cost is added when the span is written, so that filters find it and traces add it up."""
    span = api.span(trace, model="gpt-4o", provider="openai", usage=TOKENS)["id"]
    assert api.ok("GET", f"spans/{span}")["total_estimated_cost"] == pytest.approx(PRICE)
    assert api.ok("GET", f"traces/{trace}")["total_estimated_cost"] == pytest.approx(PRICE)
    where = [{"field": "total_estimated_cost", "operator": ">", "value": "0.003"}]
    body = {"project_name": api.project, "filters": where}
    assert [row["id"] for row in api.lines("spans/search", body)] == [span]


def test_what_clients_say_counts(api: Api, trace: object) -> None:
    """A cost that a client gives stays, also when its tokens change."""
    given = {"model": "gpt-4o", "usage": TOKENS, "total_estimated_cost": 7.0}
    span = api.span(trace, **given)["id"]
    api.ok("PATCH", f"spans/{span}", {"trace_id": trace, "usage": {"prompt_tokens": 1}})
    assert api.ok("GET", f"spans/{span}")["total_estimated_cost"] == 7.0


def test_unknown_models_are_flagged(api: Api, trace: object) -> None:
    """A model without a price has no cost, not 0, and span and trace say so."""
    span = api.span(trace, model="no-such-model", provider="openai", usage=TOKENS)["id"]
    found = api.ok("GET", f"spans/{span}")
    assert "total_estimated_cost" not in found
    assert found["_opik_eval"]["unpriced"] is True
    api.span(trace, model="gpt-4o", usage=TOKENS)
    whole = api.ok("GET", f"traces/{trace}")
    assert whole["total_estimated_cost"] == pytest.approx(PRICE)
    assert whole["_opik_eval"]["unpriced"] == 1


def test_local_models_are_free(api: Api, trace: object) -> None:
    """A model on one's own machine costs 0, which is known."""
    span = api.span(trace, model="llama3", provider="ollama", usage=TOKENS)["id"]
    assert api.ok("GET", f"spans/{span}")["total_estimated_cost"] == 0
    assert "unpriced" not in api.ok("GET", f"spans/{span}").get("_opik_eval", {})


def test_parts_in_any_order(api: Api, trace: object) -> None:
    """Model and tokens may come apart, in either order, and tokens may change."""
    for first, second in (({"model": "gpt-4o"}, {"usage": TOKENS}), ({"usage": TOKENS}, {})):
        span = api.span(trace, **first)["id"]
        update = {"trace_id": trace, "model": "gpt-4o", **second}
        api.ok("PATCH", f"spans/{span}", update)
        assert api.ok("GET", f"spans/{span}")["total_estimated_cost"] == pytest.approx(PRICE)
        more = {name: 2 * count for name, count in TOKENS.items()}
        api.ok("PATCH", f"spans/{span}", {"trace_id": trace, "usage": more})
        assert api.ok("GET", f"spans/{span}")["total_estimated_cost"] == pytest.approx(2 * PRICE)


def test_an_update_before_its_create(api: Api, trace: object) -> None:
    """A cost can be told although model and tokens came in the wrong order."""
    span = new_id()
    api.ok("PATCH", f"spans/{span}", {"trace_id": trace, "usage": TOKENS})
    api.span(trace, id=span, model="gpt-4o", provider="openai")
    found = api.ok("GET", f"spans/{span}")
    assert found["total_estimated_cost"] == pytest.approx(PRICE)
    assert api.ok("GET", f"traces/{trace}")["total_estimated_cost"] == pytest.approx(PRICE)


def test_cached_and_reasoning_tokens() -> None:
    """Tokens that have prices of their own are told apart, whoever names them."""
    usage = {
        "prompt_tokens": 1000,
        "completion_tokens": 100,
        "original_usage.prompt_tokens_details.cached_tokens": 500,
    }
    span = Span(id=new_id(), trace_id=new_id(), model="gpt-4o", provider="openai", usage=usage)
    tokens = Usage(prompt_tokens=1000, completion_tokens=100)
    cached = replace(tokens, cached_tokens=500)
    assert cost_of(span) == cost_usd("gpt-4o", cached) != cost_usd("gpt-4o", tokens)


@pytest.mark.parametrize(
    ("provider", "model", "name"),
    [
        ("google_vertexai", "gemini-2.5-pro", "vertex_ai/gemini-2.5-pro"),
        ("OpenAI", "gpt-4o", "openai/gpt-4o"),
        ("openai", "openai/gpt-4o", "openai/gpt-4o"),
        ("aws.bedrock", "m", "bedrock/m"),
        (None, "gpt-4o", "gpt-4o"),
    ],
)
def test_names_of_models(provider: str | None, model: str, name: str) -> None:
    """Providers have other names in the price list."""
    assert model_name(provider, model) == name


def test_spans_without_tokens_have_no_cost() -> None:
    """Nothing is told, and nothing flagged, where there is nothing to price."""
    span = Span(id=new_id(), trace_id=new_id(), name="step")
    assert priced(span) is span
    assert not is_unpriced(span)
