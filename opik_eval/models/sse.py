"""Server-sent events: the data of each event out of a stream of bytes."""

from __future__ import annotations

import re

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
_LINE_END = re.compile(rb"\r\n|\n|\r")


class SseParser:
    r"""Cuts a stream into events, however the network has cut it into pieces.

    Source: https://html.spec.whatwg.org/multipage/server-sent-events.html

    Example:
        >>> parser = SseParser()
        >>> parser.feed(b"data: 1\n\nda"), parser.feed(b"ta: 2\n\n")
        ([b'1'], [b'2'])
    """

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the data of the events that a piece completes, except empty data."""
        buffer = self._rest + piece
        # A final CR may be the first half of a CRLF, which must not be taken for a line end yet.
        held = len(buffer) - 1 if buffer.endswith(b"\r") else len(buffer)
        events = _BLANK_LINE.split(buffer[:held])
        self._rest = events.pop() + buffer[held:]
        return [data for event in events if (data := _data(event))]

    def finish(self) -> list[bytes]:
        """Return the data of a last event that no blank line has ended."""
        data, self._rest = _data(self._rest), b""
        return [data] if data else []


def _data(event: bytes) -> bytes:
    lines = (line for line in _LINE_END.split(event) if line.startswith(b"data:"))
    return b"\n".join(line[5:].removeprefix(b" ") for line in lines)
