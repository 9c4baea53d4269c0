"""The table of all metrics is what the code says."""

from __future__ import annotations

import sys
from pathlib import Path

from opik_eval.metrics import list_metrics

sys.path.insert(0, str(Path(__file__).parent))

import metric_cards


def test_the_table_is_up_to_date() -> None:
    """It is what ``python tests/docs/metric_cards.py`` writes now."""
    assert metric_cards.PAGE.read_text(encoding="utf-8") == metric_cards.page()


def test_every_metric_has_a_row() -> None:
    """With as many cells as there are columns."""
    rows = metric_cards.page().splitlines()[-len(list_metrics()) :]
    assert all(row.replace("\\|", "").count("|") == 8 for row in rows)
    assert all(f"`{e.kind.__name__}`" in row for e, row in zip(list_metrics(), rows, strict=True))
