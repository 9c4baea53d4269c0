"""Where attributes of spans go: the conventions of OpenTelemetry's GenAI, OpenInference and Opik.

Source: OpenTelemetry's semantic conventions for generative AI, OpenInference's semantic
conventions, and Opik's documentation of its OpenTelemetry endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from opik_eval.records import SpanType

Target = Literal[
    "model",
    "provider",
    "usage",
    "input",
    "output",
    "metadata",
    "thread_id",
    "tags",
    "kind",
    "id",
    "dropped",
]


@dataclass(frozen=True)
class Rule:
    """Where an attribute goes.

    Attributes:
        target: Part of the span.
        type: What the span is if it has such an attribute.
    """

    target: Target
    type: SpanType | None = None


_LLM, _TOOL = SpanType.LLM, SpanType.TOOL
_TABLE: tuple[tuple[Rule, str], ...] = (
    (Rule("id"), "opik.trace_id opik.span_id opik.parent_span_id"),
    (Rule("tags"), "opik.tags"),
    (Rule("metadata"), "opik.metadata*"),
    (Rule("dropped"), "logfire.msg_template logfire.json_schema logfire.span_type"),
    (Rule("kind"), "openinference.span.kind"),
    (Rule("thread_id"), "thread_id session.id gen_ai.conversation.id"),
    (
        Rule("model", _LLM),
        "gen_ai.request.model gen_ai.response.model gen_ai.request_model gen_ai.response_model "
        "llm.model_name model_name",
    ),
    (Rule("provider", _LLM), "gen_ai.provider.name gen_ai.system llm.provider"),
    (Rule("usage", _LLM), "gen_ai.usage.* llm.token_count.* usage"),
    (
        Rule("metadata"),
        "gen_ai.request.temperature gen_ai.response.id gen_ai.response.finish_reasons "
        "gen_ai.operation.name gen_ai.cost.* gen_ai.tool.* gen_ai.agent.* gen_ai.token.type "
        "gen_ai.framework error.* exception.* server.address server.port code.* smolagents.*",
    ),
    (Rule("metadata", _TOOL), "tool.name tool.description"),
    (Rule("input", _TOOL), "tool.parameters"),
    (Rule("output", _TOOL), "tool.output"),
    (
        Rule("input"),
        "gen_ai.prompt* gen_ai.input.* gen_ai.system_instructions gen_ai.request.* llm.prompts.* "
        "llm.input_messages.* llm.invocation_parameters* input* prompt params tools all_messages",
    ),
    (
        Rule("output"),
        "gen_ai.completion* gen_ai.output.* gen_ai.response* llm.output_messages.* output* "
        "response result tool_responses",
    ),
)
_REST = Rule("input")


@lru_cache(maxsize=4096)
def rule_for(attribute: str) -> Rule:
    """Return where an attribute goes; what no rule knows is input.

    Example:
        >>> rule_for("gen_ai.request.model").target, rule_for("gen_ai.request.top_p").target
        ('model', 'input')
    """
    return next((rule for rule, pattern in _rules() if _fits(pattern, attribute)), _REST)


def _rules() -> Iterator[tuple[Rule, str]]:
    for rule, patterns in _TABLE:
        for pattern in patterns.split():
            yield rule, pattern


def _fits(pattern: str, attribute: str) -> bool:
    if pattern.endswith("*"):
        return attribute.startswith(pattern[:-1])
    return attribute == pattern
