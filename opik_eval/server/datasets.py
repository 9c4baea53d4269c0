"""Datasets and their versions, as requests name them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from opik_eval.ids import new_id
from opik_eval.records import Dataset, DatasetVersion, Document, utc_now
from opik_eval.server.context import RequestContext
from opik_eval.server.failures import not_found
from opik_eval.server.payloads import Payload, required_text, text
from opik_eval.server.projects import Projects
from opik_eval.storage.wire import dataset_version_to_wire

SETTINGS = "dataset_version_settings"
"""Kind of the documents with what versions carry beside items; named by their dataset."""
_SETTINGS = ("evaluators", "execution_policy")
LATEST = "latest"


def dataset_by_id(context: RequestContext, dataset_id: str) -> Dataset:
    """Return the dataset of an id.

    Raises:
        RefusedError: There is none (404).
    """
    found = context.pages.find_by_id(Dataset, dataset_id)
    if found is None:
        raise not_found("Dataset", dataset_id)
    return found


def dataset_named(
    context: RequestContext, payload: Payload, field: str = "dataset_name"
) -> Dataset:
    """Return the dataset whose name, or id, a payload holds.

    Raises:
        RefusedError: It holds none (422), or there is no such dataset (404).
    """
    dataset_id = text(payload, "dataset_id")
    if dataset_id is not None:
        return dataset_by_id(context, dataset_id)
    name = required_text(payload, field)
    found = context.storage.find_dataset(name)
    if found is None:
        raise not_found("Dataset", name)
    return found


def dataset_or_new(context: RequestContext, payload: Payload) -> Dataset:
    """Return the dataset that a payload names, made if it is not there yet.

    Raises:
        RefusedError: The payload names none (422), or by an id that is unknown (404).
    """
    if text(payload, "dataset_id") is not None:
        return dataset_named(context, payload)
    name = required_text(payload, "dataset_name")
    with context.lock:
        found = context.storage.find_dataset(name)
        if found is None:
            project = text(payload, "project_name")
            found = Dataset(id=new_id(), name=name, project_name=project, created_at=utc_now())
            context.storage.write([*Projects(context).implied_by(project), found])
    return found


def version_hash(version_id: str) -> str:
    """Return the short name of a version that clients ask by.

    Example:
        >>> version_hash("01a201cc-e074-7c80-98f7-e15ed4ebec8b")
        '98f7e15ed4ebec8b'
    """
    return version_id.replace("-", "")[-16:]


@dataclass(frozen=True)
class Versions:
    """The versions of a dataset with their settings, for the length of a request."""

    context: RequestContext
    dataset_id: str

    @cached_property
    def stored(self) -> Sequence[DatasetVersion]:
        """The versions, oldest first.

        A dataset that has settings but never had an item shows them as a version without items.
        """
        versions = list(self.context.storage.list_dataset_versions(self.dataset_id))
        if versions or not self._settings:
            return versions
        first = self._settings[0]
        return [
            DatasetVersion(
                id=first.id,
                dataset_id=self.dataset_id,
                number=0,
                name="v0",
                items_total=0,
                created_at=first.created_at,
                change_description=_text_or_none(first.body.get("change_description")),
            )
        ]

    @property
    def latest(self) -> DatasetVersion | None:
        """The newest version."""
        return self.stored[-1] if self.stored else None

    def find(self, name: str | None) -> DatasetVersion | None:
        """Return the version of a hash, id, name or tag; the latest one for ``None``.

        Raises:
            RefusedError: There is none of that name (404).
        """
        if name in (None, "", LATEST):
            return self.latest
        for version in reversed(self.stored):
            if name in (version_hash(version.id), version.id, version.name):
                return version
        for version in reversed(self.stored):
            if name in self.tags(version):
                return version
        raise not_found("Dataset version", str(name))

    def number(self, name: str | None) -> int | None:
        """Return the number of a version for the storage; ``None`` for the latest."""
        found = self.find(name)
        return None if found is None or found == self.latest else found.number

    def view(self, version: DatasetVersion) -> dict[str, object]:
        """Return a version as clients see it."""
        is_latest = version == self.latest
        return {
            **dataset_version_to_wire(version),
            "version_hash": version_hash(version.id),
            "is_latest": is_latest,
            "tags": [*([LATEST] if is_latest else []), *self.tags(version)],
            **self.settings(version),
        }

    def summary(self, version: DatasetVersion) -> dict[str, object]:
        """Return what datasets and experiments say of a version."""
        names = ("id", "version_hash", "version_name", "change_description", "tags")
        view = self.view(version)
        return {name: view[name] for name in names if name in view}

    def settings(self, version: DatasetVersion) -> dict[str, object]:
        """Return evaluators and policy of a version; it has those of the one before by default."""
        found: dict[str, object] = {}
        for document in self._settings:
            if _number(document) <= version.number:
                found |= {k: document.body[k] for k in _SETTINGS if k in document.body}
        return found

    def change_settings(self, version: DatasetVersion | None, changes: Payload) -> None:
        """Note evaluators, policy, description or tags of a version."""
        named = {name: value for name, value in changes.items() if value is not None}
        if not named:
            return
        number = 0 if version is None else version.number
        known = next((d for d in self._settings if _number(d) == number), None)
        body = {**(known.body if known else {}), **named, "number": number}
        document = Document(
            id=known.id if known else new_id(),
            kind=SETTINGS,
            name=self.dataset_id,
            body=body,
            created_at=known.created_at if known else utc_now(),
            last_updated_at=utc_now(),
        )
        self.context.documents.put_documents([document])

    def tags(self, version: DatasetVersion) -> list[str]:
        """Return the tags that users gave a version."""
        for document in self._settings:
            if _number(document) == version.number:
                tags = document.body.get("tags")
                return [str(tag) for tag in tags] if isinstance(tags, list) else []
        return []

    @cached_property
    def _settings(self) -> Sequence[Document]:
        documents = self.context.documents.list_documents(SETTINGS, name=self.dataset_id)
        return sorted(documents, key=_number)


def _number(document: Document) -> int:
    number = document.body.get("number")
    return number if isinstance(number, int) else 0


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None
