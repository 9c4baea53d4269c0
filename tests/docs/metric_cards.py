"""Writes docs/metrics/table.md: the card of every metric and judge, read from the code.

python tests/docs/metric_cards.py
"""

from __future__ import annotations

import inspect
import re
from pathlib import Path

from opik_eval.judges import GEval
from opik_eval.metrics import list_metrics
from opik_eval.metrics.base import Arguments, BaseMetric, arguments_of
from opik_eval.metrics.registry import MetricEntry

PAGE = Path(__file__).parents[2] / "docs" / "metrics" / "table.md"
HEAD = """\
# All metrics and judges

Written from the code by `python tests/docs/metric_cards.py`. *Better* says which end of the range
is better, *cost* what one score takes besides microseconds. Options are those of the constructor,
to which `name`, `track` and `project_name` are added.

| metric | `score` takes | range | better | cost | options | source |
|---|---|---|---|---|---|---|
"""
COSTS = {
    "AggregatedMetric": "that of its parts",
    "BERTScore": "a local model's run (extra `bertscore`)",
    "CodeExecution": "a process; leave to run code",
    "ConversationalCoherenceMetric": "1 model call for each window",
    "DecisionTreeJudge": "1 model call for each node on the way",
    "EmbeddingSimilarity": "1 embedding call",
    "Faithfulness": "2 model calls",
    "GEvalConversationMetric": "that of its judge",
    "LanguageAdherenceMetric": "nothing (extra `language`)",
    "LLMJuriesJudge": "that of its members",
    "NoiseSensitivity": "1 model call for each chunk, and 3",
    "PairwiseJudge": "2 model calls",
    "RagasMetricWrapper": "that of the metric",
    "RankedContextPrecision": "1 model call for each chunk",
    "Readability": "nothing (extra `text`)",
    "Sentiment": "nothing (extra `text`)",
    "SessionCompletenessQuality": "1 model call, and 1 for each goal",
    "SycEval": "5 model calls",
    "UserFrustrationMetric": "1 model call for each window",
    "VADERSentiment": "nothing (extra `text`)",
}
# Not made without arguments, though their constructors have defaults for all or depend on others.
MADE_WITH_ARGUMENTS = ("AggregatedMetric", "CodeExecution", "LLMJuriesJudge", "RagasMetricWrapper")
_SOURCE = re.compile(r"^Source:\s+(.*?)(?:\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
_COMMON = ("name", "track", "project_name")


def page() -> str:
    """Return the page."""
    return HEAD + "".join(f"| {' | '.join(_cells(entry))} |\n" for entry in list_metrics())


def _cells(entry: MetricEntry) -> list[str]:
    kind = entry.kind
    low, high = (f"{bound:g}".replace("inf", "∞") for bound in kind.value_range)
    arguments = _arguments(kind)
    options = [option for option in entry.options if option not in _COMMON]
    return [
        f"`{kind.__name__}`",
        _takes(arguments),
        f"{low} … {high}",
        {True: "higher", False: "lower", None: "neither"}[kind.higher_is_better],
        _cost(kind, arguments),
        _listed(options) or "–",
        _source(kind),
    ]


def _cost(kind: type[BaseMetric], arguments: Arguments) -> str:
    if kind.__name__ in COSTS:
        return COSTS[kind.__name__]
    if issubclass(kind, GEval) or kind.__module__.endswith(".conversation_g_eval"):
        return "1 model call (or `samples`), and 1 for the steps of its criteria"
    if kind.__module__.startswith("opik_eval.judges"):
        return "1 model call"
    return "nothing, but a trace of the run" if "task_span" in arguments.required else "nothing"


def _arguments(kind: type[BaseMetric]) -> Arguments:
    """Return what a metric takes: as it is made without options, else as its class says."""
    if (
        all(
            parameter.default is not parameter.empty
            for parameter in inspect.signature(kind).parameters.values()
        )
        and kind.__name__ not in MADE_WITH_ARGUMENTS
    ):
        return kind().score_arguments()
    method = next(
        vars(base)[name]
        for base in kind.__mro__
        for name in ("ascore", "score")
        if name in vars(base)
    )
    read = arguments_of(method)
    return Arguments(required=read.required[1:], optional=read.optional)


def _takes(arguments: Arguments) -> str:
    optional = _listed(arguments.optional)
    parts = [_listed(arguments.required), f"if given {optional}" if optional else ""]
    return "; ".join(filter(None, parts)) or "what its parts take"


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _source(kind: type[BaseMetric]) -> str:
    found = _SOURCE.search(inspect.getdoc(kind) or "")
    text = " ".join(found[1].split()).rstrip(".") if found else "–"
    return text.replace("``", "`").replace("|", "\\|")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
