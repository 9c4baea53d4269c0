"""The HTTP backend passes the storage contract against a server that stores in memory."""

from __future__ import annotations

from contextlib import closing

import pytest
from storage_fake_server import NativeServer, ServerTransport

from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection
from opik_eval.testing.storage_contract import StorageContract


class TestHttpStorage(StorageContract):
    """The whole battery, through JSON both ways."""

    @pytest.fixture
    def storage(self, tmp_path):
        self.server = NativeServer()
        self.outbox = tmp_path / "outbox.db"
        with closing(self.connect()) as storage:
            yield storage

    def connect(self):
        """Open a storage on the test's server and outbox."""
        connection = Connection("http://test/api", transport=ServerTransport(self.server))
        return HttpStorage(connection, self.outbox)

    def reopen(self, storage):
        storage.flush(10)
        return self.connect()
