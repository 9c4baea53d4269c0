"""Tools of MCP servers: looked up once, then called like any other tool (extra ``mcp``).

A definition names a server, started by a command or reached by a URL::

    {"type": "mcp", "server_label": "docs", "command": "docs-server", "args": ["--quick"]}
    {"type": "mcp", "server_label": "docs", "server_url": "https://...", "headers": {...}}

``allowed_tools`` limits what is taken of it. Values of ``env`` and ``headers`` may name environment
variables as ``${env:NAME}``. One connection to each server is kept open on the process's background
loop, so that tools work from any thread and event loop. A tool that is called after its connection
was closed opens it anew.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, cast

from opik_eval.concurrency import background_loop
from opik_eval.config import environment_value
from opik_eval.serialization import dumps
from opik_optimizer.errors import ToolError
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.tools import Tool, is_mcp

T = TypeVar("T")

TIMEOUT_SECONDS = 30.0
_VARIABLE = re.compile(r"\$\{env:(\w+)\}")


class McpClient(Protocol):
    """What is used of a client of the ``mcp`` package."""

    async def list_tools(self, *, cursor: str | None = None) -> _Listing:
        """Return one page of the tools."""
        ...

    async def call_tool(
        self, name: str, arguments: dict[str, object], read_timeout_seconds: float
    ) -> _Result:
        """Call a tool."""
        ...


class _Described(Protocol):
    name: str
    description: str | None
    input_schema: dict[str, object]


class _Listing(Protocol):
    tools: Sequence[_Described]
    next_cursor: str | None


class _Result(Protocol):
    content: Sequence[object]
    structured_content: object
    is_error: bool


Connect = Callable[[Tool], AbstractAsyncContextManager[McpClient]]


@dataclass(frozen=True)
class McpTool:
    """One tool of a server, as a function; equal definitions are equal tools."""

    server: Mapping[str, object]
    name: str
    session: _Session = field(repr=False, compare=False)

    async def __call__(self, **arguments: object) -> str:
        """Call the tool and return its result as text.

        Raises:
            ToolError: The tool says that it failed.
        """
        result = await self.session.call(self.name, arguments)
        texts = [text for part in result.content if (text := getattr(part, "text", None))]
        text = "\n".join(texts) or dumps(result.structured_content).decode()
        if result.is_error:
            raise ToolError(text)
        return text


class McpServers:
    """The MCP servers of a run.

    Args:
        connect: Makes the client of a definition; that of the ``mcp`` package if absent.

    Example::

        async with McpServers() as servers:
            prompt = await servers.resolve(prompt)
    """

    def __init__(self, connect: Connect | None = None) -> None:
        self._connect = connect or connect_with_sdk
        self._sessions: dict[bytes, _Session] = {}

    async def resolve(self, prompt: ChatPrompt) -> ChatPrompt:
        """Return a copy of a prompt in which MCP definitions are function tools that can be called.

        Raises:
            ToolError: The extra is missing, a server cannot be reached, or a tool is not there.
        """
        resolved = prompt.copy()
        resolved.tools = []
        for tool in prompt.tools:
            if not is_mcp(tool):
                resolved.tools.append(tool)
                continue
            session = self._sessions.setdefault(dumps(tool), _Session(tool, self._connect))
            for described in _allowed(tool, await session.tools()):
                name = described.name
                if name in resolved.function_map:
                    name = f"{tool['server_label']}_{name}"
                function = {
                    "name": name,
                    "description": described.description or "",
                    "parameters": dict(described.input_schema),
                }
                resolved.tools.append({"type": "function", "function": function})
                resolved.function_map[name] = McpTool(tool, described.name, session)
        return resolved.copy()  # checks the definitions

    async def aclose(self) -> None:
        """Close the connections."""
        await asyncio.gather(*(session.close() for session in self._sessions.values()))
        self._sessions.clear()

    async def __aenter__(self) -> McpServers:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.aclose()


class _Session:
    """One connection, held open by a task of its own on the background loop."""

    def __init__(self, tool: Tool, connect: Connect) -> None:
        self._tool = tool
        self._connect = connect
        self._client: McpClient | None = None
        self._opening = asyncio.Lock()
        self._closing = asyncio.Event()
        self._holder: asyncio.Task[None] | None = None

    async def tools(self) -> list[_Described]:
        async def listed() -> list[_Described]:
            client = await self._opened()
            found: list[_Described] = []
            cursor: str | None = None
            while True:
                page = await client.list_tools(cursor=cursor)
                found.extend(page.tools)
                cursor = page.next_cursor
                if cursor is None:
                    return found

        return await self._on_background(listed)

    async def call(self, name: str, arguments: Mapping[str, object]) -> _Result:
        async def called() -> _Result:
            client = await self._opened()
            return await client.call_tool(name, dict(arguments), TIMEOUT_SECONDS)

        return await self._on_background(called)

    async def close(self) -> None:
        async def closed() -> None:
            self._closing.set()
            if self._holder is not None:
                await asyncio.wait([self._holder])
            self._client, self._holder, self._closing = None, None, asyncio.Event()

        await self._on_background(closed)

    async def _opened(self) -> McpClient:
        async with self._opening:
            if self._client is None:
                ready: asyncio.Future[McpClient] = asyncio.get_running_loop().create_future()
                self._holder = asyncio.create_task(self._hold(ready))
                self._client = await ready
            return self._client

    async def _hold(self, ready: asyncio.Future[McpClient]) -> None:
        # A client must be entered and left by the same task.
        try:
            async with self._connect(self._tool) as client:
                closing = self._closing
                ready.set_result(client)
                await closing.wait()
        except ToolError as error:
            _fail(ready, error)
        except Exception as error:  # noqa: BLE001 - whatever the server or its transport raises
            label = self._tool["server_label"]
            _fail(
                ready,
                ToolError(
                    f"cannot reach the MCP server {label!r}: {type(error).__name__}: {error}",
                    remedy="check its command or URL",
                ),
            )

    async def _on_background(self, start: Callable[[], Coroutine[object, object, T]]) -> T:
        future = asyncio.run_coroutine_threadsafe(start(), background_loop())
        return await asyncio.wrap_future(future)


def mcp_definitions(config: Mapping[str, object]) -> list[dict[str, object]]:
    """Return the definitions of the servers in a configuration of the form of Cursor's.

    Example:
        >>> mcp_definitions({"mcpServers": {"docs": {"command": "docs-server"}}})
        [{'type': 'mcp', 'server_label': 'docs', 'command': 'docs-server'}]
    """
    servers = cast("Mapping[str, Mapping[str, object]]", config.get("mcpServers") or {})
    found = []
    for label, server in servers.items():
        fields = {"server_url" if key == "url" else key: value for key, value in server.items()}
        found.append({"type": "mcp", "server_label": label, **fields})
    return found


def connect_with_sdk(tool: Tool) -> AbstractAsyncContextManager[McpClient]:
    """Return the client of the ``mcp`` package for a definition.

    Raises:
        ToolError: The extra is not installed, or a variable is not set.
    """
    environment, headers = _expanded(tool, "env"), _expanded(tool, "headers")
    try:
        import httpx2
        from mcp import Client
        from mcp.client.stdio import StdioServerParameters
        from mcp.client.streamable_http import streamable_http_client
    except ImportError as error:
        raise ToolError(
            f"the tools of the MCP server {tool['server_label']!r} need the extra 'mcp'",
            remedy='pip install "opik-eval[mcp]"',
        ) from error
    if "command" in tool:
        server: object = StdioServerParameters(
            command=str(tool["command"]),
            args=[str(part) for part in cast("Sequence[object]", tool.get("args") or ())],
            env=environment or None,
        )
    else:
        http = httpx2.AsyncClient(headers=headers, timeout=TIMEOUT_SECONDS)
        server = streamable_http_client(str(tool["server_url"]), http_client=http)
    return cast("AbstractAsyncContextManager[McpClient]", Client(server))


def _expanded(tool: Tool, key: str) -> dict[str, str]:
    """Return texts with the values of environment variables in the place of their names."""

    def value_of(match: re.Match[str]) -> str:
        value = environment_value(match[1])
        if value is None:
            raise ToolError(
                f"the MCP server {tool['server_label']!r} needs the environment variable "
                f"{match[1]}, which is not set"
            )
        return value

    texts = cast("Mapping[str, object]", tool.get(key) or {})
    return {name: _VARIABLE.sub(value_of, str(text)) for name, text in texts.items()}


def _allowed(tool: Tool, described: Sequence[_Described]) -> Sequence[_Described]:
    allowed = cast("Sequence[str] | None", tool.get("allowed_tools"))
    if allowed is None:
        return described
    there = {one.name for one in described}
    if missing := [name for name in allowed if name not in there]:
        raise ToolError(
            f"the MCP server {tool['server_label']!r} has no tools {missing}",
            remedy=f"it has {sorted(there)}",
        )
    return [one for one in described if one.name in allowed]


def _fail(ready: asyncio.Future[McpClient], error: ToolError) -> None:
    if not ready.done():
        ready.set_exception(error)


__all__ = [
    "TIMEOUT_SECONDS",
    "McpClient",
    "McpServers",
    "McpTool",
    "connect_with_sdk",
    "mcp_definitions",
]
