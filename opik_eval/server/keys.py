"""API keys: made, listed, revoked and checked. What is stored cannot be turned back into a key.

A key is ``oek_PREFIX_SECRET``. The prefix is public: it names the key in lists and in the audit
trail. The secret is 256 random bits, so a salted SHA-256 of it is as good as a slow hash would be:
slow hashes protect what people choose, and there is nothing to guess here.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime

from opik_eval.errors import ConfigError, NotFoundError
from opik_eval.records import Document, utc_now
from opik_eval.server.roles import ROLES, Role
from opik_eval.storage.base import DocumentStore

_KIND = "api_key"
_BRAND = "oek"
_PREFIX_BYTES = 5
_SECRET_BYTES = 32
_SALT_BYTES = 16


@dataclass(frozen=True, kw_only=True)
class ApiKey:
    """What is known of a key; the key itself is not.

    Attributes:
        prefix: What it is called by, without being a secret.
        name: Who or what it was made for.
        workspace: The one workspace that it opens.
        role: What its holder may do there.
        created_at: When it was made.
        revoked_at: When it stopped working; ``None`` = it works.
    """

    prefix: str
    name: str
    workspace: str
    role: Role
    created_at: datetime | None
    revoked_at: str | None


class Keys:
    """The keys of a server.

    Args:
        control: Where they are kept.

    Example:
        >>> from opik_eval.storage.workspaces import open_workspaces
        >>> keys = Keys(open_workspaces("memory:").control)
        >>> text, key = keys.create("ci", workspace="default", role="editor")
        >>> keys.check(text) == key, keys.check(text + "x")
        (True, None)
        >>> _ = keys.revoke(key.prefix)
        >>> keys.check(text) is None
        True
    """

    def __init__(self, control: DocumentStore) -> None:
        self._control = control

    def create(self, name: str, *, workspace: str, role: Role) -> tuple[str, ApiKey]:
        """Make a key.

        Args:
            name: Who or what it is for.
            workspace: The workspace that it opens.
            role: What its holder may do there.

        Returns:
            The key, which nobody can see again, and what is kept of it.

        Raises:
            ConfigError: The name is blank.
        """
        if not name.strip():
            raise ConfigError("a key needs a name", remedy="say who or what it is for")
        prefix, secret = secrets.token_hex(_PREFIX_BYTES), secrets.token_urlsafe(_SECRET_BYTES)
        salt = secrets.token_bytes(_SALT_BYTES)
        now = utc_now()
        body: dict[str, object] = {
            "workspace": workspace,
            "role": role,
            "salt": salt.hex(),
            "sha256": _digest(salt, secret),
        }
        document = Document(
            id=prefix, kind=_KIND, name=name, body=body, created_at=now, last_updated_at=now
        )
        self._control.put_documents([document])
        return f"{_BRAND}_{prefix}_{secret}", _key(document)

    def list(self) -> list[ApiKey]:
        """Return all keys, the revoked ones too, oldest first."""
        found = [_key(document) for document in self._control.list_documents(_KIND)]
        return sorted(found, key=lambda key: (str(key.created_at), key.prefix))

    def revoke(self, prefix: str) -> ApiKey:
        """Stop a key from working; one that is revoked already stays so.

        Raises:
            NotFoundError: There is no key of that prefix.
        """
        document = self._control.find_document(_KIND, prefix.removeprefix(f"{_BRAND}_"))
        if document is None:
            raise NotFoundError(
                f"there is no key {prefix!r}", remedy="list them with: opik-eval keys list"
            )
        if "revoked_at" not in document.body:
            now = utc_now()
            body = {**document.body, "revoked_at": now.isoformat(timespec="seconds")}
            document = document.model_copy(update={"body": body, "last_updated_at": now})
            self._control.put_documents([document])
        return _key(document)

    def check(self, text: str) -> ApiKey | None:
        """Return the key of a text; ``None`` if it is wrong or revoked."""
        brand, _, rest = text.partition("_")
        prefix, _, secret = rest.partition("_")
        document = self._control.find_document(_KIND, prefix) if brand == _BRAND else None
        if document is None or "revoked_at" in document.body:
            return None
        salt = bytes.fromhex(str(document.body["salt"]))
        is_right = hmac.compare_digest(_digest(salt, secret), str(document.body["sha256"]))
        return _key(document) if is_right else None


def _digest(salt: bytes, secret: str) -> str:
    return hashlib.sha256(salt + secret.encode("utf-8", "surrogatepass")).hexdigest()


def _key(document: Document) -> ApiKey:
    revoked_at, role = document.body.get("revoked_at"), document.body["role"]
    return ApiKey(
        prefix=document.id,
        name=document.name or "",
        workspace=str(document.body["workspace"]),
        role=role if role in ROLES else "viewer",
        created_at=document.created_at,
        revoked_at=None if revoked_at is None else str(revoked_at),
    )
