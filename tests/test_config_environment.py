"""What the environment says to others than us: proxies, and variables of libraries."""

import pytest

from opik_eval.config import environment_value, proxy_for, set_default_environment


@pytest.fixture
def proxies(monkeypatch):
    for name in ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "internal.example")


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("https://api.example/v1", "http://proxy.example:3128"),
        ("http://api.example/v1", None),
        ("https://internal.example/v1", None),
        ("https://localhost:8000", None),
        ("https://127.0.0.1:8000", None),
        ("https://[::1]:8000", None),
    ],
)
def test_proxies(proxies, url, proxy):
    """A proxy counts for its own scheme, not for excluded hosts and never for this machine."""
    assert proxy_for(url) == proxy


def test_default_of_a_variable(monkeypatch):
    """A default is set where the user has set nothing, and only there."""
    monkeypatch.delenv("SOME_LIBRARY_SETTING", raising=False)
    set_default_environment("SOME_LIBRARY_SETTING", "a")
    set_default_environment("SOME_LIBRARY_SETTING", "b")
    assert environment_value("SOME_LIBRARY_SETTING") == "a"
    monkeypatch.setenv("SOME_LIBRARY_SETTING", "")
    assert environment_value("SOME_LIBRARY_SETTING") is None
