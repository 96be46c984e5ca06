"""The part that all copies of a host share: the host of the native module, its requests, and its end."""

from __future__ import annotations

import asyncio
import contextvars
import time
from collections.abc import Awaitable, Callable
from typing import Any

from . import _component, _exit, _native
from ._post import Callee, PostOffice, Reply, discard_closed_loops, post_office
from .errors import TikTokShopError
from .types import EndedRequest

OnRequest = Callable[[EndedRequest], object]


class Core:
    """A host that is open, or that is being opened."""

    def __init__(self, on_request: OnRequest | None) -> None:
        self._native = _native.NativeHost()
        self._on_request = on_request
        self._office: PostOffice | None = None
        self._objects: list[int] = []

    async def open(
        self, options: dict[str, Any], *, storage: Callee | None, keys: Callee | None, apps: Callee | None
    ) -> str:
        """Opens the host. Its Python objects are called on the event loop that runs now."""
        plugin, _ = await self._observed("open", self._open_native(options, storage, keys, apps))
        return str(plugin)

    async def _open_native(
        self, options: dict[str, Any], storage: Callee | None, keys: Callee | None, apps: Callee | None
    ) -> Reply:
        office = self._office = post_office()
        native = self._native

        def register(callee: Callee | None) -> int | None:
            if callee is None:
                return None
            self._objects.append(office.register(callee, contextvars.Context()))
            return self._objects[-1]

        objects = (register(storage), register(keys), register(apps))
        component = (_component.FILE, _component.SHA256)
        try:
            _, reply = office.ask(lambda number: native.open(office.mailbox, number, options, *component, *objects))
            opened = await reply
        except BaseException:
            self._forget_objects()
            raise
        if storage is None:
            _exit.track(native)
        return opened

    async def close(self) -> None:
        """Waits until all requests have ended. The end goes on if the caller stops waiting."""
        # A request that waits for a function of such a loop would never end.
        discard_closed_loops()
        office, native = post_office(), self._native
        _, closing = office.ask(lambda number: native.close(office.mailbox, number))
        closing.add_done_callback(self._closed)
        await asyncio.shield(closing)

    def _closed(self, _closing: asyncio.Future[Reply]) -> None:
        _exit.forget(self._native)
        self._forget_objects()

    def _forget_objects(self) -> None:
        if self._office is not None:
            for number in self._objects:
                self._office.unregister(number)

    def _post_office(self) -> PostOffice:
        """Returns the post office of the running event loop, for a request of the host."""
        # The event loop that runs the host's Python functions may have ended. Then a call of such a function must fail
        # at once, and not wait.
        if self._office is not None and self._office.is_over:
            discard_closed_loops()
        return post_office()

    async def perform(
        self, operation: str, arguments: dict[str, Any], actor: str | None, reason: str | None, body: bytes | None
    ) -> Reply:
        """Makes a request, and returns the reply. If the caller is cancelled, the request goes on."""
        office = self._post_office()
        number, reply = office.expect()
        try:
            self._native.perform(office.mailbox, number, operation, arguments, body, actor, reason)
        except BaseException:
            office.forget(number)
            raise
        if self._on_request is None:
            return await reply
        return await self._observed(operation, reply)

    async def perform_until(
        self,
        operation: str,
        arguments: dict[str, Any],
        actor: str | None,
        reason: str | None,
        stop: asyncio.Event | None,
    ) -> Reply:
        """Makes a request that `stop` stops: it finishes what has begun, and its reply says so.

        A cancelled caller stops it, too, and does not wait for its end.
        """
        if stop is not None and not isinstance(stop, asyncio.Event):
            # The `wait` of another event, such as `threading.Event`, would block the event loop.
            kind = f"{type(stop).__module__}.{type(stop).__qualname__}"
            raise TypeError(f"stop: the type is {kind}, and must be asyncio.Event")
        office, native = self._post_office(), self._native
        perform = native.perform
        stopper, reply = office.ask(
            lambda number: perform(office.mailbox, number, operation, arguments, None, actor, reason)
        )
        watching = None if stop is None else asyncio.ensure_future(_stop_when(stop, stopper))
        try:
            ended = await self._observed(operation, reply)
        except asyncio.CancelledError:
            stopper.stop()
            raise
        finally:
            if watching is not None:
                watching.cancel()
        if watching is not None and watching.done() and not watching.cancelled():
            # An event of another event loop can't be waited for. This raises its error.
            watching.result()
        return ended

    async def accept_webhook(
        self, arguments: dict[str, Any], actor: str | None, reason: str | None, body: bytes, handle: Callee
    ) -> Any:
        """Receives a webhook. `handle` runs in the context of the caller."""
        office, native = self._post_office(), self._native
        platform = office.register(handle, contextvars.copy_context())
        accept = native.accept_webhook
        try:
            _, reply = office.ask(
                lambda number: accept(office.mailbox, number, arguments, body, actor, reason, platform)
            )
        except BaseException:
            office.unregister(platform)
            raise
        # The request goes on if the caller is cancelled, so the function stays registered until the request has ended.
        reply.add_done_callback(lambda _: office.unregister(platform))
        return (await self._observed("accept-webhook", asyncio.shield(reply)))[0]

    async def _observed(self, operation: str, reply: Awaitable[Reply]) -> Reply:
        """Waits for a reply, and reports the end of the request."""
        began = time.perf_counter()
        try:
            ended = await reply
        except TikTokShopError as error:
            self._report(EndedRequest(operation, error.action, error.code, time.perf_counter() - began))
            raise
        word = ended[0]["reply"] if operation == "accept-webhook" else "ok"
        self._report(EndedRequest(operation, word, None, time.perf_counter() - began))
        return ended

    def _report(self, ended: EndedRequest) -> None:
        if self._on_request is None:
            return
        try:
            self._on_request(ended)
        except Exception as error:
            # The request has ended, so an error of the platform's function must not change its result.
            context = {"message": "on_request raised an exception", "exception": error}
            asyncio.get_running_loop().call_exception_handler(context)


async def _stop_when(stop: asyncio.Event, stopper: _native.Stopper) -> None:
    try:
        await stop.wait()
    finally:
        # Also if the event can't be waited for: a request that nobody could stop must not go on.
        stopper.stop()
