"""Blobs that no record of a file refers to any more."""

from __future__ import annotations

import time

from opik_eval.storage.attachments import BlobStore
from opik_eval.storage.sql_dialect import Database
from opik_eval.storage.sql_tables import STRUCTURED, TABLES

_GRACE_SECONDS = 3600.0
"""A blob is written before the record that refers to it: young ones may be waiting for theirs."""


def collect_garbage(
    database: Database, blobs: BlobStore, *, grace_seconds: float = _GRACE_SECONDS
) -> int:
    """Delete the blobs that no record refers to, unless they are young.

    Args:
        database: Where the records are.
        blobs: The blobs.
        grace_seconds: How long blobs without a record are left alone.

    Returns:
        How many were deleted.
    """
    old = list(blobs.older_than(time.time() - grace_seconds))  # noqa: TID251 - times of files
    if not old:
        return 0
    used = {str(digest) for (digest,) in database.rows("SELECT sha256 FROM attachments")}
    for table in TABLES:
        for column in sorted(STRUCTURED & set(table.kind.model_fields)):
            rows = database.rows(
                f"SELECT hex({column}) FROM {table.name} WHERE typeof({column}) = 'blob'"
            )
            used.update(digest.lower() for (digest,) in rows)
    before = time.time() - grace_seconds  # noqa: TID251
    return sum(blobs.discard(digest, unused_since=before) for digest in old if digest not in used)
