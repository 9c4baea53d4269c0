"""Definitions of tools in OpenAI's form: checked, and their descriptions as editable texts.

Only descriptions may be optimized: names and schemas are the contract with the code behind them.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import cast

from opik_optimizer.errors import ToolError

Tool = Mapping[str, object]
"""``{"type": "function", "function": {...}}``, or ``{"type": "mcp", "server_label": ..., ...}``."""

_FUNCTION_NAME = re.compile(r"[\w.\-]{1,64}")
_REMEDY = (
    'a tool looks like {"type": "function", "function": {"name": "search", '
    '"description": "...", "parameters": {"type": "object", "properties": {...}}}}'
)


def validate_tools(tools: object) -> list[dict[str, object]]:
    """Return a copy of the definitions of tools if they can be sent or resolved.

    Raises:
        ToolError: They cannot; the text names the tool and what is wrong with it.

    Example:
        >>> search = {"type": "function", "function": {"name": "search"}}
        >>> validate_tools([search]) == [search]
        True
    """
    if isinstance(tools, str | Mapping) or not isinstance(tools, Sequence):
        raise ToolError(f"tools must be a list, not a {type(tools).__name__}", remedy=_REMEDY)
    names: set[str] = set()
    for index, tool in enumerate(tools):
        problem = _problem(tool)
        name = None if problem else _key(tool)
        if name in names:
            problem = f"has the name {name!r}, like another one"
        if problem:
            raise ToolError(f"tool {index} {problem}", remedy=_REMEDY)
        names.add(str(name))
    return copy.deepcopy([dict(tool) for tool in tools])


def is_mcp(tool: Tool) -> bool:
    """Tell whether a definition stands for the tools of an MCP server."""
    return tool.get("type") == "mcp"


def function_names(tools: Sequence[Tool]) -> list[str]:
    """Return the names of the function tools."""
    return [str(_function(tool)["name"]) for tool in tools if not is_mcp(tool)]


def tool_texts(tools: Sequence[Tool], names: Collection[str] | None = None) -> dict[str, str]:
    """Return the descriptions by key: ``name`` for a tool, ``name/parameter`` for a parameter.

    Args:
        tools: Definitions.
        names: Only those of these tools; all if absent.
    """
    return {
        key: str(holder.get("description", ""))
        for key, holder in _holders(tools)
        if names is None or key.partition("/")[0] in names
    }


def with_tool_texts(tools: Sequence[Tool], changes: Mapping[str, str]) -> list[dict[str, object]]:
    """Return the definitions with other descriptions; see ``tool_texts`` for the keys.

    Raises:
        ToolError: A key names no tool or parameter.
    """
    changed = [copy.deepcopy(dict(tool)) for tool in tools]
    holders = dict(_holders(changed))
    for key, text in changes.items():
        if key not in holders:
            raise ToolError(
                f"there is no tool or parameter {key!r}", remedy=f"there are {sorted(holders)}"
            )
        holders[key]["description"] = text
    return changed


def without_texts(tools: Sequence[Tool]) -> list[dict[str, object]]:
    """Return the definitions with all descriptions empty: what an optimizer must not change."""
    return with_tool_texts(tools, dict.fromkeys(tool_texts(tools), ""))


def _holders(tools: Sequence[Tool]) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield each object that has, or may have, a description, with its key."""
    for tool in tools:
        if is_mcp(tool):
            continue
        function = _function(tool)
        name = str(function["name"])
        yield name, function
        parameters = function.get("parameters")
        properties = parameters.get("properties") if isinstance(parameters, Mapping) else None
        for parameter, schema in (properties or {}).items():
            if isinstance(schema, dict):
                yield f"{name}/{parameter}", schema


def _function(tool: Tool) -> dict[str, object]:
    return cast("dict[str, object]", tool["function"])


def _key(tool: Tool) -> str:
    return f"mcp:{tool['server_label']}" if is_mcp(tool) else str(_function(tool)["name"])


def _problem(tool: object) -> str | None:
    if not isinstance(tool, Mapping):
        return f"is a {type(tool).__name__}, not a dict"
    if tool.get("type") == "mcp":
        return _mcp_problem(tool)
    if tool.get("type") != "function":
        return f"has the type {tool.get('type')!r}; there are 'function' and 'mcp'"
    function = tool.get("function")
    if not isinstance(function, dict):
        return "has no dict 'function'"
    name = function.get("name")
    if not isinstance(name, str) or not _FUNCTION_NAME.fullmatch(name):
        return f"has the name {name!r}; up to 64 letters, digits, '_', '-' and '.' are allowed"
    return _function_problem(function)


def _function_problem(function: Mapping[str, object]) -> str | None:
    if not isinstance(function.get("description", ""), str):
        return f"({function['name']}) has a description that is no text"
    parameters = function.get("parameters", {})
    if not isinstance(parameters, Mapping) or parameters.get("type", "object") != "object":
        return f"({function['name']}) has parameters that are no JSON schema of an object"
    return None


def _mcp_problem(tool: Tool) -> str | None:
    label = tool.get("server_label")
    if not isinstance(label, str) or not label:
        return "is of type 'mcp' and has no 'server_label'"
    if ("server_url" in tool) == ("command" in tool):
        return f"(mcp {label}) needs either 'server_url' or 'command'"
    allowed = tool.get("allowed_tools")
    if allowed is not None and (isinstance(allowed, str) or not isinstance(allowed, Sequence)):
        return f"(mcp {label}) has 'allowed_tools' that are no list of names"
    return None


__all__ = [
    "Tool",
    "function_names",
    "is_mcp",
    "tool_texts",
    "validate_tools",
    "with_tool_texts",
    "without_texts",
]
