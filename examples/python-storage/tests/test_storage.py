"""The storage keeps the contract. TIKTOK_SHOP_TEST_POSTGRES contains the address of a server."""

from __future__ import annotations

import os
import secrets
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import psycopg
import psycopg.errors
import psycopg.sql
import pytest
import pytest_asyncio
from tiktok_shop_connector import Host, check_storage, contract_checks
from tiktok_shop_connector.storage import ContractCheck, ContractOutcome, NewToken

from postgres_storage import PostgresStorage, open_storage
from postgres_storage.address import check_address
from postgres_storage.database import Database

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
async def test_a_write_that_waits_for_a_lock_fails_and_is_not_carried_out_later(storage: PostgresStorage) -> None:
    named = {"tenant": "acme", "customer": "customer-7", "account": "account-1"}
    record: NewToken = {"revision": "1", "value": {"key": "key-1", "bytes": "00"}, "refresh_due_at": None}
    # This transaction lasts longer than one of the storage may.
    async with Database(storage.database.pool, limit_seconds=60).transaction() as other:
        await other.change("LOCK TABLE tokens IN EXCLUSIVE MODE")
        with pytest.raises(psycopg.errors.QueryCanceled):
            await storage.swap_token(**named, expected=None, next=record)
    assert await storage.load_token(**named) is None


@pytest.mark.asyncio(loop_scope="module")
async def test_a_transaction_that_takes_too_long_writes_nothing(storage: PostgresStorage) -> None:
    late = Database(storage.database.pool, limit_seconds=0)
    with pytest.raises(TimeoutError, match="the transaction took too long"):
        await late.change("CREATE TABLE undone (id int)")
    assert await late.first("SELECT to_regclass('undone') AS found") == {"found": None}


@pytest.mark.parametrize(
    "address",
    [
        "postgres://app@localhost/shops",
        "postgres://app@127.0.0.1:5432/shops?sslmode=disable",
        "postgres://app@[::1]/shops",
        "host=/run/postgresql dbname=shops",
        "postgres://app@db.example/shops?sslmode=verify-full",
    ],
)
def test_a_server_on_this_machine_or_with_a_proven_name_is_accepted(address: str) -> None:
    check_address(address)


@pytest.mark.parametrize(
    "address",
    [
        "postgres://app:CANARY@db.example/shops",
        "postgres://app:CANARY@127.0.0.1.example/shops",
        "postgres://app:CANARY@10.0.0.1/shops?sslmode=require",
        "postgres://app:CANARY@localhost,db.example/shops",
        "postgres://app:CANARY@localhost/shops?host=db.example",
        "postgres://app:CANARY@localhost/shops?hostaddr=10.0.0.1",
        "dbname=shops password=CANARY",
    ],
)
def test_a_server_in_a_network_must_prove_its_name_over_tls(address: str) -> None:
    with pytest.raises(ValueError, match="append sslmode=verify-full") as refused:
        check_address(address)
    assert "CANARY" not in str(refused.value)


def test_a_variable_does_not_lead_to_a_server_in_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOSTADDR", "10.0.0.1")
    with pytest.raises(ValueError, match="append sslmode=verify-full"):
        check_address("postgres://app@localhost/shops")
    check_address("postgres://app@localhost/shops?hostaddr=127.0.0.1")
    check_address("postgres://app@localhost/shops?sslmode=verify-full")


def test_the_error_about_a_malformed_address_does_not_show_the_password() -> None:
    with pytest.raises(ValueError, match=r"^the address of the database is malformed$"):
        check_address("postgres:/app:CANARY@db.example/shops")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_host_works_with_the_storage(storage: PostgresStorage, outcomes: dict[str, Any]) -> None:
    assert len(outcomes) == len(CHECKS)
    async with Host.open(storage=storage, keys="drawn", apps=[]) as host:
        assert await host.list_connections(tenant="acme", customer="customer-7") == []
        assert (await host.key_status()).keys == []
