"""The types of a storage of your own, and its contract suite.

Every function may be asynchronous, and must answer within 10 seconds. docs/python.md says what a storage promises.
"""

from __future__ import annotations

import contextvars
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Literal, Protocol, TypeAlias, TypedDict, TypeVar

from . import _native
from ._post import functions_of, post_office
from .errors import KeyGone, Refused

__all__ = ["KeyGone", "Refused", "Storage", "check_storage", "contract_checks"]

T = TypeVar("T")
MaybeAwaitable: TypeAlias = T | Awaitable[T]
Environment: TypeAlias = Literal["tiktok-shop", "fake"]
Purpose: TypeAlias = Literal["token", "ciphers"]


class Sealed(TypedDict):
    """A sealed value: the id of the data key, and the bytes as hexadecimal digits."""

    key: str
    bytes: str


class StoredToken(TypedDict):
    revision: str
    value: Sealed
    #: The time since the write of this revision, by the clock of the storage. `None` if it is not known.
    age_ms: float | None


class NewToken(TypedDict):
    revision: str
    value: Sealed
    refresh_due_at: int | None


class StoredRow(TypedDict):
    revision: str
    row: str
    sealed: Sealed | None


class RowIndex(TypedDict):
    """Values of a row, for lists and searches."""

    status: Literal["active", "authorization-ending", "reauthorization-required"]
    ends_at: int | None
    app: str | None
    seller_name: str
    shops: list[str]
    grant: str


class NewRow(StoredRow):
    """A row that is written. The storage keeps the text `row` unchanged."""

    index: RowIndex


class Done(TypedDict):
    outcome: Literal["done"]


class StaleToken(TypedDict):
    outcome: Literal["stale"]
    stored: StoredToken | None


class StaleRow(TypedDict):
    outcome: Literal["stale"]
    stored: StoredRow | None


class Name(TypedDict):
    customer: str
    account: str


class Due(Name):
    at: int
    tenant: str


class Ending(Due):
    grant: str


class RowFilter(TypedDict):
    status: str | None
    shop: str | None
    account: str | None
    seller_name: str | None


class StoredEvent(TypedDict):
    position: int
    event: str


class StoredConsent(TypedDict):
    consent: str
    age_ms: float | None
    used: bool


class StoredInstall(TypedDict):
    browser: str
    sealed: str | None
    age_ms: float | None


class WrappedKey(TypedDict):
    host_key: str
    bytes: str


class DataKey(TypedDict):
    id: str
    #: The wrapped key. `None` if it was erased.
    wrapped: WrappedKey | None


class KeyName(TypedDict):
    tenant: str
    key: str


class KeyUse(TypedDict):
    tenant: str
    key: DataKey
    records: int


class SealedName(Name):
    purpose: Purpose


class SealedRecord(SealedName):
    revision: str
    sealed: Sealed


class Deleted(TypedDict):
    connections: int
    others: int
    is_complete: bool


class TokenStorage(Protocol):
    def belongs_to(self, *, environment: Environment) -> MaybeAwaitable[bool]: ...
    def accounts(self, *, tenant: str, customer: str) -> MaybeAwaitable[list[str]]: ...
    def load_token(self, *, tenant: str, customer: str, account: str) -> MaybeAwaitable[StoredToken | None]: ...
    def swap_token(
        self, *, tenant: str, customer: str, account: str, expected: str | None, next: NewToken | None
    ) -> MaybeAwaitable[Done | StaleToken]: ...
    def due(self, *, now: int, after: Due | None, limit: int) -> MaybeAwaitable[list[Due]]: ...


class ConnectionStorage(Protocol):
    def list_rows(self, *, tenant: str, customer: str) -> MaybeAwaitable[list[StoredRow]]: ...
    def load_row(self, *, tenant: str, customer: str, account: str) -> MaybeAwaitable[StoredRow | None]: ...
    def swap_row(
        self,
        *,
        tenant: str,
        customer: str,
        account: str,
        expected: str | None,
        next: NewRow | None,
        events: list[str],
    ) -> MaybeAwaitable[Done | StaleRow]: ...
    def owners(self, *, tenant: str, shop: str) -> MaybeAwaitable[list[Name]]: ...
    def tenant_rows(
        self, *, tenant: str, filter: RowFilter, after: Name | None, limit: int
    ) -> MaybeAwaitable[list[StoredRow]]: ...
    def endings(self, *, by: int, after: Due | None, limit: int) -> MaybeAwaitable[list[Ending]]: ...
    def events(self, *, tenant: str, after: int | None, limit: int) -> MaybeAwaitable[list[StoredEvent]]: ...
    def knows_once(self, *, tenant: str, customer: str, account: str, once: str) -> MaybeAwaitable[bool]: ...
    def append_once(
        self,
        *,
        tenant: str,
        customer: str | None,
        account: str | None,
        once: str,
        event: str,
        grant: str | None,
    ) -> MaybeAwaitable[bool]:
        """If `grant` is not None, appends the event only while the row has this grant and needs no new consent."""
        ...


class ConsentStorage(Protocol):
    def put_state(self, *, tenant: str, state: str, consent: str) -> MaybeAwaitable[None]: ...
    def load_state(self, *, tenant: str, state: str) -> MaybeAwaitable[StoredConsent | None]: ...
    def use_state(self, *, tenant: str, state: str) -> MaybeAwaitable[bool]: ...
    def release_state(self, *, tenant: str, state: str) -> MaybeAwaitable[None]: ...
    def put_install(self, *, tenant: str, install: str, browser: str, sealed: str) -> MaybeAwaitable[None]: ...
    def load_install(self, *, tenant: str, install: str) -> MaybeAwaitable[StoredInstall | None]: ...
    def close_install(self, *, tenant: str, install: str) -> MaybeAwaitable[None]: ...
    def delete_install(self, *, tenant: str, install: str) -> MaybeAwaitable[None]: ...
    def delete_expired(self) -> MaybeAwaitable[None]: ...


class WebhookStorage(Protocol):
    def knows_webhook(self, *, tenant: str, webhook: str) -> MaybeAwaitable[bool]: ...
    def remember_webhook(self, *, tenant: str, webhook: str) -> MaybeAwaitable[None]: ...


class KeyStorage(Protocol):
    def tenant_keys(self, *, tenant: str) -> MaybeAwaitable[list[DataKey]]: ...
    def add_key(self, *, tenant: str, newest: str | None, key: DataKey) -> MaybeAwaitable[bool]: ...
    def rewrap_key(self, *, tenant: str, key: DataKey, next: WrappedKey | None) -> MaybeAwaitable[bool]: ...
    def remove_key(self, *, tenant: str, key: str) -> MaybeAwaitable[bool]: ...
    def key_uses(self, *, after: KeyName | None, limit: int) -> MaybeAwaitable[list[KeyUse]]: ...
    def sealed_under(
        self, *, tenant: str, key: str, after: SealedName | None, limit: int
    ) -> MaybeAwaitable[list[SealedRecord]]: ...
    def reseal(
        self,
        *,
        tenant: str,
        customer: str,
        account: str,
        purpose: Purpose,
        revision: str,
        sealed: Sealed,
        next: Sealed,
    ) -> MaybeAwaitable[bool]: ...
    def delete_tenant(self, *, tenant: str, limit: int) -> MaybeAwaitable[Deleted]: ...


class Storage(TokenStorage, ConnectionStorage, ConsentStorage, WebhookStorage, KeyStorage, Protocol):
    """A complete storage: an object with the functions of all five parts."""


def check_functions(storage: object) -> None:
    """Raises a `TypeError` if the object lacks a function of a storage."""
    names = [name for part in Storage.__mro__ for name in vars(part) if not name.startswith("_")]
    missing = [name for name in names if not callable(getattr(storage, name, None))]
    if missing == names:
        raise TypeError("storage: give memory:, sqlite:PATH, postgres://… or an object with the functions of a storage")
    if missing:
        raise TypeError(f"storage: the object has no function {', '.join(missing)}; give a complete storage")


@dataclass(frozen=True, slots=True)
class ContractCheck:
    """A check of the contract: its name, and the promise that it tests."""

    check: str
    promise: str


@dataclass(frozen=True, slots=True)
class ContractOutcome:
    """How a check of the contract ended."""

    check: str
    promise: str
    #: How the storage broke the promise. `None` if it kept the promise.
    failure: str | None
    took_ms: int


def contract_checks() -> list[ContractCheck]:
    """Returns all checks of the contract, so that a test framework can make one test of each."""
    return [ContractCheck(**check) for check in _native.contract_checks()]


async def check_storage(
    storage: Storage, on_outcome: Callable[[ContractOutcome], object] = lambda _: None
) -> list[ContractOutcome]:
    """Runs all checks on this storage, calls `on_outcome` after each one, and returns all outcomes."""
    office = post_office()
    number = office.register(functions_of(storage), contextvars.Context())
    receiver = office.receive(lambda value: on_outcome(ContractOutcome(**value)))
    try:
        _, reply = office.ask(lambda ticket: _native.check_contract(office.mailbox, ticket, number, receiver))
        return [ContractOutcome(**outcome) for outcome in (await reply)[0]]
    finally:
        office.unregister(number)
        office.unregister(receiver)
