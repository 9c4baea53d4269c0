"""The bytes of attachments in a bucket of an S3-compatible service.

Under the prefix of a workspace ``ATTACHMENT_ID/SHA256`` is the file of a record. Uploads of clients
lie under ``incoming/`` until the hash of their bytes is known, which a record must say. What a
crash leaves behind is there too, or belongs to no record; it does no harm.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any
from urllib.parse import quote

from typing_extensions import override

from opik_eval.config import Settings
from opik_eval.errors import (
    ConfigError,
    ConflictError,
    NotFoundError,
    StorageError,
    UnavailableError,
)
from opik_eval.ids import new_id
from opik_eval.records import Attachment
from opik_eval.storage.attachment_files import (
    AttachmentFiles,
    DirectUploads,
    FilesElsewhere,
    ReceivedUpload,
    StartedUpload,
    check_content,
)
from opik_eval.storage.attachments import chunks_of, os_failure

_UPLOAD_SECONDS = 24 * 3600
_LINK_SECONDS = 3600
_PLAIN = "application/octet-stream"
_MISSING = ("404", "NoSuchKey")
_WRONG_PARTS = ("EntityTooSmall", "InvalidPart", "InvalidPartOrder", "MalformedXML")


@dataclass(frozen=True, kw_only=True)
class Bucket:
    """A bucket and the way to it. What is ``None`` the AWS libraries look for where they always do.

    Attributes:
        name: Name of the bucket.
        prefix: What all keys begin with: ``""``, or a text that ends in ``/``.
        endpoint_url: Root of the service; AWS itself if absent.
        region: Region of the bucket.
        access_key: Id of the key.
        secret_key: The key; never logged.
        session_token: Of temporary credentials; never logged.
    """

    name: str
    prefix: str = ""
    endpoint_url: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)

    @cached_property
    def client(self) -> Any:  # botocore makes its methods at run time
        """Calls the service; may be used from many threads.

        Raises:
            ConfigError: The library is not installed, or the settings cannot be used.
        """
        try:
            from botocore.config import Config
            from botocore.exceptions import BotoCoreError
            from botocore.session import get_session
        except ImportError as error:
            raise ConfigError(
                f"OPIK_EVAL_S3_BUCKET is set, but the client of S3 is not installed: {error}",
                remedy='install it with: pip install "opik-eval[s3]"',
            ) from error
        config = Config(
            signature_version="s3v4",
            # Services other than AWS seldom have a host name for each bucket, or new checksums.
            s3={"addressing_style": "path" if self.endpoint_url else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"mode": "standard", "max_attempts": 3},
            connect_timeout=10,
            read_timeout=60,
            max_pool_connections=32,
        )
        try:
            return get_session().create_client(
                "s3",
                config=config,
                endpoint_url=self.endpoint_url,
                region_name=self.region,
                aws_access_key_id=self.access_key,
                aws_secret_access_key=self.secret_key,
                aws_session_token=self.session_token,
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError(
                f"the settings of the bucket {self.name!r} cannot be used: {error}",
                remedy="check OPIK_EVAL_S3_BUCKET, AWS_ENDPOINT_URL_S3, AWS_REGION and the keys",
            ) from error


class S3Files(AttachmentFiles, DirectUploads):
    """The files of one workspace in a bucket.

    Args:
        bucket: The bucket.
        workspace: Name of the workspace, which all keys begin with after the bucket's prefix.
        before: Where files were kept before there was a bucket; still read.
    """

    def __init__(self, bucket: Bucket, workspace: str, before: AttachmentFiles) -> None:
        self._bucket = bucket
        self._files = f"{bucket.prefix}{workspace}/"
        self._incoming = f"{bucket.prefix}incoming/{workspace}/"
        self._before = before

    @property
    @override
    def uploads(self) -> DirectUploads:
        return self

    @override
    def put(self, attachment: Attachment, content: bytes | Path) -> None:
        try:
            digest, size = hashlib.sha256(), 0
            for chunk in chunks_of(content) if isinstance(content, Path) else (content,):
                digest.update(chunk)
                size += len(chunk)
            check_content(attachment, digest.hexdigest(), size)
            key = self._key_of(attachment)
            if isinstance(content, bytes):
                self._call("put_object", key, Body=content)
                return
            with content.open("rb") as file:
                self._call("put_object", key, Body=file)
        except OSError as error:
            raise os_failure(error, Path(str(content))) from error

    @override
    def read(self, attachment: Attachment) -> bytes:
        with self._explained():
            try:
                reply = self._call("get_object", self._key_of(attachment))
            except NotFoundError:
                return self._before.read(attachment)
            content: bytes = reply["Body"].read()
        if hashlib.sha256(content).hexdigest() != attachment.sha256:
            raise StorageError(
                f"{self._place(self._key_of(attachment))} is damaged: its content does not have "
                "the hash in its name",
                remedy="restore it from a backup, or store the file again",
            )
        return content

    @override
    def discard(self, attachments: Sequence[Attachment]) -> None:
        for attachment in attachments:
            self._call("delete_object", self._key_of(attachment))

    @override
    def start(self, part_count: int) -> StartedUpload:
        token = new_id()
        key = self._incoming + token
        upload_id: str = self._call("create_multipart_upload", key)["UploadId"]
        urls = [
            self._signed("upload_part", key, _UPLOAD_SECONDS, UploadId=upload_id, PartNumber=number)
            for number in range(1, part_count + 1)
        ]
        return StartedUpload(f"{token}:{upload_id}", urls)

    @contextmanager
    @override
    def received(self, upload_id: str, parts: Mapping[int, str]) -> Iterator[ReceivedUpload]:
        token, _, theirs = upload_id.partition(":")
        key = self._incoming + quote(token, safe="")
        listed = [{"PartNumber": n, "ETag": tag} for n, tag in sorted(parts.items())]
        try:
            self._call(
                "complete_multipart_upload", key, UploadId=theirs, MultipartUpload={"Parts": listed}
            )
        except NotFoundError:
            self._call("head_object", key)  # put together by a request that failed afterwards
        digest, size = hashlib.sha256(), 0
        with self._explained():
            for chunk in self._call("get_object", key)["Body"].iter_chunks(1 << 20):
                digest.update(chunk)
                size += len(chunk)
        yield ReceivedUpload(digest.hexdigest(), size, key)
        with suppress(UnavailableError):  # what stays under incoming/ does no harm
            self._call("delete_object", key)

    @override
    def keep(self, upload: ReceivedUpload, attachment: Attachment) -> None:
        check_content(attachment, upload.sha256, upload.size_bytes)
        source = {"Bucket": self._bucket.name, "Key": upload.key}
        self._call("copy_object", self._key_of(attachment), CopySource=source)

    @override
    def link(self, attachment: Attachment) -> str | None:
        key = self._key_of(attachment)
        try:
            self._call("head_object", key)
        except NotFoundError:
            return None
        return self._signed(
            "get_object",
            key,
            _LINK_SECONDS,
            # Something to save, never to show: a browser must not run what somebody attached.
            ResponseContentDisposition="attachment",
            ResponseContentType=_PLAIN,
        )

    def _key_of(self, attachment: Attachment) -> str:
        return f"{self._files}{quote(attachment.id, safe='')}/{attachment.sha256}"

    def _place(self, key: str) -> str:
        return f"s3://{self._bucket.name}/{key}"

    def _call(self, operation: str, key: str, **parameters: object) -> Mapping[str, Any]:
        """Call the service about a key."""
        from botocore.exceptions import ClientError

        with self._explained():
            call = getattr(self._bucket.client, operation)
            try:
                reply: Mapping[str, Any] = call(Bucket=self._bucket.name, Key=key, **parameters)
            except ClientError as error:
                raise self._failure(error.response.get("Error", {}), key) from error
        return reply

    def _signed(self, operation: str, key: str, seconds: int, **parameters: object) -> str:
        with self._explained():
            url: str = self._bucket.client.generate_presigned_url(
                operation,
                Params={"Bucket": self._bucket.name, "Key": key, **parameters},
                ExpiresIn=seconds,
            )
        return url

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the library raises in the block into an error of ours."""
        from botocore.exceptions import BotoCoreError, NoCredentialsError, PartialCredentialsError

        try:
            yield
        except (NoCredentialsError, PartialCredentialsError) as error:
            raise UnavailableError(
                f"there is no key for the bucket {self._bucket.name!r}",
                remedy="set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
            ) from error
        except BotoCoreError as error:
            raise UnavailableError(
                f"the bucket {self._bucket.name!r} cannot be used: {error}",
                remedy="check AWS_ENDPOINT_URL_S3 and that the service runs",
            ) from error

    def _failure(self, said: Mapping[str, str], key: str) -> StorageError:
        """Return our error for what the service said."""
        code, place = said.get("Code", ""), self._place(key)
        if code in _MISSING:
            return NotFoundError(f"there is no {place}")
        if code == "NoSuchUpload":
            return NotFoundError(
                f"there is no such upload to {place}, or it is complete already",
                remedy="start the upload anew",
            )
        if code in _WRONG_PARTS:
            return ConflictError(
                f"the parts of {place} are not those that were sent: {said.get('Message') or code}",
                remedy="name every part with its ETag; all but the last have at least 5 MiB",
            )
        return UnavailableError(
            f"{place} cannot be used: {code} {said.get('Message', '')}".rstrip(),
            remedy="check that the bucket exists and that the key may read, write and delete there",
        )


def files_in_bucket(known: Settings, workspace: str) -> FilesElsewhere:
    """Return what makes the files of a workspace in the bucket that settings name.

    Raises:
        ConfigError: The client of S3 is not installed, or the settings cannot be used.
    """
    bucket = _bucket_of(known)
    _ = bucket.client  # so that what is wrong shows now, not with the first file
    return lambda before: S3Files(bucket, workspace, before)


@cache
def _bucket_of(known: Settings) -> Bucket:
    """Return the bucket that settings name, the same for all workspaces and stores."""
    name, _, prefix = (known.s3_bucket or "").strip("/").partition("/")
    return Bucket(
        name=name,
        prefix=f"{prefix}/" if prefix else "",
        endpoint_url=known.s3_endpoint_url,
        region=known.s3_region,
        access_key=known.s3_access_key,
        secret_key=known.s3_secret_key,
        session_token=known.s3_session_token,
    )
