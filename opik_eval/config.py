"""Settings: frozen, read once, from one place.

Precedence, highest first: environment variables, the file ``~/.opik.config`` (or where
``OPIK_CONFIG_PATH`` points; INI, section ``[opik]``), defaults. The names are Opik's where Opik has
one, so that an existing set-up works unchanged. No other module reads the environment.
"""

from __future__ import annotations

import configparser
import dataclasses
import io
import os
import re
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from opik_eval.errors import ConfigError

T = TypeVar("T")

DEFAULT_PROJECT = "Default Project"
_SECTION = "opik"
_SECRETS = ("api_key", "s3_access_key", "s3_secret_key", "s3_session_token")
_SECRETS_OF_URL = re.compile(r"(?<=://)[^/@]*@|\?.*")


def _setting(variable: str, default: T) -> T:
    return field(default=default, metadata={"variable": variable})


@dataclass(frozen=True, kw_only=True, repr=False)
class Settings:
    """What the environment and the configuration file say.

    Its ``repr`` shows no secrets: not the key, and of URLs neither credentials nor query.

    Attributes:
        storage: Target of ``open_storage``: ``memory:``, ``file:PATH`` or a URL.
        url_override: Base URL of a tracing server, as Opik's SDK names it.
        api_key: Key for that server; never logged, never stored.
        workspace: Workspace on that server.
        project_name: Project that traces go to when nothing else names one.
        default_llm: Model that judges and prompts use when nothing else names one.
        track_disable: Switch tracing off.
        local_model_path: A GGUF file that takes the embedded model's place; reached by any name
            that begins with ``local/``, and listed as ``local/`` and the file's name without
            ``.gguf``.
        data_dir: Folder with optional benchmark data.
        environment: Name of the deployment, stored on traces.
        s3_bucket: Bucket for the bytes of attachments, ``NAME`` or ``NAME/PREFIX``; with the store
            if absent.
        s3_endpoint_url: Root of an S3-compatible service; AWS itself if absent.
        s3_region: Region of the bucket.
        s3_access_key: Id of the key for the bucket. Where keys are absent, the AWS libraries look
            for others, such as the role of the machine.
        s3_secret_key: The key; never logged, never stored.
        s3_session_token: Of temporary credentials; never logged, never stored.
        config_path: The configuration file, there or not.
    """

    storage: str | None = _setting("OPIK_EVAL_STORAGE", None)
    url_override: str | None = _setting("OPIK_URL_OVERRIDE", None)
    api_key: str | None = _setting("OPIK_API_KEY", None)
    workspace: str = _setting("OPIK_WORKSPACE", "default")
    project_name: str = _setting("OPIK_PROJECT_NAME", DEFAULT_PROJECT)
    default_llm: str | None = _setting("OPIK_DEFAULT_LLM", None)
    track_disable: bool = _setting("OPIK_TRACK_DISABLE", default=False)
    local_model_path: str | None = _setting("OPIK_EVAL_LOCAL_MODEL_PATH", None)
    data_dir: str | None = _setting("OPIK_EVAL_DATA_DIR", None)
    environment: str | None = _setting("OPIK_ENVIRONMENT", None)
    s3_bucket: str | None = _setting("OPIK_EVAL_S3_BUCKET", None)
    s3_endpoint_url: str | None = _setting("AWS_ENDPOINT_URL_S3", None)
    s3_region: str | None = _setting("AWS_REGION", None)
    s3_access_key: str | None = _setting("AWS_ACCESS_KEY_ID", None)
    s3_secret_key: str | None = _setting("AWS_SECRET_ACCESS_KEY", None)
    s3_session_token: str | None = _setting("AWS_SESSION_TOKEN", None)
    config_path: Path = Path("~/.opik.config")

    def __repr__(self) -> str:
        shown = [f"{setting.name}={self._shown(setting.name)}" for setting in _SETTINGS]
        return f"Settings({', '.join(shown)})"

    def _shown(self, name: str) -> str:
        value = getattr(self, name)
        if name in _SECRETS and value is not None:
            return "'…'"
        return repr(_SECRETS_OF_URL.sub("", value) if _is_url(value) else value)


_SETTINGS = dataclasses.fields(Settings)


def load_settings(environ: Mapping[str, str], *, home: Path | None = None) -> Settings:
    """Return the settings that an environment and its configuration file give.

    Args:
        environ: Environment variables; an empty one counts as absent.
        home: Folder that ``~`` stands for; the user's if absent.

    Raises:
        ConfigError: The file cannot be read, or a value has the wrong type.
    """
    path = _config_path(environ, home)
    from_file = _read_file(path)
    values: dict[str, object] = {"config_path": path}
    for setting in _SETTINGS:
        variable = str(setting.metadata.get("variable", ""))
        text, origin = environ.get(variable), variable
        if not text:
            text, origin = from_file.get(setting.name), f"{setting.name} in {path}"
        if text:
            is_flag = isinstance(setting.default, bool)
            values[setting.name] = _parse_flag(origin, text) if is_flag else text
    return Settings(**values)  # type: ignore[arg-type]  # every value has the type of its default


def save_settings(path: Path, values: Mapping[str, str]) -> None:
    """Write settings into a configuration file; what else it holds stays, comments apart.

    The file is replaced as a whole and only its owner may read it, since it holds a key.

    Args:
        path: The file; it and its folder are made if they are not there.
        values: Texts by name of the attribute of ``Settings``; an empty one removes the entry.

    Raises:
        ConfigError: The file is there and is no configuration file, or cannot be written.
    """
    parser = _parse_file(path)
    if not parser.has_section(_SECTION):
        parser.add_section(_SECTION)
    for name, value in values.items():
        if value:
            parser.set(_SECTION, name, value)
        else:
            parser.remove_option(_SECTION, name)
    text = io.StringIO()
    parser.write(text)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # A temporary file that mkstemp makes is the owner's alone from its first moment.
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text.getvalue())
        Path(name).replace(path)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error


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


def _is_url(value: object) -> bool:
    return isinstance(value, str) and "://" in value


def _config_path(environ: Mapping[str, str], home: Path | None) -> Path:
    path = Path(environ.get("OPIK_CONFIG_PATH") or Settings.config_path)
    if home is not None and path.parts[:1] == ("~",):
        return home.joinpath(*path.parts[1:])
    try:
        return path.expanduser()
    except RuntimeError:  # a user without home, as in some containers
        return path


def _read_file(path: Path) -> Mapping[str, str]:
    parser = _parse_file(path)
    return dict(parser[_SECTION]) if parser.has_section(_SECTION) else {}


def _parse_file(path: Path) -> configparser.ConfigParser:
    """Return what a file holds; nothing if it is not there."""
    parser = configparser.ConfigParser(interpolation=None)
    try:
        parser.read_string(path.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        return parser
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8", remedy="save it as UTF-8") from error
    except configparser.Error as error:
        # The parser's own text quotes the line, which may hold a key; so does the exception.
        raise ConfigError(
            f"{path} is not an INI file: {_problem(error)}",
            remedy="correct the file, or point OPIK_CONFIG_PATH at another one",
        ) from None
    return parser


def _problem(error: configparser.Error) -> str:
    if isinstance(error, configparser.MissingSectionHeaderError):
        return f"line {error.lineno} comes before any [section]"
    if isinstance(error, configparser.ParsingError):
        return f"line {error.errors[0][0]} has no '='"
    return error.message  # of doubled sections and options, which quotes names only


def _parse_flag(origin: str, text: str) -> bool:
    lowered = text.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("0", "false", "no", "off"):
        return False
    raise ConfigError(f"{origin}: {text!r} is neither true nor false", remedy="use true or false")
