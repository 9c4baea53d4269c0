"""The published opik traces into our server, and all of it is there."""

from __future__ import annotations

import pytest
from expectation import Expectation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.mark.parametrize("driver", ["tracing.py", "tracing_unbatched.py"])
def test_everything_traced_is_read_back_as_it_was_sent(driver, drive, readback):
    """Decorated, nested, generated, awaited, threaded and manual traces all arrive whole."""
    project = driver.removesuffix(".py")
    report = drive(driver, project)
    expected = Expectation.of(report["exchanges"])
    readback.assert_traced(expected, project)
    assert {entry["trace"] for entry in report["said"].values()} <= expected.traced("trace").keys()
    assert {entry["span"] for entry in report["said"].values()} <= expected.traced("span").keys()
    _assert_meaning(report["said"], readback)


def _assert_meaning(ids, readback):
    """Check what the program did against what is stored."""
    nested = readback.storage.find_trace(ids["nested"]["trace"])
    assert (nested.name, nested.input, nested.output) == ("nested", {"number": 20}, {"output": 41})
    assert (nested.thread_id, nested.tags, nested.source) == ("thread-1", ("nested",), "sdk")
    assert nested.end_time >= nested.start_time
    inner = readback.storage.find_span(ids["leaf"]["span"])
    assert (inner.parent_span_id, inner.trace_id) == (ids["nested"]["span"], nested.id)
    assert (inner.type, inner.output) == ("tool", {"doubled": 40})
    failed = readback.storage.find_trace(ids["failing"]["trace"])
    assert (failed.error_info.exception_type, failed.error_info.message) == (
        "ValueError",
        "no luck",
    )
    assert readback.storage.find_trace(ids["counting"]["trace"]).output == {"output": "01234"}
    assert readback.storage.find_trace(ids["streaming"]["trace"]).output == {"output": "stream"}
    manual = readback.storage.find_trace(ids["by hand"]["trace"])
    assert manual.metadata["a"] == {"b": [1, 2.5, None]}
    assert manual.input["q"].startswith("Grüße, 世界")
    assert readback.storage.find_span(ids["by hand"]["span"]).cost_usd == 0.125
