"""The host: opens the native module's host, and closes it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Generator
from os import PathLike, fspath
from types import TracebackType
from typing import Any, Literal, TypeAlias

from . import _logs, options
from ._background import Background
from ._connecting import Connecting
from ._connections import Connections
from ._core import Core, OnRequest
from ._native import Secret
from ._post import Callee, functions_of
from ._requests import refuse_printed, text_of
from .keys import key_functions_of, optional_functions
from .storage import Storage, check_functions
from .types import SecretInput

Apps: TypeAlias = list[options.TenantApp] | Callable[[str], list[options.App] | Awaitable[list[options.App]]]


def _apps_function(apps: Apps) -> Callee | None:
    """Returns the function that the native module calls for the apps of a tenant."""
    if not callable(apps):
        return None
    apps_of = apps
    return lambda _function, arguments: apps_of(arguments["tenant"])


class Opening:
    """A host that is opened by `await`, or by `async with`, which also closes it."""

    def __init__(self, open_host: Callable[[type[Core]], Coroutine[Any, Any, Host]]) -> None:
        #: Opens a host with a core of this class.
        self._open_host = open_host
        self._host: Host | None = None

    def __await__(self) -> Generator[Any, None, Host]:
        return self._open_host(Core).__await__()

    async def __aenter__(self) -> Host:
        self._host = await self._open_host(Core)
        return self._host

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._host is not None:
            await self._host.close()


class Host(Connecting, Connections, Background):
    """A host of the connector. Open one for each process, and close it at the end.

    If a task is cancelled while it waits for a function, the request goes on until its end, so no save is cut off.
    """

    __slots__ = ()

    def __init__(self) -> None:
        raise TypeError("open a host with `await Host.open(…)` or `async with Host.open(…) as host`")

    @staticmethod
    def _of(core: Core, plugin: str, actor: str | None, reason: str | None) -> Host:
        host = object.__new__(Host)
        host._core, host.plugin, host._actor, host._reason = core, plugin, actor, reason
        return host

    @staticmethod
    def open(
        *,
        storage: SecretInput | Storage,
        keys: options.HostKeys,
        apps: Apps,
        earlier_keys: options.EarlierKeys | None = None,
        tables: Literal["existing", "create", "migrate"] = "existing",
        fake: str | None = None,
        proxy: SecretInput | None = None,
        compiled_cache: str | PathLike[str] | None = None,
        allow_export: bool = False,
        refuse_unsealed_rows: bool = False,
        limits: options.Limits | None = None,
        deadlines: options.Deadlines | None = None,
        on_request: OnRequest | None = None,
    ) -> Opening:
        """Opens a host: `host = await Host.open(…)` or `async with Host.open(…) as host`.

        `docs/python.md` describes the options.
        """
        is_text = isinstance(storage, (str, Secret))
        if not is_text:
            check_functions(storage)
        is_option = isinstance(keys, (str, dict))
        given: dict[str, Any] = {
            "storage": storage if is_text else "foreign",
            "tables": tables,
            "keys": options.with_paths_as_text(keys) if is_option else {"foreign": optional_functions(keys)},
            "earlier_keys": options.with_paths_as_text(earlier_keys),
            "apps": None if callable(apps) else apps,
            "fake": fake,
            "proxy": proxy,
            "compiled_cache": None if compiled_cache is None else fspath(compiled_cache),
            "allow_export": allow_export,
            "refuse_unsealed_rows": refuse_unsealed_rows,
            "limits": {} if limits is None else limits,
            "deadlines": {} if deadlines is None else deadlines,
        }
        for app in apps if isinstance(apps, (list, tuple)) else ():
            if isinstance(app, dict):
                refuse_printed(app)

        async def open_host(core_class: type[Core]) -> Host:
            _logs.forward_logs()
            core = core_class(on_request)
            plugin = await core.open(
                given,
                storage=None if is_text else functions_of(storage),
                keys=None if is_option else key_functions_of(keys),
                apps=_apps_function(apps),
            )
            return Host._of(core, plugin, None, None)

        return Opening(open_host)

    def acting_as(self, actor: str) -> Host:
        """Returns a host that names this actor in events and logs. It shares everything else.

        Raises a `TypeError` if the actor is not a string, for example `None`. The end of its block with `async with`
        does not close it, and `close` closes the shared host.
        """
        return Host._of(self._core, self.plugin, text_of("acting_as", actor), self._reason)

    def because(self, reason: str) -> Host:
        """Returns a host that states this reason in events. It shares everything else.

        Raises a `TypeError` if the reason is not a string, for example `None`. The end of its block with `async with`
        does not close it, and `close` closes the shared host.
        """
        return Host._of(self._core, self.plugin, self._actor, text_of("because", reason))

    async def close(self) -> None:
        """Accepts no further requests, and waits until all requests have ended.

        It stops `sweep` and `shared_connections`, and ends `rotate_keys` in its pause.
        """
        await self._core.close()

    async def __aenter__(self) -> Host:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The block of a copy, such as `async with host.because(…)`, must not close the host that the copy shares.
        if self._actor is None and self._reason is None:
            await self.close()
