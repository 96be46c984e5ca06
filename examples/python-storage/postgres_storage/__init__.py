"""A complete storage in PostgreSQL, with the driver psycopg. `Host.open(storage=…)` takes it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from psycopg import AsyncConnection
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from .address import check_address
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


#: The time to open a connection, and the time that a function waits for a connection of the pool, in seconds. A host
#: gives each function of a storage 10 seconds.
CONNECT_SECONDS: Final = 5
#: The time that PostgreSQL may work on a statement, also while the statement waits for a lock, in milliseconds. Without
#: it, a statement whose caller has stopped waiting could be carried out at any later time.
STATEMENT_MS: Final = 8_000


@asynccontextmanager
async def open_storage(address: str, connections: int = 10) -> AsyncIterator[PostgresStorage]:
    """Opens the storage, and creates its tables if they are missing."""
    check_address(address)
    # Each statement is a transaction of its own, unless a block begins one.
    kwargs = {
        "autocommit": True,
        "row_factory": dict_row,
        "connect_timeout": CONNECT_SECONDS,
        # Ends a connection whose server does not answer any more.
        "tcp_user_timeout": STATEMENT_MS,
        "options": f"-c statement_timeout={STATEMENT_MS}",
    }
    pool: Pool = AsyncConnectionPool(
        address,
        connection_class=AsyncConnection,
        min_size=1,
        max_size=connections,
        kwargs=kwargs,
        timeout=CONNECT_SECONDS,
        open=False,
    )
    async with pool:
        async with pool.connection() as connection:
            await connection.execute(SCHEMA)
        yield PostgresStorage(Database(pool))
