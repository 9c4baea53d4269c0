"""What a call costs."""

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from opik_eval.models import pricing
from opik_eval.models.base import Usage
from opik_eval.models.pricing import cost_usd, offers, price_entry, priced_models

ORACLE_MODELS = [
    *("gpt-4o", "gpt-5-nano", "openai/gpt-4o-mini", "gpt-5.4", "o3-mini", "gpt-3.5-turbo"),
    *("anthropic/claude-sonnet-4-5", "gemini/gemini-2.5-pro", "gemini/gemini-2.5-flash"),
    *("dashscope/qwen-flash", "deepseek/deepseek-chat", "mistral/mistral-small", "azure/gpt-4o"),
    *("bedrock/anthropic.claude-3-haiku-20240307-v1:0", "cohere/command-r"),
]
USAGES = [
    Usage(prompt_tokens=1000, completion_tokens=100),
    Usage(prompt_tokens=1000, completion_tokens=100, cached_tokens=600),
    Usage(prompt_tokens=1000, completion_tokens=100, reasoning_tokens=60),
    Usage(prompt_tokens=300_000, completion_tokens=50, cached_tokens=1000, reasoning_tokens=20),
]
# litellm bills these by rules of its own, which the price file does not state.
SPECIAL = {"perplexity", "github_copilot", "chatgpt"}


def sampled_models(providers):
    """Return models of some providers with a price per token, chosen by a fixed seed."""
    priced = [
        name
        for name in sorted(priced_models())
        if (entry := price_entry(name)) is not None
        and entry.get("mode") == "chat"
        and entry.get("litellm_provider") in providers
        and "off_peak_pricing" not in entry
        and cost_usd(name, USAGES[0])
        and name.partition("/")[0] == entry.get("litellm_provider")
    ]
    return random.Random(7).sample(priced, 40)


@pytest.mark.slow  # importing litellm takes seconds
@pytest.mark.filterwarnings("ignore::UserWarning", "ignore::DeprecationWarning")
def test_costs_agree_with_litellm():
    """On models of every kind of price, short and long prompts, costs equal litellm's."""
    from opik_eval.models.litellm_transport import _litellm

    litellm = _litellm()
    compared = 0
    known = [model for model in ORACLE_MODELS if price_entry(model)]
    providers = {provider.value for provider in litellm.provider_list} - SPECIAL
    for model in known + sampled_models(providers):
        for usage in USAGES:
            theirs = litellm.cost_per_token(model=model, usage_object=litellm_usage(litellm, usage))
            ours = cost_usd(model, usage)
            if ours is None and sum(theirs) == 0:
                continue  # litellm's 0 for what it does not know
            assert ours == pytest.approx(sum(theirs), rel=1e-9), (model, usage)
            compared += 1
    assert compared >= 150


def litellm_usage(litellm, usage):
    return litellm.Usage(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        prompt_tokens_details={"cached_tokens": usage.cached_tokens or 0},
        completion_tokens_details={"reasoning_tokens": usage.reasoning_tokens or 0},
    )


@pytest.fixture
def price_file(monkeypatch):
    """Replace the price file by a small one with every kind of price."""
    entries = {
        "plain": {"input_cost_per_token": 1.0, "output_cost_per_token": 10.0},
        "full": {
            "input_cost_per_token": 1.0,
            "output_cost_per_token": 10.0,
            "cache_read_input_token_cost": 0.25,
            "output_cost_per_reasoning_token": 20.0,
            "input_cost_per_token_above_128k_tokens": 2.0,
            "input_cost_per_token_above_200k_tokens": 4.0,
            "output_cost_per_token_above_200k_tokens": 40.0,
            "input_cost_per_token_flex": 0.5,
            "output_cost_per_token_flex": 5.0,
            "input_cost_per_token_above_200k_tokens_flex": 3.0,
            "input_cost_per_token_priority": 7.0,
        },
        "tiered": {
            "tiered_pricing": [
                {"range": [0, 100], "input_cost_per_token": 1.0, "output_cost_per_token": 2.0},
                {"range": [100, 200], "input_cost_per_token": 3.0, "output_cost_per_token": 4.0},
            ]
        },
        "searches": {
            "tiered_pricing": [{"input_cost_per_query": 1.0, "max_results_range": [0, 5]}]
        },
        "xai/edge": {
            "litellm_provider": "xai",
            "input_cost_per_token": 1.0,
            "output_cost_per_token": 1.0,
            "input_cost_per_token_above_200k_tokens": 2.0,
        },
        "free": {"input_cost_per_token": 0.0, "output_cost_per_token": 0.0},
        "per-image": {
            "input_cost_per_token": 0.0,
            "output_cost_per_token": 0.0,
            "output_cost_per_image": 0.04,
        },
        "per-second": {"input_cost_per_second": 0.1},
        "embedding": {"input_cost_per_token": 1.0, "output_cost_per_token": 0.0},
        "fireworks_ai/m": {
            "litellm_provider": "fireworks_ai",
            "input_cost_per_token": 1.0,
            "output_cost_per_token": 1.0,
        },
    }
    monkeypatch.setattr(pricing, "_entries", lambda: entries)
    price_entry.cache_clear()
    yield entries
    price_entry.cache_clear()


@pytest.mark.parametrize(
    ("model", "counts", "tier", "cost"),
    [
        ("plain", (10, 2, 0, 0), None, 30.0),
        ("plain", (10, 2, 4, 1), None, 30.0),
        ("full", (10, 2, 4, 1), None, 6 + 1 + 10 + 20),
        ("full", (128_000, 0, 0, 0), None, 128_000.0),
        ("full", (128_001, 1, 0, 0), None, 256_002 + 10),
        ("full", (200_001, 1, 1, 0), None, 800_000 + 0.25 + 40),
        ("full", (10, 2, 0, 0), "flex", 15.0),
        ("full", (10, 2, 0, 0), "default", 30.0),
        ("full", (200_001, 1, 0, 0), "flex", 600_003 + 5),
        ("full", (10, 2, 0, 0), "priority", None),
        ("plain", (10, 2, 0, 0), "flex", 30.0),
        ("tiered", (100, 1, 0, 0), None, 102.0),
        ("tiered", (101, 1, 0, 0), None, 307.0),
        ("tiered", (999, 1, 0, 0), None, 3001.0),
        ("tiered", (0, 1, 0, 0), None, 2.0),
        ("searches", (10, 1, 0, 0), None, None),
        ("xai/edge", (200_000, 0, 0, 0), None, 400_000.0),
        ("free", (10, 2, 0, 0), None, 0.0),
        ("per-image", (10, 2, 0, 0), None, None),
        ("per-second", (10, 2, 0, 0), None, None),
        ("embedding", (10, None, 0, 0), None, 10.0),
        ("plain", (10, None, 0, 0), None, None),
        ("plain", (None, 2, 0, 0), None, None),
        ("plain", (10, 1, 99, 99), None, 20.0),
        ("fireworks_ai/m", (10, 1, 4, 0), None, 6 + 2 + 1),
        ("unknown", (10, 2, 0, 0), None, None),
    ],
)
def test_prices(price_file, model, counts, tier, cost):
    """Every kind of price is applied as the file means it; what is unknown is ``None``."""
    prompt, completion, cached, reasoning = counts
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
    )
    assert cost_usd(model, usage, service_tier=tier) == cost


@pytest.mark.parametrize("model", ["local/x", "fake/echo", "ollama/x", "lm_studio/x"])
def test_models_of_this_machine_are_free(model):
    """What runs here costs nothing, whatever its usage."""
    assert cost_usd(model, Usage()) == 0.0


def test_bare_entry_answers_for_its_own_provider_only():
    """``openai/gpt-4o`` is ``gpt-4o``; a model of that name elsewhere is another one."""
    assert price_entry("openai/gpt-4o") is price_entry("gpt-4o") is not None
    assert price_entry("hosted_vllm/gpt-4o") is None
    assert price_entry("anthropic/gpt-4o") is None
    assert price_entry("sample_spec") is None


def test_fine_tuned_model_has_the_price_of_its_base():
    """The parts of a fine-tuned model's name that are its owner's do not matter."""
    base = price_entry("ft:gpt-4o-2024-08-06")
    assert base is not None
    assert price_entry("ft:gpt-4o-2024-08-06:acme:name:id") is base
    assert price_entry("openai/ft:gpt-4o-2024-08-06:acme:name:id") is base


def test_features_of_known_models():
    """The price file tells features where it names them; else they are unknown."""
    assert offers("openai/gpt-4o", "json_schema") is True
    assert offers("openai/gpt-4", "json_schema") is False
    assert offers("openai/gpt-4o", "logprobs") is None
    assert offers("openai/gpt-5-nano", "logprobs") is False
    assert offers("openai/gpt-4o", "seed") is None
    assert offers("openai/none-such", "tools") is None


def test_missing_price_file_is_told(monkeypatch):
    """Without litellm's files the error says what to install."""
    monkeypatch.setattr(pricing.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(pricing.ConfigError, match="litellm"):
        pricing._entries.__wrapped__()


@given(st.integers(0, 10**6), st.integers(0, 10**5), st.integers(0, 10**6), st.integers(0, 10**5))
def test_costs_are_finite_and_grow_with_tokens(prompt, completion, cached, reasoning):
    """A cost is finite, not negative, and never falls when the completion grows."""
    usage = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
    )
    longer = Usage(
        prompt_tokens=prompt,
        completion_tokens=completion + 1,
        cached_tokens=cached,
        reasoning_tokens=reasoning,
    )
    for model in ("gpt-4o", "gemini/gemini-2.5-pro", "dashscope/qwen-flash"):
        cost, more = cost_usd(model, usage), cost_usd(model, longer)
        assert math.isfinite(cost)
        assert 0 <= cost < more
