"""Metrics by name."""

from __future__ import annotations

import subprocess
import sys

import pytest

from opik_eval.errors import ConfigError
from opik_eval.metrics import BaseMetric, Equals, TokenF1, get_metric, list_metrics
from opik_eval.metrics.registry import _key


@pytest.mark.parametrize("name", ["equals", "Equals", "equals_metric", "EQUALS", "equals-metric"])
def test_any_spelling_of_a_name_will_do(name):
    """Class name, snake case, default name of the score."""
    assert get_metric(name) == Equals()


def test_options_configure_the_metric():
    """Options are the constructor's arguments, the score's name included."""
    metric = get_metric("token_f1", measure="recall", name="recall")
    assert metric == TokenF1("recall", name="recall")


def test_a_metric_of_ones_own_is_named_by_its_place():
    """A class or a function of any importable module."""
    assert get_metric("opik_eval.metrics.exact:Equals", case_sensitive=True) == Equals(True)
    assert get_metric("math:isclose", name="close").name == "close"


def test_an_unknown_name_gets_a_suggestion_and_the_list():
    """A typo is met with what was probably meant, and with all there is."""
    with pytest.raises(ConfigError, match="no metric called 'equal'") as refusal:
        get_metric("equal")
    assert "did you mean 'equals'?" in refusal.value.remedy
    assert "levenshtein_ratio" in refusal.value.remedy
    with pytest.raises(ConfigError, match="no metric called 'zzz'") as refusal:
        get_metric("zzz")
    assert "did you mean" not in refusal.value.remedy


def test_bases_cannot_be_asked_for():
    """What is no metric by itself has no name."""
    for name in ("base", "judge", "function", "score_result", "as_metric"):
        with pytest.raises(ConfigError, match="no metric called"):
            get_metric(name)


def test_an_unknown_option_gets_a_suggestion():
    """So is a typo in an option, and a required one that is missing."""
    with pytest.raises(ConfigError, match="case_sensitiv") as refusal:
        get_metric("equals", case_sensitiv=True)
    assert "did you mean 'case_sensitive'?" in refusal.value.remedy
    with pytest.raises(ConfigError, match="missing a required argument: 'regex'") as refusal:
        get_metric("regex_match")
    with pytest.raises(ConfigError, match="unexpected keyword argument 'limit'"):
        get_metric("math:isclose", limit=3)
    assert "there are name, project_name, regex, track" in refusal.value.remedy


@pytest.mark.parametrize("name", ["no_such_module:X", "math:no_such_name", ":x"])
def test_a_place_that_does_not_exist_is_refused(name):
    """The error says how to write a place."""
    with pytest.raises(ConfigError, match="cannot be loaded") as refusal:
        get_metric(name)
    assert "package.module:Class" in refusal.value.remedy


def test_the_list_names_and_documents_every_metric():
    """Sorted, each with a summary and its options, each to be found again under its name."""
    entries = list_metrics()
    names = [entry.name for entry in entries]
    assert names == sorted(names)
    assert {"equals", "token_f1", "g_eval", "is_json", "levenshtein_ratio"} <= set(names)
    assert len({_key(name) for name in names}) == len(names)
    for entry in entries:
        assert issubclass(entry.kind, BaseMetric)
        assert entry.summary.endswith("."), entry.name
        assert {"name", "track", "project_name"} <= set(entry.options)
    by_name = {entry.name: entry for entry in entries}
    assert by_name["equals"].options["case_sensitive"] == "False"
    assert by_name["regex_match"].options["regex"] is None


def test_importing_the_package_loads_no_heavy_library():
    """Nor do the core metrics, until they are used."""
    code = (
        "import sys, opik_eval.metrics as m; m.Equals; m.LevenshteinRatio; m.JsonSchema;"
        "heavy = {'litellm', 'jinja2', 'jsonschema', 'rapidfuzz', 'numpy', 'pandas'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
