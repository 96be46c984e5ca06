"""A host for platforms without an event loop, such as Flask, Django under WSGI and Celery.

Its functions have the same arguments, results and errors as those of `tiktok_shop_connector.Host`. Each function blocks
the calling thread until its request has ended. Any number of threads may use a host at the same time.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, TypeVar

from . import _retries, types
from ._blocking_core import BlockingCore, run
from ._host import Host as AsyncHost
from ._host import Opening
from ._requests import NOT_GIVEN, NotGiven

__all__ = ["Host", "with_retries"]

P = ParamSpec("P")
T = TypeVar("T")


def _refuse_event_loop() -> None:
    """Raises a `RuntimeError` if an event loop runs in this thread, because the call would block it."""
    if asyncio._get_running_loop() is not None:
        raise RuntimeError(
            "an event loop runs in this thread, and this call would block it: use tiktok_shop_connector.Host there"
        )


def _blocking(function: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]]) -> Callable[Concatenate[Host, P], T]:
    """Returns a function of the blocking host that does the same as this one of the async host."""

    @functools.wraps(function)
    def call(host: Host, /, *args: P.args, **kwargs: P.kwargs) -> T:
        _refuse_event_loop()
        return run(function(host._host, *args, **kwargs))

    return _of_host(call)


def _opening(function: Callable[P, Opening]) -> Callable[P, Host]:
    """Returns a function that opens a blocking host with the options of the async one."""

    @functools.wraps(function)
    def open_host(*args: P.args, **kwargs: P.kwargs) -> Host:
        _refuse_event_loop()
        return Host._of(run(function(*args, **kwargs)._open_host(BlockingCore)))

    open_host.__doc__ = """Opens a host: `host = Host.open(…)` or `with Host.open(…) as host`.

        `docs/python.md` describes the options.
        """
    open_host.__signature__ = inspect.signature(function).replace(return_annotation="Host")  # type: ignore[attr-defined]
    return _of_host(open_host)


def _of_host(function: Callable[P, T]) -> Callable[P, T]:
    """Gives a function the name that it has in this module."""
    function.__module__ = __name__
    function.__qualname__ = f"Host.{function.__name__}"
    return function


class Host:
    """A host of the connector whose functions block. Open one for each process, and close it at the end.

    If a wait is interrupted, for example by Ctrl-C, the request goes on until its end, so no save is cut off.
    """

    __slots__ = ("_host",)

    #: The host whose coroutines block, so they need no event loop.
    _host: AsyncHost

    def __init__(self) -> None:
        raise TypeError("open a host with `Host.open(…)` or `with Host.open(…) as host`")

    @staticmethod
    def _of(async_host: AsyncHost) -> Host:
        host = object.__new__(Host)
        host._host = async_host
        return host

    open = staticmethod(_opening(AsyncHost.open))

    @property
    def plugin(self) -> str:
        """The name and version of the component."""
        return self._host.plugin

    # Consents, installs and imports.

    apps = _blocking(AsyncHost.apps)
    begin_consent = _blocking(AsyncHost.begin_consent)
    finish_consent = _blocking(AsyncHost.finish_consent)
    authorization_url = _blocking(AsyncHost.authorization_url)
    connect = _blocking(AsyncHost.connect)
    begin_install = _blocking(AsyncHost.begin_install)
    confirm_install = _blocking(AsyncHost.confirm_install)
    cancel_install = _blocking(AsyncHost.cancel_install)
    import_grant = _blocking(AsyncHost.import_grant)
    export_grant = _blocking(AsyncHost.export_grant)

    # Connections.

    refresh = _blocking(AsyncHost.refresh)
    list_shops = _blocking(AsyncHost.list_shops)
    list_connections = _blocking(AsyncHost.list_connections)
    left_out = _blocking(AsyncHost.left_out)
    tenant_connections = _blocking(AsyncHost.tenant_connections)
    link_shops = _blocking(AsyncHost.link_shops)
    access_token = _blocking(AsyncHost.access_token)
    call = _blocking(AsyncHost.call)
    disconnect = _blocking(AsyncHost.disconnect)

    def shared_connections(
        self,
        *,
        tenant: str,
        customer: str,
        account: str | NotGiven = NOT_GIVEN,
        shop: str | NotGiven = NOT_GIVEN,
        stop: threading.Event | None = None,
    ) -> types.SharedConnections:
        """Returns the connections of other customers that would lose shops by a revocation.

        It concerns an account or a shop. If both arguments are left out, it concerns all connections of the customer.
        An argument that is `None` raises a `TypeError`. Accounts that were not read before `stop` or `close` are in
        `shops_not_read`.
        """
        _refuse_event_loop()
        target: Any = {"account": account, "shop": shop, "stop": stop}
        return run(self._host.shared_connections(tenant=tenant, customer=customer, **target))

    # Webhooks, events and work in the background.

    def accept_webhook(
        self,
        *,
        tenant: str,
        authorization: str | None,
        body: bytes | bytearray | memoryview,
        handle: Callable[[types.Webhook], object],
        app: str | None = None,
    ) -> types.WebhookReply:
        """Receives a webhook, and calls `handle` unless it was handled before. Answer TikTok Shop with `status`.

        `handle` is a plain function, and runs on the calling thread. `authorization` is the value of this header. If
        the header is missing, pass `None`: the webhook is then forged. A forged or malformed webhook raises no
        exception. `body` is the raw body of the request, because the signature covers its bytes.
        """
        _refuse_event_loop()
        plain = _plain(handle)
        return run(
            self._host.accept_webhook(tenant=tenant, authorization=authorization, body=body, handle=plain, app=app)
        )

    receive_webhook = _blocking(AsyncHost.receive_webhook)
    events = _blocking(AsyncHost.events)

    def sweep(
        self,
        *,
        concurrency: int | None = None,
        jitter_seconds: float | None = None,
        stop: threading.Event | None = None,
    ) -> types.Swept:
        """Refreshes all due connections. The result says whether `stop` ended the sweep early."""
        _refuse_event_loop()
        event: Any = stop
        return run(self._host.sweep(concurrency=concurrency, jitter_seconds=jitter_seconds, stop=event))

    # Keys.

    key_status = _blocking(AsyncHost.key_status)
    check_keys = _blocking(AsyncHost.check_keys)
    check_host_keys = _blocking(AsyncHost.check_host_keys)
    rotate_keys = _blocking(AsyncHost.rotate_keys)
    add_host_key = _blocking(AsyncHost.add_host_key)
    promote_host_key = _blocking(AsyncHost.promote_host_key)
    retire_host_key = _blocking(AsyncHost.retire_host_key)
    erase_tenant = _blocking(AsyncHost.erase_tenant)
    advance_clock = _blocking(AsyncHost.advance_clock)

    # Copies, and the end.

    def acting_as(self, actor: str) -> Host:
        """Returns a host that names this actor in events and logs. It shares everything else.

        Raises a `TypeError` if the actor is not a string, for example `None`. The end of its block with `with` does not
        close it, and `close` closes the shared host.
        """
        return Host._of(self._host.acting_as(actor))

    def because(self, reason: str) -> Host:
        """Returns a host that states this reason in events. It shares everything else.

        Raises a `TypeError` if the reason is not a string, for example `None`. The end of its block with `with` does
        not close it, and `close` closes the shared host.
        """
        return Host._of(self._host.because(reason))

    close = _blocking(AsyncHost.close)

    def __enter__(self) -> Host:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The block of a copy, such as `with host.because(…)`, must not close the host that the copy shares.
        if self._host._actor is None and self._host._reason is None:
            self.close()


def _plain(handle: Callable[[types.Webhook], object]) -> Callable[[types.Webhook], object]:
    """Returns a function that fails if `handle` is asynchronous. Its work would never be done."""
    if not callable(handle):
        return handle

    def call(webhook: types.Webhook) -> None:
        result = handle(webhook)
        if inspect.isawaitable(result):
            if inspect.iscoroutine(result):
                result.close()
            raise TypeError("handle: the function is asynchronous; the blocking host needs a plain function")

    return call


def with_retries(within_seconds: float, call: Callable[[], T]) -> T:
    """Makes a call, and repeats it while its error asks for that.

    It blocks the thread for the pause of a `RetryAfterError`, and repeats up to three times at once after a
    `StorageConflictError`. No call begins later than `within_seconds` after the first.
    """
    _refuse_event_loop()

    async def made() -> T:
        return call()

    return run(_retries.with_retries(within_seconds, made))
