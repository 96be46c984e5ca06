"""A complete storage in PostgreSQL, with the driver psycopg. `Host.open(storage=…)` takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from .connections import Connections
from .consents import Consents
from .database import Database, Pool
from .keys import Keys
from .schema import SCHEMA
from .tokens import Tokens

__all__ = ["PostgresStorage", "open_storage"]


class PostgresStorage(Tokens, Connections, Consents, Keys):
    """All five parts of a storage."""

    def __init__(self, database: Database) -> None:
        self.database = database


@asynccontextmanager
async def open_storage(address: str, connections: int = 10) -> AsyncIterator[PostgresStorage]:
    """Opens the storage, and creates its tables if they are missing."""
    # Each statement is a transaction of its own, unless a block begins one.
    kwargs = {"autocommit": True, "row_factory": dict_row}
    pool: Pool = AsyncConnectionPool(
        address, connection_class=AsyncConnection, min_size=1, max_size=connections, kwargs=kwargs, open=False
    )
    async with pool:
        async with pool.connection() as connection:
            await connection.execute(SCHEMA)
        yield PostgresStorage(Database(pool))
