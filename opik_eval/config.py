"""Settings: frozen, read once, from one place.

Precedence, highest first: what ``configure`` was given, environment variables, the file
``~/.opik.config`` (or where ``OPIK_CONFIG_PATH`` points; INI, section ``[opik]``), defaults. The
names are Opik's where Opik has one, so that an existing set-up works unchanged. No other module
reads the environment.
"""

from __future__ import annotations

import configparser
import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

from opik_eval.errors import ConfigError

DEFAULT_PROJECT = "Default Project"
_SECTION = "opik"


def _setting(variable: str, default: object) -> object:
    return field(default=default, metadata={"variable": variable})  # type: ignore[call-overload]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """What the environment and the configuration file say.

    Attributes:
        storage: Target of ``open_storage``: ``memory:``, ``file:PATH`` or a URL. ``None`` = default.
        url_override: Base URL of a tracing server, as Opik's SDK names it.
        api_key: Key for that server; never logged, never stored.
        workspace: Workspace on that server.
        project_name: Project that traces go to when nothing else names one.
        default_llm: Model that judges and prompts use when nothing else names one.
        track_disable: Switch tracing off.
        local_model_path: A GGUF file that takes the embedded model's place.
        data_dir: Folder with optional benchmark data.
        environment: Name of the deployment, stored on traces.
        config_path: The configuration file.
    """

    storage: str | None = _setting("OPIK_EVAL_STORAGE", None)  # type: ignore[assignment]
    url_override: str | None = _setting("OPIK_URL_OVERRIDE", None)  # type: ignore[assignment]
    api_key: str | None = field(default=None, repr=False, metadata={"variable": "OPIK_API_KEY"})
    workspace: str = _setting("OPIK_WORKSPACE", "default")  # type: ignore[assignment]
    project_name: str = _setting("OPIK_PROJECT_NAME", DEFAULT_PROJECT)  # type: ignore[assignment]
    default_llm: str | None = _setting("OPIK_DEFAULT_LLM", None)  # type: ignore[assignment]
    track_disable: bool = _setting("OPIK_TRACK_DISABLE", default=False)  # type: ignore[assignment]
    local_model_path: str | None = _setting("OPIK_EVAL_LOCAL_MODEL_PATH", None)  # type: ignore[assignment]
    data_dir: str | None = _setting("OPIK_EVAL_DATA_DIR", None)  # type: ignore[assignment]
    environment: str | None = _setting("OPIK_ENVIRONMENT", None)  # type: ignore[assignment]
    config_path: Path = Path("~/.opik.config")


def load_settings(environ: Mapping[str, str], *, home: Path | None = None) -> Settings:
    """Return the settings that an environment and its configuration file give.

    Args:
        environ: Environment variables.
        home: Folder that ``~`` stands for; the user's if absent.

    Raises:
        ConfigError: The file cannot be parsed, or a value has the wrong type.
    """
    named = environ.get("OPIK_CONFIG_PATH")
    path = Path(named) if named else (home or Path.home()) / ".opik.config"
    from_file = _read_file(path)
    values: dict[str, object] = {"config_path": path}
    for setting in dataclasses.fields(Settings):
        variable = setting.metadata.get("variable")
        text = environ.get(str(variable)) or from_file.get(setting.name)
        if variable is None or not text:
            continue
        is_flag = isinstance(setting.default, bool)
        values[setting.name] = _parse_flag(str(variable), text) if is_flag else text
    return Settings(**values)  # type: ignore[arg-type]


@cache
def settings() -> Settings:
    """Return this process's settings; read on first use and then fixed."""
    return load_settings(os.environ)  # noqa: TID251 - the one place that reads the environment


def environment_value(variable: str) -> str | None:
    """Return an environment variable that belongs to somebody else, such as a provider's key."""
    return os.environ.get(variable) or None  # noqa: TID251 - see the top of this module


def set_default_environment(variable: str, value: str) -> None:
    """Set an environment variable for a library that reads it, unless the user has set it."""
    os.environ.setdefault(variable, value)  # noqa: TID251 - see the top of this module


def proxy_for(url: str) -> str | None:
    """Return the proxy through which the environment wants a URL to be reached, if any.

    ``HTTP_PROXY``, ``HTTPS_PROXY`` and ``NO_PROXY`` count, in either case, as in curl; this machine
    itself is always reached directly.
    """
    from urllib.request import getproxies, proxy_bypass  # 20 ms only HTTP needs

    parts = urlsplit(url)
    host = parts.hostname or ""
    if host in ("localhost", "::1") or host.startswith("127.") or proxy_bypass(host):
        return None
    return getproxies().get(parts.scheme)


def _read_file(path: Path) -> Mapping[str, str]:
    parser = configparser.ConfigParser(interpolation=None)
    try:
        text = path.expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    try:
        parser.read_string(text)
    except configparser.Error as error:
        raise ConfigError(
            f"{path} is not an INI file: {error.message}",
            remedy="correct the file, or point OPIK_CONFIG_PATH at another one",
        ) from error
    return dict(parser[_SECTION]) if parser.has_section(_SECTION) else {}


def _parse_flag(variable: str, text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ConfigError(f"{variable}={text!r} is neither true nor false", remedy="use true or false")
