"""The HTTP backend passes the storage contract against our own server, over a real connection."""

from __future__ import annotations

import threading
from contextlib import closing, contextmanager

import pytest

from opik_eval.server import running
from opik_eval.server.app import create_app
from opik_eval.storage.http import HttpStorage
from opik_eval.storage.http_connection import Connection
from opik_eval.storage.workspaces import open_workspaces
from opik_eval.testing.storage_contract import StorageContract


@contextmanager
def running_server(target):
    """Yield the URL of a server over a store, in a thread of this process."""
    with closing(open_workspaces(target)) as workspaces:
        listener = running.listen("127.0.0.1", 0)
        server = running.make_server(create_app(workspaces))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener.socket]})
        thread.start()
        try:
            yield listener.url
        finally:
            server.should_exit = True
            thread.join()
            listener.socket.close()


@pytest.mark.slow
class TestHttpStorageOnOurServer(StorageContract):
    """The whole battery, from the outbox to the server's store and back."""

    @pytest.fixture
    def storage(self, tmp_path):
        self.outbox = tmp_path / "outbox.db"
        self.opened = []
        with running_server("memory:") as url:
            self.url = f"{url}/api/"
            with closing(self.connect()) as storage:
                yield storage
            for opened in self.opened:
                opened.close()

    def connect(self):
        """Open a storage on the test's server and outbox."""
        return HttpStorage(Connection(self.url), self.outbox)

    def reopen(self, storage):
        storage.flush(10)
        self.opened.append(self.connect())
        return self.opened[-1]
