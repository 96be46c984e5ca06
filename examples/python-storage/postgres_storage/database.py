"""The base of all parts of the storage: statements, transactions, and compare-and-swap of a record."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final, LiteralString, TypeVar

from psycopg import AsyncConnection
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool
from tiktok_shop_connector import KeyGone
from tiktok_shop_connector.storage import Done, Name

Row = DictRow
Values = Sequence[Any] | Mapping[str, Any]
Pool = AsyncConnectionPool[AsyncConnection[Row]]
T = TypeVar("T")

DONE: Final[Done] = {"outcome": "done"}
#: The time in which a function of the storage must commit its transaction. A host waits 10 seconds for a function. If a
#: transaction were committed later, a value could appear that the host has given up.
LIMIT_SECONDS: Final = 9.0
OF_CONNECTION: Final = "tenant = %s AND customer = %s AND account = %s"


def bytes_of(*texts: str) -> list[bytes]:
    return [text.encode() for text in texts]


def bytes_if(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def name_of(row: Row) -> Name:
    """Returns the name of a connection in an answer."""
    return {"customer": row["customer"].decode(), "account": row["account"].decode()}


class Statements:
    """Runs statements in one transaction."""

    def __init__(self, connection: AsyncConnection[Row]) -> None:
        self._connection = connection

    async def all(self, statement: LiteralString, values: Values = ()) -> list[Row]:
        """Returns the rows of a statement."""
        return await (await self._connection.execute(statement, values)).fetchall()

    async def first(self, statement: LiteralString, values: Values = ()) -> Row | None:
        """Returns the first row of a statement."""
        return await (await self._connection.execute(statement, values)).fetchone()

    async def change(self, statement: LiteralString, values: Values = ()) -> int:
        """Returns how many rows a statement has changed."""
        return (await self._connection.execute(statement, values)).rowcount


class Database:
    """A pool of connections. Each function of it runs its statements in a transaction of its own."""

    def __init__(self, pool: Pool, limit_seconds: float = LIMIT_SECONDS) -> None:
        self.pool = pool
        self._limit_seconds = limit_seconds

    @asynccontextmanager
    async def transaction(self, end: float | None = None) -> AsyncIterator[Statements]:
        """Begins a transaction. If its block raises an exception, or is not done before `end`, nothing is written."""
        last = self._end() if end is None else end
        async with self.pool.connection() as connection, connection.transaction():
            yield Statements(connection)
            if time.monotonic() >= last:
                raise TimeoutError("the transaction took too long")

    async def all(self, statement: LiteralString, values: Values = ()) -> list[Row]:
        async with self.pool.connection() as connection:
            return await Statements(connection).all(statement, values)

    async def first(self, statement: LiteralString, values: Values = ()) -> Row | None:
        async with self.pool.connection() as connection:
            return await Statements(connection).first(statement, values)

    async def change(self, statement: LiteralString, values: Values = ()) -> int:
        async with self.transaction() as statements:
            return await statements.change(statement, values)

    async def swap(
        self,
        expected: str | None,
        is_deletion: bool,
        write: Callable[[Statements], Awaitable[bool]],
        load: Callable[[], Awaitable[T | None]],
        revision_of: Callable[[T], str],
    ) -> Done | tuple[T | None]:
        """Writes a record with `write`, which returns whether it has changed a row.

        If `write` has changed no row, the stored record is not the one that the caller expects. The result is then a
        tuple with the stored record.
        """
        end = self._end()
        while True:
            async with self.transaction(end) as statements:
                is_changed = await write(statements)
            if is_changed:
                return DONE
            stored = await load()
            if (None if stored is None else revision_of(stored)) != expected:
                return (stored,)
            # Nothing is stored, and nothing was expected.
            if stored is None and is_deletion:
                return DONE
            # Another write was undone or deleted between the two statements, so try again.

    def _end(self) -> float:
        """Returns when a transaction that begins now must be committed."""
        return time.monotonic() + self._limit_seconds


async def hold_key(statements: Statements, tenant: str, key: str) -> None:
    """Keeps the key of a sealed value until the transaction ends."""
    held = "SELECT 1 FROM keys WHERE tenant = %s AND id = %s AND wrapped IS NOT NULL FOR SHARE"
    if await statements.first(held, bytes_of(tenant, key)) is None:
        raise KeyGone("the tenant no longer has this key")


async def append(statements: Statements, tenant: str, events: Sequence[str]) -> None:
    """Appends events. Writers of one tenant wait for each other, so that no event appears before one that was read."""
    if not events:
        return
    counted = """INSERT INTO positions (tenant, last) VALUES (%s, %s)
        ON CONFLICT (tenant) DO UPDATE SET last = positions.last + EXCLUDED.last RETURNING last"""
    (row,) = await statements.all(counted, [tenant.encode(), len(events)])
    first = row["last"] - len(events) + 1
    for position, event in enumerate(events, first):
        await statements.change("INSERT INTO events VALUES (%s, %s, %s)", [tenant.encode(), position, event])
