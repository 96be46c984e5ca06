"""The types of a key provider of your own.

Every function may be asynchronous, and may take 8 seconds. docs/python.md says what a provider promises.
"""

from __future__ import annotations

import inspect
from typing import Any, Literal, Protocol, TypeAlias, TypedDict

from ._post import Callee
from .errors import HostKeyMismatch, HostKeyUnavailable, HostKeyUnknown, KeyGone, Refused
from .storage import MaybeAwaitable

__all__ = [
    "Destroyed",
    "DestroyingKeyProvider",
    "Destruction",
    "HostKeyMismatch",
    "HostKeyUnavailable",
    "HostKeyUnknown",
    "KeyProvider",
    "NotAllowed",
    "NotPossible",
    "TenantKeyProvider",
    "WrappedDataKey",
]


class WrappedDataKey(TypedDict):
    """A data key that a host key wraps."""

    #: The id of the host key: 1 to 256 visible ASCII characters. It is stored, and errors and logs show it.
    host_key: str
    #: 1 to 16384 bytes.
    bytes: bytes


class Destroyed(TypedDict):
    """The provider has no host key of this tenant any more, or has never had one."""

    outcome: Literal["destroyed"]


class NotAllowed(TypedDict):
    """The provider must keep the host key `key`. `next` says in one sentence what somebody must do."""

    outcome: Literal["not-allowed"]
    key: str
    next: str


class NotPossible(TypedDict):
    """The same host keys wrap the data keys of all tenants."""

    outcome: Literal["not-possible"]


Destruction: TypeAlias = Destroyed | NotAllowed | NotPossible


class KeyProvider(Protocol):
    """A provider of host keys, for example with a key service.

    The host calls it rarely: when a tenant is new, when it first needs a tenant's keys, and then every 5 minutes while
    it uses them. Also when keys are checked, rotated or erased.
    """

    def current(self) -> MaybeAwaitable[str]:
        """Returns the id of the host key that `wrap` uses now.

        If each tenant has a host key of its own, returns one id that names all these host keys.
        """

    def wrap(self, *, tenant: str, data_key: bytes, context: bytes) -> MaybeAwaitable[WrappedDataKey]:
        """Wraps a data key with the current host key.

        `context` names the tenant and the data key. A data key that was wrapped with one context must not unwrap with
        another one.
        """

    def unwrap(self, *, tenant: str, wrapped: WrappedDataKey, context: bytes) -> MaybeAwaitable[bytes]:
        """Returns the 32 bytes of a data key that was wrapped with this context."""


class TenantKeyProvider(KeyProvider, Protocol):
    """A provider with a host key for each tenant. The host knows this because the function `current_for` exists."""

    def current_for(self, *, tenant: str) -> MaybeAwaitable[str]:
        """Returns the id of the host key that `wrap` uses now for this tenant."""


class DestroyingKeyProvider(TenantKeyProvider, Protocol):
    """A provider that can also destroy the host key of a tenant."""

    def destroy(self, *, tenant: str, wrapped_by: list[str]) -> MaybeAwaitable[Destruction]:
        """Destroys the tenant's host key, if `wrapped_by` contains an id of this key.

        Otherwise keeps it, because it may belong to another database. `wrapped_by` has the ids of the host keys that
        wrap the tenant's data keys in this database.
        """


_REQUIRED = ("current", "wrap", "unwrap")
_OPTIONAL = ("current_for", "destroy")


def optional_functions(provider: object) -> dict[str, bool]:
    """Returns which optional functions the provider has.

    Raises a `TypeError` if the object lacks a required function, or has `destroy` without `current_for`.
    """
    for name in _REQUIRED:
        if not callable(getattr(provider, name, None)):
            raise TypeError(
                f"keys: the object has no function {name}; give a dict, 'drawn' or an object with the functions of a "
                "key provider"
            )
    for name in _OPTIONAL:
        function = getattr(provider, name, None)
        if function is not None and not callable(function):
            raise TypeError(f"keys: {name} is no function")
    has_key_per_tenant, can_destroy = (getattr(provider, name, None) is not None for name in _OPTIONAL)
    if can_destroy and not has_key_per_tenant:
        raise TypeError("keys: a provider with destroy needs current_for, because other tenants use the same host key")
    return {"has_key_per_tenant": has_key_per_tenant, "can_destroy": can_destroy}


def key_functions_of(provider: object) -> Callee:
    """Returns a function that calls the functions of this provider.

    The provider gets and returns `bytes`. The native module has hexadecimal digits in their place.
    """

    async def call(function: str, arguments: dict[str, Any]) -> Any:
        try:
            result = getattr(provider, function)(**_with_bytes(arguments))
            return _answer(function, await result if inspect.isawaitable(result) else result)
        except (KeyGone, Refused) as error:
            # These belong to other objects, and only for those their text is shown.
            raise RuntimeError from error

    return call


def _with_bytes(arguments: dict[str, Any]) -> dict[str, Any]:
    given = dict(arguments)
    for name in ("data_key", "context"):
        if name in given:
            given[name] = bytes.fromhex(given[name])
    if "wrapped" in given:
        wrapped = given["wrapped"]
        given["wrapped"] = {"host_key": wrapped["host_key"], "bytes": bytes.fromhex(wrapped["bytes"])}
    return given


def _answer(function: str, result: object) -> Any:
    """Returns the result with hexadecimal digits in place of bytes.

    A member of another type becomes `None`, and the native module refuses `None`.
    """
    if function == "unwrap":
        return _digits(result)
    if function == "wrap":
        return {"host_key": _text(result, "host_key"), "bytes": _digits(_member(result, "bytes"))}
    if function == "destroy":
        return {name: _text(result, name) for name in ("outcome", "key", "next")}
    return result if isinstance(result, str) else None


def _member(result: object, name: str) -> object:
    return result.get(name) if isinstance(result, dict) else None


def _text(result: object, name: str) -> str | None:
    member = _member(result, name)
    return member if isinstance(member, str) else None


def _digits(value: object) -> str | None:
    return value.hex() if isinstance(value, (bytes, bytearray, memoryview)) else None
