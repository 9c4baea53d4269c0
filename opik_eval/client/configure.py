"""Which tracing server to use: checked, and written to the configuration file."""

from __future__ import annotations

import logging

from opik_eval.config import save_settings, settings
from opik_eval.errors import UnavailableError
from opik_eval.storage.http_check import ServerCheck, check_server
from opik_eval.storage.opening import parse_target

logger = logging.getLogger("opik_eval")

LOCAL_URL = "http://localhost:5173/api"
CLOUD_URL = "https://www.comet.com/opik/api"


def configure(
    api_key: str | None = None,
    workspace: str | None = None,
    url: str | None = None,
    use_local: bool = False,
    force: bool = False,
    automatic_approvals: bool | None = None,  # noqa: ARG001 - nothing is ever asked here
    url_override: str | None = None,
    project_name: str | None = None,
) -> None:
    """Choose a tracing server, check the connection, and write ``~/.opik.config``.

    No server is needed: without arguments, or with ``use_local`` where none answers on this
    machine, results stay in its files, and a log line says where. Nothing is asked. The
    environment (``OPIK_EVAL_STORAGE``, ``OPIK_URL_OVERRIDE``, ``OPIK_API_KEY`` ...) wins over the
    file.

    Args:
        api_key: Key for the server; without ``url`` and ``use_local`` for Comet's.
        workspace: Workspace on the server; what the settings say if absent.
        url: Base URL of the server.
        use_local: Use the server on this machine, ``http://localhost:5173``.
        force: Write the file even if the check fails.
        automatic_approvals: Accepted for Opik's sake.
        url_override: Another name of ``url``.
        project_name: Project for traces that name none.

    Raises:
        UnavailableError: Nothing answers at ``url``, or it does not let us in; with ``force`` the
            file is written all the same.
        StorageError: What answers is no tracing server.
        ConfigError: The file cannot be written.
    """
    target = url_override or url or (CLOUD_URL if api_key and not use_local else None)
    if target is None and not use_local:
        logger.info("no server is named: results are stored in %s", _place())
        return
    try:
        found = save_server(
            target or LOCAL_URL,
            workspace=workspace,
            api_key=api_key,
            project_name=project_name,
            force=force,
        )
    except UnavailableError:
        if target is not None or force:
            raise
        logger.warning("no server answers at %s: results are stored in %s", LOCAL_URL, _place())
    else:
        logger.info("results go to %s", found.url)


def save_server(
    url: str,
    *,
    workspace: str | None,
    api_key: str | None,
    project_name: str | None,
    force: bool,
) -> ServerCheck:
    """Check a server, write it to the configuration file, and return what was found.

    Args:
        url: Its base URL.
        workspace: Workspace; what the settings say if absent.
        api_key: Key; what the settings say if absent.
        project_name: Project for traces that name none.
        force: Write the file even if the check fails.

    Raises:
        UnavailableError: Nothing answers there, or it does not let us in.
        StorageError: What answers is no tracing server.
        ConfigError: The file cannot be written.
    """
    known = settings()
    workspace, api_key = workspace or known.workspace, api_key or known.api_key
    found = None
    try:
        found = check_server(url, workspace=workspace, api_key=api_key)
    finally:
        if found is not None or force:
            values = {
                "url_override": url if found is None else found.url,
                "workspace": workspace,
                **({"api_key": api_key} if api_key else {}),
                **({"project_name": project_name} if project_name else {}),
            }
            save_settings(known.config_path, values)
            settings.cache_clear()
    return found


def _place() -> str:
    kind, place = parse_target()
    # Other places may hold a password.
    return f"file:{place}" if kind == "file" else f"the store of the settings ({kind})"
