"""What can be set about a server."""

from __future__ import annotations

from dataclasses import dataclass

MEBIBYTE = 1 << 20


@dataclass(frozen=True, kw_only=True)
class ServerSettings:
    """Limits and identity of a server.

    Attributes:
        api_version: What ``is-alive/ver`` answers; clients choose features by it.
        max_body_bytes: Largest JSON body, after decompression.
        max_attachment_bytes: Largest file.
        worker_threads: Threads that work on storage; requests beyond them wait.
        max_page_size: Largest ``size`` of a page and ``limit`` of a stream.
        key_events_per_minute: Records that one key may send in a minute; ``None`` = no limit.
        workspace_events_per_minute: Records that one workspace takes in a minute.
    """

    api_version: str = "2.2.122"
    max_body_bytes: int = 64 * MEBIBYTE
    max_attachment_bytes: int = 1024 * MEBIBYTE
    worker_threads: int = 16
    max_page_size: int = 2000
    key_events_per_minute: int | None = None
    workspace_events_per_minute: int | None = None
