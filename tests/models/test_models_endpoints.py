"""Which models take the direct path, and where to."""

import pytest

from opik_eval.errors import ConfigError
from opik_eval.models.endpoints import PROVIDERS, find_endpoint, takes_direct_path


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch):
    for provider in PROVIDERS.values():
        for variable in (*provider.base_url_variables, provider.key_variable):
            monkeypatch.delenv(variable, raising=False)


@pytest.mark.parametrize(
    ("model", "base", "expected"),
    [
        ("openai/gpt-4o", None, True),
        ("hosted_vllm/x", None, True),
        ("ollama/x", None, True),
        ("ollama_chat/x", None, True),
        ("lm_studio/x", None, True),
        ("anthropic/claude", None, False),
        ("gpt-4o", None, False),
        ("gpt-4o", "http://h/v1", True),
        ("meta-llama/Llama-3", "http://h/v1", True),
        ("azure/gpt-4o", "http://h", False),
        ("openai", None, False),
        ("openai/responses/gpt-5", None, False),
        ("openai/o1-pro", None, False),
        ("openai/o1-pro", "http://h/v1", True),
    ],
)
def test_direct_path(model, base, expected):
    """Known prefixes and explicit servers take the direct path, other protocols never."""
    assert takes_direct_path(model, api_base=base) is expected


@pytest.mark.parametrize(
    ("model", "name", "base"),
    [
        ("openai/gpt-4o", "gpt-4o", "https://api.openai.com/v1"),
        ("ollama/llama3:8b", "llama3:8b", "http://localhost:11434/v1"),
        ("ollama_chat/llama3", "llama3", "http://localhost:11434/v1"),
        ("lm_studio/a/b", "a/b", "http://localhost:1234/v1"),
    ],
)
def test_usual_places(model, name, base):
    """Each kind of server has a usual place, and the prefix is not part of the model's name."""
    endpoint = find_endpoint(model)
    assert (endpoint.model, endpoint.api_base) == (name, base)


@pytest.mark.parametrize(
    ("model", "variable", "value", "base"),
    [
        ("openai/m", "OPENAI_BASE_URL", "http://a/v1/", "http://a/v1"),
        ("openai/m", "OPENAI_API_BASE", "http://b/v1", "http://b/v1"),
        ("hosted_vllm/m", "HOSTED_VLLM_API_BASE", "http://c:1/v1", "http://c:1/v1"),
        ("ollama/m", "OLLAMA_API_BASE", "http://d:11434", "http://d:11434/v1"),
        ("ollama/m", "OLLAMA_API_BASE", "http://d/api/v1", "http://d/api/v1"),
    ],
)
def test_environment_moves_servers(monkeypatch, model, variable, value, base):
    """The provider's own variables say where its server is; an argument goes before them."""
    monkeypatch.setenv(variable, value)
    assert find_endpoint(model).api_base == base
    assert find_endpoint(model, api_base="http://z/v1").api_base == "http://z/v1"


def test_whole_url_is_taken_too():
    """A base URL that was copied with the path of the call is understood."""
    endpoint = find_endpoint("m", api_base="http://h/v1/chat/completions")
    assert endpoint.api_base == "http://h/v1"


def test_name_without_known_prefix_is_sent_whole():
    """Only prefixes of the table are cut off."""
    assert find_endpoint("meta/llama", api_base="http://h/v1").model == "meta/llama"


@pytest.mark.parametrize("model", ["hosted_vllm/m", "some-model"])
def test_server_must_be_known(model):
    """A model without a place is an error that says how to give one."""
    with pytest.raises(ConfigError, match="api_base="):
        find_endpoint(model)


@pytest.mark.parametrize("base", ["localhost:8000", "ftp://h/v1", "/v1", "http://"])
def test_base_must_be_an_http_url(base):
    """What is no HTTP URL is refused at once."""
    with pytest.raises(ConfigError, match="no HTTP URL"):
        find_endpoint("openai/m", api_base=base)


def test_keys(monkeypatch):
    """An argument goes before the environment, and an empty one means no key."""
    assert find_endpoint("openai/m").is_key_missing
    assert not find_endpoint("openai/m", api_base="http://h/v1").is_key_missing
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    assert find_endpoint("openai/m").api_key == "sk-env"
    assert find_endpoint("openai/m", api_key="sk-arg").api_key == "sk-arg"
    assert find_endpoint("openai/m", api_base="http://h/v1", api_key="").api_key == ""
    assert "sk-env" not in repr(find_endpoint("openai/m"))


def test_key_may_end_in_a_newline_but_not_hold_one():
    """Space around a key is cut off; a key that no header can hold is refused unseen."""
    assert find_endpoint("openai/m", api_key=" sk-1\n").api_key == "sk-1"
    with pytest.raises(ConfigError, match="OPENAI_API_KEY") as caught:
        find_endpoint("openai/m", api_key="sk-1\nsk-2")
    assert "sk-1" not in str(caught.value)


def test_key_of_one_provider_goes_to_no_other(monkeypatch):
    """A server without a known prefix never gets a key from the environment."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-env")
    assert find_endpoint("my-model", api_base="http://h/v1").api_key == ""


def test_account_leaves_out_user_and_password():
    """The account is host, port and a fingerprint."""
    endpoint = find_endpoint("m", api_base="http://user:pw@h:1/v1", api_key="k" * 20)
    host, fingerprint = endpoint.account.split("#")
    assert host == "h:1"
    assert len(fingerprint) == 8
