"""What the storage in Python keeps for a tenant, and the order of its lists."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from tiktok_shop_connector import KeyGone
from tiktok_shop_connector.storage import (
    DataKey,
    Done,
    Due,
    Name,
    NewRow,
    NewToken,
    Purpose,
    Sealed,
    SealedName,
    SealedRecord,
    StoredEvent,
    StoredRow,
)

T = TypeVar("T")
Key = tuple[str, str]

STATE_SECONDS: Final = 3_600
INSTALL_SECONDS: Final = 1_800
WEBHOOK_SECONDS: Final = 72 * 3_600
DONE: Final[Done] = {"outcome": "done"}
ORDER: Final[dict[Purpose, int]] = {"token": 0, "ciphers": 1}


def order_of(parts: Iterable[str | int]) -> tuple[bytes | int, ...]:
    """Returns what to sort by: texts by the bytes of their UTF-8."""
    return tuple(part.encode() if isinstance(part, str) else part for part in parts)


def page(
    items: Iterable[T], key_of: Callable[[T], tuple[Any, ...]], after: tuple[Any, ...] | None, limit: int
) -> list[T]:
    """Returns the items behind `after`, in the order of their keys, and at most `limit`."""
    found = sorted(items, key=lambda item: order_of(key_of(item)))
    behind = [item for item in found if after is None or order_of(key_of(item)) > order_of(after)]
    return behind[:limit]


@dataclass
class Token:
    token: NewToken
    at: float


@dataclass
class State:
    consent: str
    at: float
    used: bool = False


@dataclass
class Install:
    browser: str
    sealed: str | None
    at: float


@dataclass
class Tenant:
    tokens: dict[Key, Token] = field(default_factory=dict)
    rows: dict[Key, NewRow] = field(default_factory=dict)
    events: list[StoredEvent] = field(default_factory=list)
    last_position: int = 0
    once: set[tuple[str | None, str | None, str]] = field(default_factory=set)
    states: dict[str, State] = field(default_factory=dict)
    installs: dict[str, Install] = field(default_factory=dict)
    webhooks: dict[str, float] = field(default_factory=dict)
    keys: list[DataKey] = field(default_factory=list)

    def append(self, event: str) -> None:
        self.last_position += 1
        self.events.append({"position": self.last_position, "event": event})

    def check_key(self, sealed: Sealed | None) -> None:
        if sealed is not None and not any(key["id"] == sealed["key"] and key["wrapped"] for key in self.keys):
            raise KeyGone("the tenant no longer has this key")

    def sealed(self) -> list[SealedRecord]:
        tokens = [
            record(key, "token", stored.token["revision"], stored.token["value"]) for key, stored in self.tokens.items()
        ]
        rows = [
            record(key, "ciphers", row["revision"], row["sealed"]) for key, row in self.rows.items() if row["sealed"]
        ]
        return tokens + rows

    def delete_old_consents(self, now: float) -> None:
        for states in [state for state, stored in self.states.items() if now - stored.at > STATE_SECONDS]:
            del self.states[states]
        for install in [install for install, stored in self.installs.items() if now - stored.at > INSTALL_SECONDS]:
            del self.installs[install]


def record(key: Key, purpose: Purpose, revision: str, sealed: Sealed) -> SealedRecord:
    return {"customer": key[0], "account": key[1], "purpose": purpose, "revision": revision, "sealed": sealed}


def name(key: Key) -> Name:
    return {"customer": key[0], "account": key[1]}


def row_of(row: NewRow) -> StoredRow:
    return {"revision": row["revision"], "row": row["row"], "sealed": row["sealed"]}


def due_order(due: Due) -> tuple[int, str, str, str]:
    return (due["at"], due["tenant"], due["customer"], due["account"])


def sealed_order(record: SealedName) -> tuple[int, str, str]:
    return (ORDER[record["purpose"]], record["customer"], record["account"])
