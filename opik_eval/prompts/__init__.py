"""Templates and chat messages: placeholders, rendering, content parts.

Names are resolved on first use, so that importing this package loads none of its modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from opik_eval.lazy import lazily

if TYPE_CHECKING:
    from opik_eval.prompts.messages import (
        audio_part,
        file_part,
        image_part,
        message_placeholders,
        render_messages,
        text_part,
        to_text,
        validate_messages,
        video_part,
    )
    from opik_eval.prompts.template import PromptType, placeholders, render

_HOME = {
    "PromptType": "template",
    "audio_part": "messages",
    "file_part": "messages",
    "image_part": "messages",
    "message_placeholders": "messages",
    "placeholders": "template",
    "render": "template",
    "render_messages": "messages",
    "text_part": "messages",
    "to_text": "messages",
    "validate_messages": "messages",
    "video_part": "messages",
}

__getattr__, __dir__ = lazily(__name__, _HOME)


__all__ = [
    "PromptType",
    "audio_part",
    "file_part",
    "image_part",
    "message_placeholders",
    "placeholders",
    "render",
    "render_messages",
    "text_part",
    "to_text",
    "validate_messages",
    "video_part",
]
