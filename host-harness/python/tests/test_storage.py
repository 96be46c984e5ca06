"""A storage that is written in Python keeps the contract, and a broken one does not."""

from __future__ import annotations

from typing import Any

import pytest
import pytest_asyncio

from conftest import Stages
from memory_storage import MemoryStorage
from stage import NAMED, TENANT
from tiktok_shop_connector import LeftOut, Refused, check_storage, contract_checks
from tiktok_shop_connector.errors import StorageFailedError
from tiktok_shop_connector.storage import ContractOutcome, Done, NewToken, StaleToken, Storage

CHECKS = contract_checks()


class Recorded:
    """Remembers which functions of a storage were called."""

    def __init__(self, storage: Storage, called: set[str]) -> None:
        self._storage = storage
        self._called = called

    def __getattr__(self, name: str) -> Any:
        self._called.add(name)
        return getattr(self._storage, name)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def called() -> set[str]:
    return set()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def outcomes(called: set[str]) -> dict[str, ContractOutcome]:
    storage: Any = Recorded(MemoryStorage(), called)
    seen: list[ContractOutcome] = []
    outcomes = await check_storage(storage, seen.append)
    assert seen == outcomes
    return {outcome.check: outcome for outcome in outcomes}


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.check)
async def test_a_storage_in_python_keeps_the_contract(check: Any, outcomes: dict[str, ContractOutcome]) -> None:
    assert outcomes[check.check].failure is None, check.promise


@pytest.mark.asyncio(loop_scope="module")
async def test_the_types_name_all_functions_and_no_other(
    called: set[str], outcomes: dict[str, ContractOutcome]
) -> None:
    assert len(outcomes) == len(CHECKS) > 30
    declared = {name for part in Storage.__mro__ for name in vars(part) if not name.startswith("_")}
    assert called == declared


async def test_the_result_of_a_function_that_returns_nothing_is_not_read() -> None:
    told = {"put_state", "release_state", "put_install", "close_install", "delete_install", "delete_expired"}
    told.add("remember_webhook")

    class OfDriver:
        """A storage whose functions return the cursor of their driver."""

        def __init__(self) -> None:
            self._storage = MemoryStorage()

        def __getattr__(self, name: str) -> Any:
            function = getattr(self._storage, name)
            return (lambda **arguments: (function(**arguments), object())) if name in told else function

    storage: Any = OfDriver()
    assert [outcome for outcome in await check_storage(storage) if outcome.failure is not None] == []


async def test_the_contract_notices_a_swap_that_ignores_the_revision() -> None:
    class Broken(MemoryStorage):
        def swap_token(
            self, *, tenant: str, customer: str, account: str, expected: str | None, next: NewToken | None
        ) -> Done | StaleToken:
            stored = self.load_token(tenant=tenant, customer=customer, account=account)
            now = stored and stored["revision"]
            return super().swap_token(tenant=tenant, customer=customer, account=account, expected=now, next=next)

    broken = [outcome for outcome in await check_storage(Broken()) if outcome.failure is not None]
    assert broken != []


async def test_an_exception_of_a_storage_is_an_error_without_its_text(stages: Stages) -> None:
    class Down(MemoryStorage):
        def list_rows(self, *, tenant: str, customer: str) -> Any:
            raise ConnectionError("CANARY")

    class SynchronousOnlyOperation(Exception):
        """Its name is as long as a name may be, and so is the module of Django's class."""

        __module__ = "django.core.exceptions"

    class Django(MemoryStorage):
        def list_rows(self, *, tenant: str, customer: str) -> Any:
            raise SynchronousOnlyOperation("CANARY")

    class Full(MemoryStorage):
        def list_rows(self, *, tenant: str, customer: str) -> Any:
            raise Refused("the disk is full")

    class Odd(MemoryStorage):
        def list_rows(self, *, tenant: str, customer: str) -> Any:
            return [object()]

    for storage, code, text in (
        (Down(), "storage-unavailable", "list_rows raised ConnectionError of builtins"),
        (Django(), "storage-unavailable", "list_rows raised SynchronousOnlyOperation of django.core.exceptions"),
        (Full(), "storage-refused", "the disk is full"),
        (Odd(), "storage-unavailable", "list_rows returned a value of a type that JSON does not have"),
    ):
        stage = await stages.open(storage=storage)
        with pytest.raises(StorageFailedError, match=text) as raised:
            await stage.host.list_connections(**NAMED)
        assert raised.value.code == code
        assert "CANARY" not in repr(raised.value)


async def test_a_connection_whose_row_is_missing_is_left_out_of_the_lists(stages: Stages) -> None:
    storage = MemoryStorage()
    stage = await stages.open(storage=storage)
    account = (await stage.connected()).account
    storage.tenant(TENANT).rows.clear()
    assert await stage.host.list_connections(**NAMED) == []
    assert await stage.host.left_out(**NAMED) == [LeftOut(account, "row-missing")]
