"""Which models take the direct path, and where their servers are.

``openai/``
    https://api.openai.com/v1, or ``OPENAI_BASE_URL`` or ``OPENAI_API_BASE``; ``OPENAI_API_KEY``.
``hosted_vllm/``
    ``HOSTED_VLLM_API_BASE``; ``HOSTED_VLLM_API_KEY``, if the server wants one.
``ollama/``, ``ollama_chat/``
    http://localhost:11434/v1, or ``OLLAMA_API_BASE``; ``OLLAMA_API_KEY``, if it wants one.
``lm_studio/``
    http://localhost:1234/v1, or ``LM_STUDIO_API_BASE``; ``LM_STUDIO_API_KEY``, if it wants one.

Every other model takes this path when an ``api_base`` is given, except those of providers whose
servers speak a protocol of their own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from opik_eval.config import environment_value
from opik_eval.errors import ConfigError
from opik_eval.models.pricing import price_entry

_ALL = frozenset({"json_schema", "logprobs", "tools", "seed"})
_OTHER_PROTOCOLS = frozenset(
    {
        *("anthropic", "azure", "azure_ai", "azure_text", "bedrock", "cloudflare", "cohere"),
        *("cohere_chat", "gemini", "huggingface", "oci", "palm", "predibase", "replicate"),
        *("sagemaker", "sagemaker_chat", "snowflake", "triton", "vertex_ai", "vertex_ai_beta"),
        "watsonx",
    }
)


@dataclass(frozen=True, kw_only=True)
class Provider:
    """A kind of server that speaks OpenAI's protocol.

    Attributes:
        base_url: Where it usually is.
        base_url_variables: Environment variables that say where it is, first one first.
        key_variable: Environment variable with the key.
        needs_key: Without a key no request is sent to ``base_url``.
        features: What it offers, of ``json_schema``, ``logprobs``, ``tools`` and ``seed``.
    """

    base_url: str | None = None
    base_url_variables: tuple[str, ...] = ()
    key_variable: str | None = None
    needs_key: bool = False
    features: frozenset[str] = _ALL


_OLLAMA = Provider(
    base_url="http://localhost:11434/v1",
    base_url_variables=("OLLAMA_API_BASE",),
    key_variable="OLLAMA_API_KEY",
    features=_ALL - {"logprobs"},
)
PROVIDERS = {
    "openai": Provider(
        base_url="https://api.openai.com/v1",
        base_url_variables=("OPENAI_BASE_URL", "OPENAI_API_BASE"),
        key_variable="OPENAI_API_KEY",
        needs_key=True,
    ),
    "hosted_vllm": Provider(
        base_url_variables=("HOSTED_VLLM_API_BASE",), key_variable="HOSTED_VLLM_API_KEY"
    ),
    "ollama": _OLLAMA,
    "ollama_chat": _OLLAMA,
    "lm_studio": Provider(
        base_url="http://localhost:1234/v1",
        base_url_variables=("LM_STUDIO_API_BASE",),
        key_variable="LM_STUDIO_API_KEY",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Endpoint:
    """A server and the model there.

    Attributes:
        model: The model's name as the server knows it.
        api_base: URL up to, without, ``/chat/completions``.
        api_key: Empty if the server wants none.
        key_variable: Environment variable that may hold the key.
        is_key_missing: The server wants a key and there is none.
    """

    model: str
    api_base: str
    api_key: str = field(default="", repr=False)
    key_variable: str | None = None
    is_key_missing: bool = False
    features: frozenset[str] = _ALL

    @property
    def account(self) -> str:
        """Host and a fingerprint of the key: what a rate limit applies to."""
        return account_of(host_of(self.api_base), self.api_key)


def account_of(name: str, key: str) -> str:
    """Return a name with a fingerprint of a key, if there is one; never the key."""
    return f"{name}#{hashlib.sha256(key.encode()).hexdigest()[:8]}" if key else name


def host_of(url: str) -> str:
    """Return host and port of a URL, without user and password."""
    return urlsplit(url).netloc.rpartition("@")[2]


def takes_direct_path(model: str, *, api_base: str | None = None) -> bool:
    """Tell whether a model's server speaks OpenAI's chat protocol, so that litellm is not needed.

    Example:
        >>> takes_direct_path("openai/gpt-5-nano"), takes_direct_path("gemini/gemini-2.5-pro")
        (True, False)
        >>> takes_direct_path("my-model", api_base="http://localhost:8000/v1")
        True
    """
    provider, slash, bare = model.partition("/")
    if slash and provider in PROVIDERS:
        return api_base is not None or not _speaks_responses(bare, model)
    return api_base is not None and not (slash and provider in _OTHER_PROTOCOLS)


def find_endpoint(
    model: str, *, api_base: str | None = None, api_key: str | None = None
) -> Endpoint:
    """Return where a model is served, from arguments, environment and the table above.

    Args:
        model: Full name; a prefix of the table is not part of the name that the server sees.
        api_base: Base URL; goes before the environment.
        api_key: Key; goes before the environment. An empty text stands for no key at all.

    Raises:
        ConfigError: Nothing says where the server is, or it is no HTTP URL.
    """
    prefix, slash, bare = model.partition("/")
    known = PROVIDERS.get(prefix) if slash else None
    provider = known or Provider()
    base = api_base or _first_value(provider.base_url_variables) or provider.base_url
    if base is None:
        raise ConfigError(
            f"nothing says where the server of model {model!r} is",
            remedy="pass api_base='http://HOST:PORT/v1'"
            + "".join(f" or set {name}" for name in provider.base_url_variables[:1]),
        )
    if urlsplit(base).scheme not in ("http", "https") or not urlsplit(base).hostname:
        raise ConfigError(
            f"api_base of model {model!r} is no HTTP URL: {base!r}",
            remedy="give it as http://HOST:PORT/v1",
        )
    given = api_key if api_key is not None else _first_value((provider.key_variable,))
    key = (given or "").strip()  # keys read from files end in a newline
    if not key.isprintable():
        raise ConfigError(
            f"the key for model {model!r} has characters that no HTTP header can hold",
            remedy=f"look at {provider.key_variable or 'api_key'}: it may hold more than the key",
        )
    is_public = provider.needs_key and base == provider.base_url
    return Endpoint(
        model=bare if known else model,
        api_base=_with_version(base, provider),
        api_key=key,
        key_variable=provider.key_variable,
        is_key_missing=is_public and not key,
        features=provider.features,
    )


def _speaks_responses(bare: str, model: str) -> bool:
    """Tell whether OpenAI offers a model by its newer protocol alone, which litellm translates."""
    entry = price_entry(model)
    return bare.startswith("responses/") or (entry or {}).get("mode") == "responses"


def _first_value(variables: tuple[str | None, ...]) -> str | None:
    values = (environment_value(name) for name in variables if name)
    return next((value for value in values if value), None)


def _with_version(base: str, provider: Provider) -> str:
    """Return a base URL without a final slash; OLLAMA_API_BASE is customarily given without /v1."""
    trimmed = base.rstrip("/").removesuffix("/chat/completions")
    if provider is _OLLAMA and not urlsplit(trimmed).path:
        return trimmed + "/v1"
    return trimmed
