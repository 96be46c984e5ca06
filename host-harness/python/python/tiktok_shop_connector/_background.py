"""The functions of a host that a platform calls for itself: webhooks, events, sweeps and keys."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterable
from typing import Any

from . import _values, types
from ._requests import Requests
from .errors import error_of


class Background(Requests):
    """Receives webhooks, keeps connections alive, and manages keys."""

    __slots__ = ()

    async def accept_webhook(
        self,
        *,
        tenant: str,
        authorization: str | None,
        body: bytes | bytearray | memoryview,
        handle: Callable[[types.Webhook], object],
        app: str | None = None,
    ) -> types.WebhookReply:
        """Receives a webhook, and calls `handle` unless it was handled before. Answer TikTok Shop with `status`.

        `handle` may be asynchronous. `authorization` is the value of this header. If the header is missing, pass
        `None`: the webhook is then forged. A forged or malformed webhook raises no exception. `body` is the raw body of
        the request, because the signature covers its bytes.
        """
        sent = _values.raw_bytes(body)
        if not callable(handle):
            raise TypeError(f"handle: the type is {type(handle).__name__}, and must be a function")
        failures: list[BaseException] = []

        async def call_handle(_function: str, arguments: dict[str, Any]) -> None:
            try:
                result = handle(_values.webhook(arguments))
                if inspect.isawaitable(result):
                    await result
            except BaseException as error:
                failures.append(error)
                raise

        named = {"tenant": tenant, "app": app, "authorization": authorization or ""}
        value = await self._core.accept_webhook(named, self._actor, self._reason, sent, call_handle)
        error = error_of(value["error"]) if value["error"] else next(iter(failures), None)
        return types.WebhookReply(value["status"], value["reply"], error)

    async def receive_webhook(
        self,
        *,
        tenant: str,
        authorization: str | None,
        body: bytes | bytearray | memoryview,
        app: str | None = None,
    ) -> types.Webhook:
        """Checks a webhook and records its effect. It does not notice repetitions."""
        named = {"tenant": tenant, "app": app, "authorization": authorization or ""}
        return _values.webhook(await self._ask("receive-webhook", _values.raw_bytes(body), **named))

    async def events(self, *, tenant: str, after: str | None = None, limit: int = 100) -> list[types.Event]:
        """Returns the tenant's events behind the position `after`. `limit` is at least 1 and at most 1000."""
        return _values.events(await self._ask("events", tenant=tenant, after=after, limit=limit))

    # Work in the background.

    async def sweep(
        self,
        *,
        concurrency: int | None = None,
        jitter_seconds: float | None = None,
        stop: asyncio.Event | None = None,
    ) -> types.Swept:
        """Refreshes all due connections. The result says whether `stop` ended the sweep early."""
        named = {"concurrency": concurrency, "jitter_seconds": jitter_seconds}
        return _values.swept(await self._ask_until("sweep", stop, **named))

    # Keys.

    async def key_status(self) -> types.KeyStatus:
        """Returns the data keys, and the host keys that wrap them."""
        return _values.key_status(await self._ask("key-status"))

    async def check_keys(self) -> None:
        """Raises an error if a host key does not open a data key."""
        await self._ask("check-keys")

    async def check_host_keys(self, *, tenants: Iterable[str] | None = None) -> types.HostKeyCheck:
        """Returns which host keys open the stored data keys. Call it at the start, before other calls.

        If `fits_nothing` of the result is true, do not start. With `tenants`, the data keys of these tenants decide, or
        those of all if they have none. Without it, one data key that opens is enough, so the broken key of one tenant
        does not prevent the start.
        """
        names = None if tenants is None else _values.names("tenants", tenants)
        value = await self._ask("check-host-keys", tenants=names)
        return _values.host_key_check(value)

    async def rotate_keys(self) -> types.Rotated:
        """Gives every tenant a new data key under the current host key. Takes at least three minutes.

        If the host is closed meanwhile, the rotation ends in its pause with the code `host-closed`. The next call
        continues.
        """
        return _values.rotated(await self._ask("rotate-keys"))

    async def add_host_key(self) -> str:
        """Adds a host key to the key file, and returns its id."""
        return _values.host_key(await self._ask("add-host-key"))

    async def promote_host_key(self, *, host_key: str) -> None:
        """Makes a host key of the key file the current one."""
        await self._ask("promote-host-key", host_key=host_key)

    async def retire_host_key(self, *, host_key: str) -> None:
        """Removes an unused host key from the key file."""
        await self._ask("retire-host-key", host_key=host_key)

    async def erase_tenant(self, *, tenant: str) -> types.Erased | None:
        """Deletes everything of a tenant, also its own host key, if possible.

        Returns `None` if nothing was stored for the tenant.
        """
        return _values.erased(await self._ask("erase-tenant", tenant=tenant))

    async def advance_clock(self, *, seconds: int) -> None:
        """Moves the clock of a host with a fake forward. For tests."""
        await self._ask("advance-clock", seconds=seconds)
