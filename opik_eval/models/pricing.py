"""What a call costs, from the price file inside the litellm package, without importing litellm.

The file holds some 4 000 models; it is read once, on first use (about 30 ms instead of the 3 s that
the import costs). Off-peak discounts, which a few models have, are not applied: the cost is then an
upper bound.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Collection, Mapping
from functools import cache, lru_cache
from pathlib import Path
from typing import NamedTuple, cast

import orjson

from opik_eval.errors import ConfigError
from opik_eval.models.base import Usage

_PRICE_FILE = "model_prices_and_context_window_backup.json"
_FREE_PROVIDERS = frozenset({"local", "fake", "ollama", "ollama_chat", "lm_studio", "llamafile"})
_PRICED_TIERS = frozenset({"flex", "priority"})
_INPUT = "input_cost_per_token"
_OUTPUT = "output_cost_per_token"
_CACHED = "cache_read_input_token_cost"
_REASONING = "output_cost_per_reasoning_token"
_THRESHOLD = re.compile(r"_above_(\d+)(k?)_tokens$")
_FLAGS = {"json_schema": "supports_response_schema", "tools": "supports_function_calling"}

Entry = Mapping[str, object]


def cost_usd(model: str, usage: Usage, *, service_tier: str | None = None) -> float | None:
    """Return what a call cost.

    Args:
        model: Name with or without its provider, such as ``openai/gpt-4o`` or ``gpt-4o``.
        usage: Token counts. Cached tokens are part of the prompt's, reasoning tokens of the
            completion's; both fall back to the ordinary price where they have none of their own.
        service_tier: ``flex`` or ``priority``, where the provider charged for one of these.

    Returns:
        US dollars; 0 for models that run on this machine; ``None`` if the model's price or the
        token counts are unknown.

    Source: litellm's ``model_prices_and_context_window.json``.

    Example:
        >>> cost_usd("openai/gpt-4o", Usage(prompt_tokens=1000, completion_tokens=100))
        0.0035
        >>> cost_usd("local/smollm2-135m-instruct", Usage())
        0.0
        >>> cost_usd("openai/no-such-model", Usage(prompt_tokens=1, completion_tokens=1)) is None
        True
    """
    if model.partition("/")[0] in _FREE_PROVIDERS:
        return 0.0
    entry = price_entry(model)
    prompt, completion = usage.prompt_tokens, usage.completion_tokens
    if entry is None or prompt is None:
        return None
    rates = _rates(entry, prompt, service_tier if service_tier in _PRICED_TIERS else None)
    if rates is None or (completion is None and rates.output):
        return None
    cached = min(usage.cached_tokens or 0, prompt)
    reasoning = min(usage.reasoning_tokens or 0, completion or 0)
    return (
        (prompt - cached) * rates.input
        + cached * rates.cached
        + ((completion or 0) - reasoning) * rates.output
        + reasoning * rates.reasoning
    )


@lru_cache(maxsize=1024)
def price_entry(model: str) -> Entry | None:
    """Return the price file's entry for a model (prices, limits, what it supports), if it has one.

    A bare entry answers for a prefixed name only if it is of the same provider: a model that some
    server of yours calls ``gpt-4o`` does not cost what OpenAI's does.
    """
    entries = _entries()
    if model in entries:
        return entries[model]
    provider, slash, bare = model.partition("/")
    if not slash:
        provider, bare = "", model
    if bare.startswith("ft:"):  # ft:BASE:organisation:name:id is priced as ft:BASE
        bare = ":".join(bare.split(":")[:2])
    entry = entries.get(bare)
    owner = str(entry.get("litellm_provider")) if entry else ""
    return entry if owner.removeprefix("text-completion-").startswith(provider) else None


def priced_models() -> Collection[str]:
    """Return the names in the price file, with and without providers; for suggestions."""
    return _entries().keys()


def offers(model: str, feature: str) -> bool | None:
    """Tell whether a model takes ``json_schema``, ``tools`` or ``logprobs``; ``None`` = unknown."""
    entry = price_entry(model)
    if entry is None:
        return None
    if feature == "logprobs":
        return False if entry.get("supports_reasoning") else None
    flag = _FLAGS.get(feature, "")
    if flag in entry:
        return bool(entry[flag])
    # OpenAI's entries are complete: what they do not name, the model refuses.
    return False if flag and entry.get("litellm_provider") == "openai" else None


class _Rates(NamedTuple):
    """US dollars per token of each kind."""

    input: float
    cached: float
    output: float
    reasoning: float


def _rates(entry: Entry, prompt_tokens: int, tier: str | None) -> _Rates | None:
    """Return the prices of one call; they may depend on the length of its prompt."""
    prices = {**entry, **_step_prices(entry, prompt_tokens)}
    if tier and f"{_INPUT}_{tier}" in entry:
        # A long prompt's price within the tier, then the tier's, and never another tier's.
        tiered = {k.removesuffix(f"_{tier}"): v for k, v in entry.items() if k.endswith(f"_{tier}")}
        prices = {**tiered, **_step_prices(tiered, prompt_tokens, entry)}
    elif tiers := cast("list[dict[str, object]] | None", entry.get("tiered_pricing")):
        prices = {_OUTPUT: entry.get(_OUTPUT), **_tier_of(tiers, prompt_tokens)}
    input, output = prices.get(_INPUT), prices.get(_OUTPUT)
    if not isinstance(input, int | float) or not isinstance(output, int | float):
        return None
    if not input and not output and _charges_otherwise(entry):
        return None
    cached, reasoning = prices.get(_CACHED), prices.get(_REASONING)
    return _Rates(
        input=input,
        cached=cached if isinstance(cached, int | float) else input * _cached_share(entry),
        output=output,
        reasoning=reasoning if isinstance(reasoning, int | float) else output,
    )


def _step_prices(
    prices: Entry, prompt_tokens: int, entry: Entry | None = None
) -> dict[str, object]:
    """Return the prices that a prompt beyond a threshold has, for all of its tokens."""
    inclusive = (entry or prices).get("litellm_provider") == "xai"
    steps: list[tuple[int, str, object]] = []
    for key, price in prices.items():
        match = _THRESHOLD.search(key)
        if match is None:
            continue
        threshold = int(match[1]) * (1000 if match[2] else 1)
        if prompt_tokens > threshold or (inclusive and prompt_tokens == threshold):
            steps.append((threshold, key[: match.start()], price))
    return {base: price for _, base, price in sorted(steps, key=lambda step: step[0])}


def _tier_of(tiers: list[dict[str, object]], prompt_tokens: int) -> Entry:
    ranged = [tier for tier in tiers if isinstance(tier.get("range"), list)]
    for tier in ranged:
        low, high = cast("list[float]", tier["range"])
        if low < max(prompt_tokens, 1) <= high:
            return tier
    return ranged[-1] if ranged else {}


def _cached_share(entry: Entry) -> float:
    """Return the part of the ordinary price that cached tokens cost where nothing else is said."""
    # https://docs.fireworks.ai/guides/prompt-caching
    return 0.5 if entry.get("litellm_provider") == "fireworks_ai" else 1.0


def _charges_otherwise(entry: Entry) -> bool:
    """Tell whether a model without a price per token has one per image, second or request."""
    return any("cost" in key and isinstance(price, float) and price for key, price in entry.items())


@cache
def _entries() -> Mapping[str, Entry]:
    package = importlib.util.find_spec("litellm")
    if package is None or package.origin is None:
        raise ConfigError(
            "prices come from a file in the litellm package, and litellm is not installed",
            remedy="pip install litellm",
        )
    entries = orjson.loads((Path(package.origin).parent / _PRICE_FILE).read_bytes())
    entries.pop("sample_spec", None)  # the file's own documentation, not a model
    return cast("Mapping[str, Entry]", entries)
