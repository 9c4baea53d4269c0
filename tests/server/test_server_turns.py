"""Large writes take turns."""

from __future__ import annotations

import threading
from contextlib import closing

import anyio

from opik_eval.server.bodies import RawBody
from opik_eval.server.context import RequestContext, Tenants
from opik_eval.server.turns import Turns
from opik_eval.storage.workspaces import open_workspaces

LARGE, SMALL = RawBody(b" " * 40_000, "", 1 << 20), RawBody(b" ", "", 1 << 20)


def test_large_writes_of_a_workspace_follow_one_another() -> None:
    """No two of one workspace run at once, and they begin in the order in which they came."""
    turns, running, seen = Turns(), list[int](), list[list[int]]()

    def work(number: int) -> None:
        running.append(number)
        seen.append([*running])
        running.remove(number)

    async def all_of_them() -> None:
        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(turns.call, "default", work, number)

    anyio.run(all_of_them)
    assert seen == [[number] for number in range(20)]


def test_nobody_else_waits_for_a_large_write() -> None:
    """Another workspace, and a small body, go on while a large one is being written."""
    turns, is_going_on, order = Turns(), threading.Event(), list[str]()

    def wait() -> None:
        assert is_going_on.wait(30)
        order.append("large")

    async def all_of_them(context: RequestContext, other: RequestContext) -> None:
        large, small = (RawBody(b.content, "", b.limit, turns=turns) for b in (LARGE, SMALL))
        async with anyio.create_task_group() as group:
            group.start_soon(large.in_turn, context, wait)
            await anyio.wait_all_tasks_blocked()
            await small.in_turn(context, order.append, "small")
            await large.in_turn(other, order.append, "other")
            is_going_on.set()
            await large.in_turn(context, order.append, "next")

    with closing(open_workspaces("memory:")) as workspaces:
        workspaces.create("other")
        tenants = Tenants(workspaces)
        context = tenants.context("default", role="admin")
        anyio.run(all_of_them, context, tenants.context("other", role="admin"))
    assert order == ["small", "other", "large", "next"]


def test_a_compressed_body_counts_as_what_it_may_hold() -> None:
    """Compression does not make a large write a small one."""
    turns, order, is_going_on = Turns(), list[str](), threading.Event()

    def wait() -> None:
        assert is_going_on.wait(30)
        order.append("first")

    async def both(context: RequestContext) -> None:
        body = RawBody(b" " * 5_000, "gzip", 1 << 20, turns=turns)
        async with anyio.create_task_group() as group:
            group.start_soon(body.in_turn, context, wait)
            await anyio.wait_all_tasks_blocked()
            group.start_soon(body.in_turn, context, order.append, "second")
            await anyio.wait_all_tasks_blocked()
            assert turns.waiting == 1
            is_going_on.set()

    with closing(open_workspaces("memory:")) as workspaces:
        anyio.run(both, Tenants(workspaces).context("default", role="admin"))
    assert order == ["first", "second"]
