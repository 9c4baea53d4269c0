"""``opik_eval.configure`` with a server that answers."""

from __future__ import annotations

import opik_eval
from opik_eval import config
from opik_eval.storage.opening import parse_target


def test_a_server_is_written_down_and_used(server_url, monkeypatch, tmp_path, caplog):
    """The next store that is opened is that server's workspace."""
    monkeypatch.delenv("OPIK_EVAL_STORAGE")
    config.settings.cache_clear()
    with caplog.at_level("INFO", "opik_eval"):
        opik_eval.configure(url=server_url, workspace="other", project_name="mine")
    known = config.settings()
    assert (known.workspace, known.project_name) == ("other", "mine")
    assert parse_target() == ("http", known.url_override)
    assert (known.url_override or "").startswith(server_url.removesuffix("/api"))
    assert f"results go to {known.url_override}" in caplog.text
    assert (tmp_path / "no.config").stat().st_mode & 0o777 == 0o600
