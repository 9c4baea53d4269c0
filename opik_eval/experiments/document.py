"""The file format of saved results: one JSON document, one line per row, versioned."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from opik_eval.errors import ConfigError, NotFoundError, SchemaVersionError
from opik_eval.ids import new_id
from opik_eval.serialization import dumps, loads

SCHEMA = "opik_eval.evaluation_result"
SCHEMA_VERSION = 1


def write_document(
    path: Path, header: Mapping[str, object], rows: Iterable[Mapping[str, object]]
) -> None:
    """Write a document; a reader sees the old file or the new one, never a part.

    Args:
        path: The file; its folder must exist.
        header: Fields of the document itself.
        rows: Goes under ``test_results``, streamed.
    """
    partial = path.with_name(f".{path.name}.{new_id()}")
    fields = {"schema": SCHEMA, "schema_version": SCHEMA_VERSION, **header}
    try:
        with partial.open("wb") as file:
            file.write(dumps(fields, sort_keys=False)[:-1] + b',\n"test_results":[')
            for number, row in enumerate(rows):
                file.write((b",\n" if number else b"\n") + dumps(row, sort_keys=False))
            file.write(b"\n]}\n")
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def read_document(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return header and rows of a document.

    Raises:
        NotFoundError: There is no such file.
        ConfigError: The file is something else.
        SchemaVersionError: It was written by a newer version of this package.
    """
    try:
        found = loads(path.read_bytes())
    except FileNotFoundError as error:
        raise NotFoundError(f"there is no file {path}") from error
    except ValueError as error:
        raise ConfigError(f"{path} is not a saved evaluation result: {error}") from error
    if not isinstance(found, dict) or found.get("schema") != SCHEMA:
        raise ConfigError(
            f"{path} is not a saved evaluation result",
            remedy="load a file that EvaluationResult.save() wrote",
        )
    version = found.pop("schema_version", None)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise SchemaVersionError(
            f"{path} has schema version {version}; this version of opik_eval reads up to "
            f"{SCHEMA_VERSION}",
            remedy="upgrade opik-eval",
        )
    del found["schema"]
    return found, found.pop("test_results")
