"""Models for judges: replies as scripted, or by a function of the prompt."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from judge_models import JSON, text_of

from opik_eval.models.base import ModelRequest
from opik_eval.models.client import ChatModel
from opik_eval.models.fake import FunctionTransport, ScriptedTransport


@pytest.fixture
def scripted() -> Callable[..., ChatModel]:
    """Make a model that gives replies one after the other."""

    def make(*replies: object) -> ChatModel:
        return ChatModel(name="fake/script", transport=ScriptedTransport(replies, features=JSON))

    return make


@pytest.fixture
def answering() -> Callable[..., ChatModel]:
    """Make a model that answers by a function of the whole prompt as text."""

    def make(function: Callable[[str], object]) -> ChatModel:
        def reply(request: ModelRequest) -> object:
            return function(text_of(request))

        return ChatModel(name="fake/function", transport=FunctionTransport(reply, features=JSON))

    return make
