"""What the embedded model's child process runs: one inference server on loopback.

The parent (``local_process.py``) starts this file as a script, by path and in Python's isolated
mode, so that the child imports the standard library and the inference library and nothing of ours.
They talk in one JSON line each way: the parent writes an order to the child's standard input, the
child answers on its standard output with the address it listens on, or with what went wrong.
Standard input then stays open and silent; its end means that the parent is gone.
"""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
from typing import BinaryIO, Protocol, TypedDict, cast
from urllib.parse import urlsplit

_PR_SET_PDEATHSIG = 1


class Order(TypedDict):
    """What the parent asks for.

    Attributes:
        library_path: Folder that holds the inference library.
        weights: The GGUF file.
        api_key: Key that requests must carry.
        slots: Requests served at the same time.
        threads: Threads that compute.
        context_tokens: Prompt and reply tokens of one request.
        cache_mib: Memory for prompt prefixes that no slot holds any more.
    """

    library_path: str
    weights: str
    api_key: str
    slots: int
    threads: int
    context_tokens: int
    cache_mib: int


class Answer(TypedDict, total=False):
    """The child's answer: ``error``, or the other two.

    Attributes:
        address: Base URL of the server.
        takes_tools: Whether the model's chat template knows tools.
        error: Why there is no server.
    """

    address: str
    takes_tools: bool
    error: str


class Server(Protocol):
    """The part of the inference library's server that is used here."""

    @property
    def listening_address(self) -> str:
        """Base URL, such as ``http://127.0.0.1:41234``."""
        ...


def serve(lifeline: BinaryIO, answers: BinaryIO) -> int:
    """Serve from the order on ``lifeline`` until its end.

    Args:
        lifeline: Brings one line, the order, and ends with the parent.
        answers: Takes one line, the answer, and is closed.

    Returns:
        The process's exit status.
    """
    order = cast("Order", json.loads(lifeline.readline()))
    answer: Answer
    try:
        server = start_server(order)
        address = server.listening_address
        answer = {"address": address, "takes_tools": _takes_tools(address, order["api_key"])}
    except (ImportError, RuntimeError, ValueError, OSError) as error:
        answer = {"error": f"{type(error).__name__}: {error}"}
    with answers:
        answers.write(json.dumps(answer).encode() + b"\n")
    if "error" in answer:
        return 1
    while lifeline.read(1):
        pass
    return 0


def start_server(order: Order) -> Server:
    """Load the weights and listen on a free port of 127.0.0.1; blocks until both are done."""
    # Spinning OpenMP threads make a busy machine a hundred times slower. The library reads this
    # once, when it is loaded.
    os.putenv("OMP_WAIT_POLICY", "passive")
    sys.path.append(order["library_path"])
    import xllamacpp

    params = xllamacpp.CommonParams()
    params.model.path = order["weights"]
    params.n_parallel = order["slots"]
    params.n_ctx = order["slots"] * order["context_tokens"]  # the library divides it by the slots
    params.cpuparams_batch.n_threads = order["threads"]
    # One token alone is waiting for memory: half of the threads write a reply a third faster.
    params.cpuparams.n_threads = max(1, order["threads"] // 2)
    params.api_keys = [order["api_key"]]
    params.cache_ram_mib = order["cache_mib"]
    params.embedding = True
    params.pooling_type = xllamacpp.llama_pooling_type.LLAMA_POOLING_TYPE_MEAN
    params.ui = False
    params.verbosity = 1  # errors only
    return cast("Server", xllamacpp.Server(params))


def _takes_tools(address: str, api_key: str) -> bool:
    where = urlsplit(address)
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=30)
    connection.request("GET", "/props", headers={"Authorization": f"Bearer {api_key}"})
    properties = json.loads(connection.getresponse().read())
    connection.close()
    return bool(properties.get("chat_template_caps", {}).get("supports_tools"))


def _die_with(parent_pid: int) -> None:  # pragma: no cover - only a child may call it
    """Ask the kernel to end this process with its parent, whatever this process is busy with.

    The end of standard input alone is noticed only between two steps of Python: loading weights
    holds the interpreter for seconds.
    """
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it was gone before the kernel knew
        os._exit(1)


def main() -> None:  # pragma: no cover - runs in the child
    """Run the child process."""
    _die_with(int(sys.argv[1]))
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever the library prints belongs to the error output
    status = serve(os.fdopen(0, "rb", buffering=0), answers)
    os._exit(status)  # the library's own teardown can hang, and there is nothing to save


if __name__ == "__main__":  # pragma: no cover - runs in the child
    main()
