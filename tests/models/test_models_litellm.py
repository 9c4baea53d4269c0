"""LiteLLMTransport: the contract, and what only this transport has."""

import asyncio
import subprocess
import sys

import pytest

from opik_eval import errors
from opik_eval.models.base import ModelRequest, Transport
from opik_eval.models.client import get_model
from opik_eval.models.litellm_transport import LiteLLMTransport, _litellm
from opik_eval.testing.fake_replies import FakeReply, failure, tool_call
from opik_eval.testing.fake_server import FakeServer
from opik_eval.testing.model_contract import EmbeddingContract, TransportContract

pytestmark = [
    pytest.mark.slow,  # importing litellm takes seconds
    # litellm ignores these warnings of its own, but pytest undoes that after each test.
    pytest.mark.filterwarnings("ignore:Accessing the .* attribute on the instance"),
]
MESSAGES = [{"role": "user", "content": "hello you"}]


class TestLiteLLMTransport(TransportContract):
    def make_transport(self, base_url: str, api_key: str) -> Transport:
        return LiteLLMTransport(self.model, api_base=base_url, api_key=api_key)


class TestLiteLLMEmbeddings(EmbeddingContract):
    def make_transport(self, base_url: str, api_key: str) -> Transport:
        return LiteLLMTransport(self.model, api_base=base_url, api_key=api_key)


@pytest.fixture
def server():
    with FakeServer() as server:
        yield server


def send(server, model="openai/gpt-4o", **params):
    transport = LiteLLMTransport(model, api_base=server.base_url, api_key="sk-test-0123")
    return asyncio.run(transport.send(ModelRequest(model=model, messages=MESSAGES, params=params)))


def test_import_is_late():
    """Importing the module, and asking for account and known features, does not load litellm."""
    code = (
        "import sys\n"
        "from opik_eval.models.litellm_transport import LiteLLMTransport\n"
        "transport = LiteLLMTransport('gemini/gemini-2.5-pro', api_key='k')\n"
        "transport.account, transport.supports('json_schema')\n"
        "assert 'litellm' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_first_use_is_quiet():
    """The first call loads litellm before its time limit begins, and writes nothing anywhere."""
    code = (
        "import asyncio, sys\n"
        "limit, loaded = asyncio.timeout, []\n"
        "def noting(seconds):\n"
        "    loaded.append('litellm' in sys.modules)\n"
        "    return limit(seconds)\n"
        "asyncio.timeout = noting\n"
        "from opik_eval.models.base import ModelRequest\n"
        "from opik_eval.models.litellm_transport import LiteLLMTransport\n"
        "from opik_eval.testing.fake_server import FakeServer\n"
        "with FakeServer() as server:\n"
        "    transport = LiteLLMTransport('openai/m', api_base=server.base_url, api_key='k')\n"
        "    request = ModelRequest(model='openai/m', messages=[], timeout_seconds=60)\n"
        "    assert asyncio.run(transport.send(request)).text == 'ok'\n"
        "assert loaded and all(loaded), loaded\n"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, check=True, timeout=90, capture_output=True, text=True)
    assert done.stdout + done.stderr == ""


def test_time_limit_of_the_server_is_a_timeout(server):
    """A 408 is a time-out like any other."""
    server.script(failure(408, "too slow"))
    with pytest.raises(errors.ModelTimeoutError):
        send(server)


def test_unsupported_parameter_is_named(server):
    """A parameter that the model does not take is an error with its name; nothing is sent."""
    with pytest.raises(errors.InvalidRequestError, match="logprobs") as caught:
        send(server, "openai/gpt-5", logprobs=True)
    assert "nothing was sent" in str(caught.value)
    assert "drop_params" not in str(caught.value)
    assert server.requests == []


def test_nothing_is_dropped_even_if_litellm_is_told_to(server, monkeypatch):
    """Where the process tells litellm to drop parameters, they are still refused by name."""
    monkeypatch.setattr(_litellm(), "drop_params", True)
    with pytest.raises(errors.InvalidRequestError, match="logprobs"):
        send(server, "openai/gpt-5", logprobs=True)
    assert send(server, "openai/gpt-4o", temperature=0).text == "ok"


def test_unknown_provider_is_told(server):
    """A name without a known provider says how a name is written."""
    with pytest.raises(errors.InvalidRequestError, match="PROVIDER/MODEL"):
        send(server, "nosuch/model")
    assert LiteLLMTransport("nosuch/model").supports("seed") is False


def test_failure_in_another_guise(server):
    """A status that litellm has no exception for keeps its meaning."""
    server.script(failure(418, "teapot"))
    with pytest.raises(errors.InvalidRequestError, match="teapot") as caught:
        send(server)
    assert caught.value.status == 418


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("azure/gpt-4o", {"api_version": "2026-01-01"}),
        ("bedrock/anthropic.claude-3-haiku-20240307-v1:0", {"aws_region_name": "eu-west-1"}),
    ],
)
def test_settings_of_providers_reach_them(name, settings, monkeypatch):
    """What ``get_model`` is told about a provider arrives at litellm, as it was given."""
    litellm, seen = _litellm(), {}

    async def acompletion(**given):
        seen.update(given)
        message = {"role": "assistant", "content": "ok"}
        return litellm.ModelResponse(choices=[{"message": message, "finish_reason": "stop"}])

    monkeypatch.setattr(litellm, "acompletion", acompletion)
    assert get_model(name, api_key="k", **settings).generate_sync("hello").text == "ok"
    assert settings.items() <= seen.items()


def test_cost_is_there_for_known_models(server):
    """The cost of a known model follows from its usage."""
    counts = {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}
    server.script(FakeReply(usage=counts))
    assert send(server).cost_usd == pytest.approx(0.0035)


def test_refusal_is_text(server):
    """A refusal, which litellm keeps elsewhere, is the reply's text."""
    message = b'{"role":"assistant","content":null,"refusal":"I will not."}'
    body = b'{"id":"1","object":"chat.completion","created":0,"model":"m","choices":[%b]}'
    server.script(
        FakeReply(body=body % (b'{"index":0,"message":%b,"finish_reason":"stop"}' % message))
    )
    assert send(server).text == "I will not."


def test_stream_ends_with_the_whole_reply(server):
    """After the last piece the stream holds the reply with usage, tool calls and cost."""

    async def main(stream):
        return [piece async for piece in stream]

    transport = LiteLLMTransport("openai/gpt-4o", api_base=server.base_url, api_key="sk-test")
    stream = transport.stream(ModelRequest(model="openai/gpt-4o", messages=MESSAGES))
    server.script("one two")
    assert "".join(asyncio.run(main(stream))) == "one two"
    assert stream.completion.usage.completion_tokens == 2
    assert stream.completion.cost_usd > 0
    server.script(tool_call("search", '{"q": "a b"}'))
    stream = transport.stream(ModelRequest(model="openai/gpt-4o", messages=MESSAGES))
    assert asyncio.run(main(stream)) == []
    assert stream.completion.tool_calls[0].arguments == '{"q": "a b"}'


@pytest.mark.parametrize(
    ("model", "feature", "expected"),
    [
        ("gemini/gemini-2.5-pro", "json_schema", True),
        ("anthropic/claude-sonnet-4-5", "seed", False),
        ("mistral/mistral-small", "seed", True),
        ("together_ai/unheard-of", "json_schema", False),
    ],
)
def test_features(model, feature, expected):
    """Features come from the price file, else from what litellm can hand on."""
    assert LiteLLMTransport(model).supports(feature) is expected


def test_accounts(monkeypatch):
    """The account is the provider, or the host of its server, with a fingerprint of the key."""
    monkeypatch.delenv("ANTHROPIC_API_KEY", raising=False)
    assert LiteLLMTransport("anthropic/claude-sonnet-4-5").account == "anthropic"
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant")
    account = LiteLLMTransport("anthropic/claude-sonnet-4-5").account
    assert account.startswith("anthropic#")
    assert account == LiteLLMTransport("claude-sonnet-4-5").account
    assert LiteLLMTransport("azure/m", api_base="https://x.example/y").account == "x.example"
