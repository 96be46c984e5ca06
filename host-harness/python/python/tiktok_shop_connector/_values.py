"""Converts the values of the native module into the results of a host, and arguments into values of the module."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, Final

from . import types
from ._native import Secret
from .errors import error_of

#: The last second that a `datetime` can be.
_MAX_SECONDS: Final = 253_402_300_799

_CONNECTION_TIMES: Final = (
    "ends_at",
    "access_expires_at",
    "refresh_expires_at",
    "authorization_ends_at",
    "connected_at",
    "granted_at",
    "refreshed_at",
    "shops_synced_at",
)


def _time(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(min(seconds, _MAX_SECONDS), timezone.utc)


def _with_times(value: dict[str, Any], *names: str) -> dict[str, Any]:
    for name in names:
        value[name] = _time(value[name])
    return value


def seconds(name: str, at: datetime | None) -> int | None:
    """Returns a time as seconds since 1970."""
    if at is None:
        return None
    if not isinstance(at, datetime):
        raise TypeError(f"{name}: the type is {type(at).__name__}, and must be datetime")
    if at.tzinfo is None:
        raise ValueError(f"{name}: the datetime has no timezone; write datetime(…, tzinfo=timezone.utc)")
    return max(0, int(at.timestamp()))


def shop(value: dict[str, Any]) -> types.Shop:
    return types.Shop(**value)


def shops(values: list[dict[str, Any]]) -> list[types.Shop]:
    return [shop(value) for value in values]


def connection(value: dict[str, Any]) -> types.Connection:
    failure = value["last_failure"]
    value["last_failure"] = failure and types.PastFailure(**_with_times(failure, "at"))
    value["shops"] = shops(value["shops"])
    return types.Connection(**_with_times(value, *_CONNECTION_TIMES))


def connections(values: list[dict[str, Any]]) -> list[types.Connection]:
    return [connection(value) for value in values]


def refreshed(value: dict[str, Any]) -> types.Refreshed:
    why = value["nothing_sent"]
    return types.Refreshed(connection(value["connection"]), value["effect"], why and error_of(why))


def valid_token(value: dict[str, Any]) -> types.ValidToken:
    return types.ValidToken(value["account"], Secret(value["token"]), _time(value["expires_at"]))


def existing_grant(value: dict[str, Any]) -> types.ExistingGrant:
    access = value["access_token"]
    value["refresh_token"] = Secret(value["refresh_token"])
    value["access_token"] = None if access is None else Secret(access)
    return types.ExistingGrant(**_with_times(value, "access_token_ends", "refresh_token_ends"))


def pending_install(value: dict[str, Any]) -> types.PendingInstall:
    value["id"] = Secret(value["id"])
    value["shops"] = [types.PendingShop(**one) for one in value["shops"]]
    return types.PendingInstall(**value)


def shared_connections(value: dict[str, Any]) -> types.SharedConnections:
    shared = [types.SharedConnection(**one) for one in value["connections"]]
    return types.SharedConnections(shared, value["shops_not_read"])


def disconnected(value: dict[str, Any]) -> types.Disconnected:
    return types.Disconnected(
        found=[types.ConnectionName(**one) for one in value["found"]],
        remaining=connections(value["remaining"]),
        revoked=[types.Revoked(**one) for one in value["revoked"]],
        not_revoked=[types.NotRevoked(**one) for one in value["not_revoked"]],
    )


def webhook(value: dict[str, Any]) -> types.Webhook:
    value["owners"] = [types.Owner(**one) for one in value["owners"]]
    return types.Webhook(**_with_times(value, "occurred_at"))


def events(values: list[dict[str, Any]]) -> list[types.Event]:
    return [types.Event(**_with_times(value, "at", "ends_at")) for value in values]


def _not_refreshed(value: dict[str, Any]) -> types.NotRefreshed:
    value["error"] = value["error"] and error_of(value["error"])
    return types.NotRefreshed(**_with_times(value, "until"))


def swept(value: dict[str, Any]) -> types.Swept:
    value["not_refreshed"] = [_not_refreshed(one) for one in value["not_refreshed"]]
    return types.Swept(**value)


def key_status(value: dict[str, Any]) -> types.KeyStatus:
    keys = [types.KeyUse(**one) for one in value["keys"]]
    return types.KeyStatus(value["current"], value["is_rotated"], keys)


def rotated(value: dict[str, Any]) -> types.Rotated:
    return types.Rotated(**value)


def erased(value: dict[str, Any] | None) -> types.Erased | None:
    return None if value is None else types.Erased(**value)


def host_key_check(value: dict[str, Any]) -> types.HostKeyCheck:
    value["unusable"] = [types.UnusableHostKey(**one) for one in value["unusable"]]
    return types.HostKeyCheck(**value)


def host_key(value: dict[str, str]) -> str:
    return value["host_key"]


def secret_url(value: dict[str, str]) -> Secret:
    return Secret(value["url"])


def found(value: dict[str, bool]) -> bool:
    return value["found"]


Query = Mapping[str, "str | int | float | bool"] | Iterable[tuple[str, "str | int | float | bool"]]


def pairs(query: Query) -> list[tuple[str, str]]:
    """Returns the query of a call as pairs."""
    items = query.items() if isinstance(query, Mapping) else query
    return [(name, _text(value)) for name, value in items]


def _text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        # As in JSON: `true` and `false`.
        return str(value).lower()
    # `str` of a member of an enumeration is its name, and not its value.
    if isinstance(value, int):
        return int.__repr__(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError("a number of the query is not finite")
        return float.__repr__(value)
    # The text of another object, such as `None` or `[redacted]`, would reach TikTok Shop.
    raise TypeError(f"a value of the query has the type {type(value).__name__}, and must be str, int, float or bool")


def apps(values: list[str]) -> list[str]:
    return values


def names(argument: str, values: Iterable[str]) -> list[str]:
    """Returns names as a list. Raises a `TypeError` for a text, which is an iterable of its letters."""
    if isinstance(values, str):
        raise TypeError(f"{argument}: the type is str, and must be a list of str")
    return list(values)


def raw_bytes(body: bytes | bytearray | memoryview) -> bytes:
    """Returns the body of a webhook. Raises a `TypeError` for anything that is not bytes."""
    if not isinstance(body, (bytes, bytearray, memoryview)):
        raise TypeError(f"body: the type is {type(body).__name__}; pass the raw bytes of the request's body")
    return bytes(body)


def body_bytes(body: object) -> bytes:
    """Returns the body of a call: bytes and a text unchanged, everything else as JSON."""
    if isinstance(body, bytes):
        return body
    if isinstance(body, (bytearray, memoryview)):
        return bytes(body)
    text = body
    if not isinstance(text, str):
        text = json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    try:
        return text.encode()
    except UnicodeEncodeError:
        # Python's own error would contain the whole text.
        raise ValueError("body: a text contains a lone surrogate, so it is not UTF-8: correct the text") from None
