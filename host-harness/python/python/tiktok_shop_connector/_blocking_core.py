"""The core of a blocking host: its requests block the calling thread."""

from __future__ import annotations

import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from . import _component, _exit
from ._core import Core, OnRequest
from ._functions import FunctionThread
from ._logs import LOGGER
from ._post import Callee, Reply, call_function, discard_closed_loops
from ._waiting import REQUEST, Message, reply_of, waiter
from .types import EndedRequest

T = TypeVar("T")

#: The number of the function `handle`.
_HANDLE: Final = 2

#: How often a thread looks at the event `stop`.
_STOP_MS: Final = 100


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Runs a coroutine that blocks where others suspend, and returns its result."""
    try:
        coroutine.send(None)
    except StopIteration as ended:
        result: T = ended.value
        return result
    coroutine.close()
    raise RuntimeError("a request of a blocking host has suspended")


class BlockingCore(Core):
    """A core whose functions never suspend, so `run` needs no event loop for them."""

    def __init__(self, on_request: OnRequest | None) -> None:
        super().__init__(on_request)
        self._functions: FunctionThread | None = None
        #: The threads that receive a webhook now. One is here several times if `handle` receives another webhook.
        self._receiving: list[int] = []

    async def _open_native(
        self, options: dict[str, Any], storage: Callee | None, keys: Callee | None, apps: Callee | None
    ) -> Reply:
        if storage is None and keys is None and apps is None:
            with waiter() as waiting:
                component = (_component.FILE, _component.SHA256)
                self._native.open(waiting.mailbox, REQUEST, options, *component, None, None, None)
                message = waiting.message()
            opened = reply_of(message)
            _exit.track(self._native)
            return opened
        functions = FunctionThread()
        try:
            opened = functions.wait_for(super()._open_native(options, storage, keys, apps))
        except BaseException:
            functions.end()
            raise
        self._functions = functions
        if storage is not None:
            _exit.track_with_storage(self._native)
        return opened

    async def close(self) -> None:
        """Waits until all requests have ended. The end goes on if the wait is interrupted."""
        if threading.get_ident() in self._receiving:
            # It would wait for a function `handle` that waits for it, or that this thread would have to call.
            raise RuntimeError("close: this thread receives a webhook of the host, and would wait for itself")
        # A request that waits for a function of such a loop would never end.
        discard_closed_loops()
        with waiter() as waiting:
            self._native.close(waiting.mailbox, REQUEST)
            waiting.message()
        _exit.forget(self._native)
        self._forget_objects()
        if self._functions is not None:
            self._functions.end()

    async def perform(
        self, operation: str, arguments: dict[str, Any], actor: str | None, reason: str | None, body: bytes | None
    ) -> Reply:
        """Makes a request, and returns the reply. If the wait is interrupted, the request goes on."""
        reply = self._performed(operation, arguments, actor, reason, body)
        return await (reply if self._on_request is None else self._observed(operation, reply))

    async def _performed(
        self, operation: str, arguments: dict[str, Any], actor: str | None, reason: str | None, body: bytes | None
    ) -> Reply:
        with waiter() as waiting:
            self._native.perform(waiting.mailbox, REQUEST, operation, arguments, body, actor, reason)
            message = waiting.message()
        return reply_of(message)

    async def perform_until(
        self, operation: str, arguments: dict[str, Any], actor: str | None, reason: str | None, stop: object
    ) -> Reply:
        """Makes a request that `stop` stops: it finishes what has begun, and its reply says so.

        If the wait is interrupted, this stops the request, too, and does not wait for its end.
        """
        if stop is not None and not isinstance(stop, threading.Event):
            kind = f"{type(stop).__module__}.{type(stop).__qualname__}"
            raise TypeError(f"stop: the type is {kind}, and must be threading.Event")
        return await self._observed(operation, self._performed_until(operation, arguments, actor, reason, stop))

    async def _performed_until(
        self,
        operation: str,
        arguments: dict[str, Any],
        actor: str | None,
        reason: str | None,
        stop: threading.Event | None,
    ) -> Reply:
        with waiter() as waiting:
            stopper = self._native.perform(waiting.mailbox, REQUEST, operation, arguments, None, actor, reason)
            message: Message | None = None
            try:
                while stop is not None and not stop.is_set() and message is None:
                    message = waiting.message_within(_STOP_MS)
                if message is None:
                    if stop is not None:
                        stopper.stop()
                    message = waiting.message()
            except BaseException:
                stopper.stop()
                raise
        return reply_of(message)

    async def accept_webhook(
        self, arguments: dict[str, Any], actor: str | None, reason: str | None, body: bytes, handle: Callee
    ) -> Any:
        """Receives a webhook. `handle` runs on the calling thread."""
        accepted = self._accepted(arguments, actor, reason, body, handle)
        thread = threading.get_ident()
        self._receiving.append(thread)
        try:
            ended = await self._observed("accept-webhook", accepted)
        finally:
            self._receiving.remove(thread)
        return ended[0]

    async def _accepted(
        self, arguments: dict[str, Any], actor: str | None, reason: str | None, body: bytes, handle: Callee
    ) -> Reply:
        with waiter() as waiting:
            self._native.accept_webhook(waiting.mailbox, REQUEST, arguments, body, actor, reason, _HANDLE)
            message = waiting.message()
            while message[1] == "call":
                _, _, (function, of_function), answer = message
                await call_function(handle, function, of_function, answer)
                message = waiting.message()
        return reply_of(message)

    def _report(self, ended: EndedRequest) -> None:
        if self._on_request is None:
            return
        try:
            self._on_request(ended)
        except Exception:
            # The request has ended, so an error of the platform's function must not change its result.
            LOGGER.exception("on_request raised an exception", extra={"target": __name__, "fields": {}})
