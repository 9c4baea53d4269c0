"""Definitions of tools, and the tools of MCP servers."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
import threading
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest

from opik_optimizer import mcp
from opik_optimizer.chat_agent import ChatAgent
from opik_optimizer.errors import ToolError
from opik_optimizer.mcp import McpServers, connect_with_sdk, mcp_definitions
from opik_optimizer.prompt import ChatPrompt
from opik_optimizer.testing.toy import ToyOptimizer
from opik_optimizer.tools import (
    function_names,
    tool_texts,
    validate_tools,
    with_tool_texts,
    without_texts,
)

SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "description": "Search.",
        "parameters": {
            "type": "object",
            "properties": {"q": {"type": "string", "description": "What."}, "odd": True},
        },
    },
}
SERVER = {"type": "mcp", "server_label": "docs", "command": "docs-server"}


def function(**fields: object) -> dict[str, object]:
    return {"type": "function", "function": {"name": "f", **fields}}


@pytest.mark.parametrize(
    ("tools", "text"),
    [
        ("search", "must be a list"),
        ({"a": 1}, "must be a list"),
        (["search"], "tool 0 is a str"),
        ([{"type": "web"}], "'web'"),
        ([{"type": "function"}], "no dict 'function'"),
        ([function(name="a b")], "'a b'"),
        ([function(name=None)], "None"),
        ([function(description=3)], "no text"),
        ([function(parameters={"type": "array"})], "JSON schema"),
        ([function(), function()], "'f', like another"),
        ([{"type": "mcp"}], "server_label"),
        ([{"type": "mcp", "server_label": "x"}], "server_url"),
        ([{**SERVER, "server_url": "http://x"}], "either"),
        ([{**SERVER, "allowed_tools": "a"}], "allowed_tools"),
        ([SERVER, SERVER], "mcp:docs"),
    ],
)
def test_malformed_tools_are_refused(tools: object, text: str) -> None:
    """Each mistake is an error that names the tool."""
    with pytest.raises(ToolError, match=text):
        validate_tools(tools)


def test_descriptions_are_editable_and_nothing_else() -> None:
    """Descriptions of tools and parameters change by key; names and schemas stay."""
    tools = validate_tools([SEARCH, SERVER])
    assert tool_texts(tools) == {"search": "Search.", "search/q": "What."}
    changed = with_tool_texts(tools, {"search": "Find.", "search/q": "Words."})
    assert tool_texts(changed) == {"search": "Find.", "search/q": "Words."}
    assert without_texts(changed) == without_texts(tools)
    assert tool_texts(tools)["search"] == "Search."
    assert function_names(tools) == ["search"]
    with pytest.raises(ToolError, match="'search/x'"):
        with_tool_texts(tools, {"search/x": ""})


def described(name: str) -> SimpleNamespace:
    return SimpleNamespace(name=name, description=None, input_schema={"type": "object"})


class FakeServer:
    """A server with two pages of tools, and a record of what happened on which thread."""

    def __init__(self) -> None:
        self.opened = self.closed = 0
        self.threads: set[str] = set()

    @asynccontextmanager
    async def connect(self, tool: Mapping[str, object]) -> AsyncIterator[FakeServer]:
        if tool["command"] == "broken":
            raise OSError("no such server")
        self.opened += 1
        yield self
        self.closed += 1

    async def list_tools(self, *, cursor: str | None = None) -> object:
        if cursor is None:
            return SimpleNamespace(tools=[described("add")], next_cursor="2")
        return SimpleNamespace(tools=[described("fail")], next_cursor=None)

    async def call_tool(self, name: str, arguments: dict[str, object], timeout: float) -> object:
        self.threads.add(threading.current_thread().name)
        if name == "fail":
            parts = [SimpleNamespace(text="no way"), SimpleNamespace(data=b"")]
            return SimpleNamespace(content=parts, structured_content=None, is_error=True)
        return SimpleNamespace(content=[], structured_content=arguments, is_error=False)


def test_tools_of_a_server_are_called_like_others() -> None:
    """Tools are looked up page by page, over one connection, and closed in the end."""
    server = FakeServer()

    async def use() -> None:
        async with McpServers(server.connect) as servers:  # type: ignore[arg-type]
            prompt = ChatPrompt(
                user="{q}", tools=[SERVER, SEARCH], function_map={"add": len}, model="fake/echo"
            )
            first, again = await asyncio.gather(servers.resolve(prompt), servers.resolve(prompt))
            assert function_names(first.tools) == ["docs_add", "fail", "search"]
            assert first.function_map.keys() == {"add", "docs_add", "fail"}
            assert first.function_map["fail"] == again.function_map["fail"]
            assert await first.function_map["docs_add"](a=1) == '{"a":1}'  # type: ignore[misc]
            with pytest.raises(ToolError, match="no way"):
                await first.function_map["fail"]()  # type: ignore[misc]
            ChatAgent().check({"p": first})
            key = ChatAgent().fingerprint({"p": first})
            assert key == ChatAgent().fingerprint({"p": again})
            assert prompt.tools == [SERVER, SEARCH]

    asyncio.run(use())
    assert (server.opened, server.closed) == (1, 1)
    assert server.threads == {"opik-eval-loop"}


def test_only_allowed_tools_are_taken() -> None:
    """A limit is obeyed; a tool that is not there is an error that lists those that are."""

    async def resolve(*names: str) -> list[str]:
        async with McpServers(FakeServer().connect) as servers:  # type: ignore[arg-type]
            prompt = ChatPrompt(user="u", tools=[{**SERVER, "allowed_tools": list(names)}])
            return function_names((await servers.resolve(prompt)).tools)

    assert asyncio.run(resolve("fail")) == ["fail"]
    with pytest.raises(ToolError, match=r"no tools \['sub'\]"):
        asyncio.run(resolve("sub"))


def test_a_server_out_of_reach_is_named() -> None:
    """Whatever stops a connection becomes an error that names the server."""

    async def resolve() -> None:
        async with McpServers(FakeServer().connect) as servers:  # type: ignore[arg-type]
            await servers.resolve(ChatPrompt(user="u", tools=[{**SERVER, "command": "broken"}]))

    with pytest.raises(ToolError, match="'docs': OSError: no such server"):
        asyncio.run(resolve())


def test_a_configuration_of_servers() -> None:
    """Cursor's form gives definitions that are valid tools."""
    config = {"mcpServers": {"a": {"url": "http://x"}, "b": {"command": "c", "args": ["d"]}}}
    found = mcp_definitions(config)
    assert validate_tools(found) == found
    assert found[0] == {"type": "mcp", "server_label": "a", "server_url": "http://x"}
    assert mcp_definitions({}) == []


def test_a_run_looks_up_tools_and_closes_the_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An optimizer finds the tools of MCP servers itself; a bundle stays one; all is closed."""
    server = FakeServer()
    monkeypatch.setattr(mcp, "connect_with_sdk", server.connect)
    used: list[object] = []

    async def agent(prompts: Mapping[str, ChatPrompt], dataset_item: Mapping[str, object]) -> str:
        (prompt,) = prompts.values()
        assert function_names(prompt.tools) == ["add", "fail"]
        used.append(await prompt.function_map["add"](a=1))  # type: ignore[misc]
        return str(dataset_item["answer"])

    prompt = ChatPrompt(name="p", system="Add.", user="{q}", tools=[SERVER], model="fake/echo")
    for given in (prompt, {"p": prompt}):
        result = ToyOptimizer(verbose=0).optimize_prompt(
            given,
            [{"q": str(n), "answer": n} for n in range(4)],
            lambda dataset_item, llm_output: llm_output == str(dataset_item["answer"]),
            agent=agent,
            storage="memory:",
        )
        assert result.score == 1.0
    assert isinstance(result.prompt, dict)
    assert set(used) == {'{"a":1}'}
    assert (server.opened, server.closed) == (2, 2)
    assert prompt.tools == [SERVER], "the user's prompt is left alone"
    later = result.prompt["p"].function_map["add"]
    assert asyncio.run(later(a=2)) == '{"a":2}', "whoever calls a tool later connects anew"
    assert server.opened == 3


@pytest.mark.skipif(importlib.util.find_spec("mcp") is not None, reason="the extra is installed")
def test_without_the_extra_the_error_names_it() -> None:
    """MCP tools need an extra, and the error says how to install it."""
    with pytest.raises(ToolError, match=r"opik-eval\[mcp\]"):
        connect_with_sdk(SERVER)


def test_a_variable_that_is_not_set_is_named() -> None:
    """Secrets come from the environment; one that is missing there is an error."""
    tool = {**SERVER, "env": {"PLAIN": "x", "KEY": "Bearer ${env:OPIK_NO_SUCH_VARIABLE}"}}
    with pytest.raises(ToolError, match="OPIK_NO_SUCH_VARIABLE"):
        connect_with_sdk(tool)


def test_a_real_server_over_standard_streams(tmp_path: Path) -> None:
    """With the extra, a server of the SDK's is started, asked and stopped."""
    pytest.importorskip("mcp")
    script = tmp_path / "server.py"
    script.write_text(
        "from mcp.server.mcpserver import MCPServer\n"
        "server = MCPServer('demo')\n"
        "@server.tool()\n"
        "def add(a: int, b: int) -> int:\n"
        "    return a + b\n"
        "server.run()\n"
    )
    tool = {**SERVER, "command": sys.executable, "args": [str(script)]}

    async def use() -> object:
        async with McpServers() as servers:
            prompt = await servers.resolve(ChatPrompt(user="u", tools=[tool]))
            return await prompt.function_map["add"](a=1, b=2)  # type: ignore[misc]

    assert asyncio.run(use()) == "3"
