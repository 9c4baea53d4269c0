"""The published opik keeps its prompts in our server."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def test_prompts_and_their_versions_are_read_back_as_they_were_sent(drive, readback):
    """The same text is the same version; a change is a new one; both can be had."""
    report = drive("prompt_versions.py", "prompt versions")
    said = report["said"]
    prompt = readback.storage.find_prompt("prompt versions greeting")
    versions = list(readback.storage.list_prompt_versions(prompt.id))
    assert len(versions) == said["versions"]
    assert [version.number for version in versions] == list(range(1, len(versions) + 1))
    assert (versions[0].template, versions[0].metadata) == ("Hello {{name}}", {"tone": "warm"})
    assert (versions[0].commit, versions[1].commit) == (said["first"], said["second"])
    assert (versions[0].tags, versions[0].environments) == (("old",), ("production",))
    for name in ("bare", "jinja", "chat"):
        single = readback.storage.find_prompt(f"prompt versions {name}")
        assert len(list(readback.storage.list_prompt_versions(single.id))) == 1
    shown = list(readback.pages(f"prompts/{prompt.id}/versions"))
    assert [row["commit"] for row in reversed(shown)] == [version.commit for version in versions]
