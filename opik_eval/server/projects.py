"""Projects by name and by id, as requests name them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from opik_eval.config import DEFAULT_PROJECT
from opik_eval.records import Project
from opik_eval.server.context import RequestContext
from opik_eval.server.failures import bad_request, not_found
from opik_eval.server.payloads import Payload, text
from opik_eval.storage.merge import implied_project, project_key

REMOVED = "removed_project"
"""Kind of the documents that mark deleted projects; traces that name them bring them back."""


class Projects:
    """Looks projects up, once each, for the length of a request.

    Args:
        context: The request.
    """

    def __init__(self, context: RequestContext) -> None:
        self._context = context
        self._ids: dict[str, str] = {}

    def id_of(self, name: str | None) -> str:
        """Return the id of a project, which for one that nobody has written to is its future id."""
        key = project_key(name)
        if key not in self._ids:
            self._ids[key] = self._project(name or DEFAULT_PROJECT).id
        return self._ids[key]

    def find(self, name: str) -> Project | None:
        """Return the project of a name; the default project always exists."""
        if project_key(name) == project_key(None):
            return self._project(name)
        found = self._context.storage.find_project(name)
        return None if found is None or self._is_removed(found) else found

    def get(self, project_id: str) -> Project:
        """Return the project of an id.

        Raises:
            RefusedError: There is none (404).
        """
        for project in self.list():
            if project.id == project_id:
                return project
        raise not_found("Project", project_id)

    def list(self) -> Iterator[Project]:
        """Yield all projects, the default project among them."""
        has_default = False
        for project in self._context.storage.list_projects():
            has_default = has_default or project_key(project.name) == project_key(None)
            if not self._is_removed(project):
                yield project
        if not has_default:
            yield self._project(DEFAULT_PROJECT)

    def name_from(self, payload: Payload) -> str | None:
        """Return the name of the project that a payload names, by id or by name; ``None`` for none.

        Raises:
            RefusedError: There is no project of that id (404).
        """
        project_id = text(payload, "project_id")
        return self.get(project_id).name if project_id else text(payload, "project_name")

    def implied_by(self, name: str | None) -> Sequence[Project]:
        """Return what must be written along with a record that names a project."""
        if name is None or self._context.storage.find_project(name) is not None:
            return ()
        return (implied_project(name).record(),)

    def wanted(self, payload: Payload) -> str:
        """Return the name of the existing project that a query is about.

        Raises:
            RefusedError: It names none (400), or one that is not there (404).
        """
        name = self.name_from(payload)
        if not name:
            raise bad_request("either project_name or project_id must be given")
        if self.find(name) is None:
            raise not_found("Project", name)
        return name

    def _project(self, name: str) -> Project:
        return self._context.storage.find_project(name) or implied_project(name).record()

    def _is_removed(self, project: Project) -> bool:
        if self._context.documents.find_document(REMOVED, project.id) is None:
            return False
        traces = self._context.storage.list_traces(project_name=project.name, limit=1)
        return next(iter(traces), None) is None
