"""The storage keeps the contract. TIKTOK_SHOP_TEST_POSTGRES contains the address of a server."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import psycopg.sql
import pytest
import pytest_asyncio
from tiktok_shop_connector import Host, check_storage, contract_checks
from tiktok_shop_connector.storage import ContractCheck, ContractOutcome

from postgres_storage import PostgresStorage, open_storage

SERVER = os.environ.get("TIKTOK_SHOP_TEST_POSTGRES", "")
CHECKS = contract_checks()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def storage() -> AsyncIterator[PostgresStorage]:
    """The storage in a new database."""
    assert SERVER, "TIKTOK_SHOP_TEST_POSTGRES contains the address of a PostgreSQL server"
    name = f"storage_{secrets.token_hex(8)}"
    async with await psycopg.AsyncConnection.connect(SERVER, autocommit=True) as server:
        await server.execute(psycopg.sql.SQL("CREATE DATABASE {}").format(psycopg.sql.Identifier(name)))
        async with open_storage(urlsplit(SERVER)._replace(path=f"/{name}").geturl()) as storage:
            yield storage
        drop = psycopg.sql.SQL("DROP DATABASE {} WITH (FORCE)")
        await server.execute(drop.format(psycopg.sql.Identifier(name)))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcomes(storage: PostgresStorage) -> dict[str, ContractOutcome]:
    return {outcome.check: outcome for outcome in await check_storage(storage)}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.check)
async def test_the_storage_keeps_the_contract(check: ContractCheck, outcomes: dict[str, ContractOutcome]) -> None:
    assert outcomes[check.check].failure is None, check.promise


@pytest.mark.asyncio(loop_scope="module")
async def test_each_statement_has_a_time_limit(storage: PostgresStorage) -> None:
    assert await storage.database.first("SHOW statement_timeout") == {"statement_timeout": "8s"}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_host_works_with_the_storage(storage: PostgresStorage, outcomes: dict[str, Any]) -> None:
    assert len(outcomes) == len(CHECKS)
    async with Host.open(storage=storage, keys="drawn", apps=[]) as host:
        assert await host.list_connections(tenant="acme", customer="customer-7") == []
        assert (await host.key_status()).keys == []
