"""A key provider in Python: it keeps host keys in the memory of this process. A real one asks a key service.

Python has no authenticated cipher, so this one uses HMAC-SHA-256 as a stream and as a tag. Do not use it elsewhere.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from tiktok_shop_connector import HostKeyMismatch, HostKeyUnknown, WrappedDataKey
from tiktok_shop_connector.keys import Destruction

_NONCE: Final = 16
_TAG: Final = 32


def _digest(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(len(part).to_bytes(4, "big") + part for part in parts), hashlib.sha256).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


class MemoryKeys:
    """One host key for all tenants."""

    def __init__(self) -> None:
        self._keys: dict[str, bytes] = {}
        #: The data keys that were seen, which must not appear in logs and errors.
        self.seen: set[bytes] = set()
        self.promote("host-1")

    def promote(self, host_key: str) -> None:
        """Makes this host key the current one. Draws it if it does not exist."""
        self._keys.setdefault(host_key, secrets.token_bytes(32))
        self._current = host_key

    def remove(self, host_key: str) -> None:
        del self._keys[host_key]

    def current(self) -> str:
        return self._current

    async def wrap(self, *, tenant: str, data_key: bytes, context: bytes) -> WrappedDataKey:
        return self.wrap_with(self.current(), data_key, context)

    async def unwrap(self, *, tenant: str, wrapped: WrappedDataKey, context: bytes) -> bytes:
        key = self._keys.get(wrapped["host_key"])
        if key is None:
            raise HostKeyUnknown
        whole = wrapped["bytes"]
        nonce, sealed, tag = whole[:_NONCE], whole[_NONCE:-_TAG], whole[-_TAG:]
        if not hmac.compare_digest(tag, _digest(key, b"tag", nonce, sealed, context)):
            raise HostKeyMismatch
        data_key = _xor(sealed, _digest(key, b"stream", nonce))
        self.seen.add(data_key)
        return data_key

    def wrap_with(self, host_key: str, data_key: bytes, context: bytes) -> WrappedDataKey:
        self.seen.add(data_key)
        key, nonce = self._keys[host_key], secrets.token_bytes(_NONCE)
        sealed = _xor(data_key, _digest(key, b"stream", nonce))
        return {"host_key": host_key, "bytes": nonce + sealed + _digest(key, b"tag", nonce, sealed, context)}


class TenantKeys(MemoryKeys):
    """A host key for each tenant."""

    def __init__(self) -> None:
        super().__init__()
        self._tenants: dict[str, str] = {}
        self.destroyed: list[tuple[str, list[str]]] = []

    def current(self) -> str:
        return "tenants.*"

    def current_for(self, *, tenant: str) -> str:
        if tenant not in self._tenants:
            raise HostKeyUnknown
        return self._tenants[tenant]

    async def wrap(self, *, tenant: str, data_key: bytes, context: bytes) -> WrappedDataKey:
        host_key = self._tenants.setdefault(tenant, f"tenants.{tenant}:v1")
        self.promote(host_key)
        return self.wrap_with(host_key, data_key, context)

    async def destroy(self, *, tenant: str, wrapped_by: list[str]) -> Destruction:
        self.destroyed.append((tenant, wrapped_by))
        host_key = self._tenants.get(tenant)
        if host_key is None:
            return {"outcome": "destroyed"}
        if host_key not in wrapped_by:
            return {"outcome": "not-allowed", "key": host_key, "next": "ask the administrator"}
        self.remove(host_key)
        del self._tenants[tenant]
        return {"outcome": "destroyed"}
