"""The base of all functions of a host: it makes their requests, and names the actor and the reason."""

from __future__ import annotations

import asyncio
from typing import Any

from ._core import Core


class Requests:
    """Makes requests of a host."""

    __slots__ = ("_actor", "_core", "_reason", "plugin")

    #: The name and version of the component.
    plugin: str
    _core: Core
    _actor: str | None
    _reason: str | None

    async def _ask(self, operation: str, body: bytes | None = None, /, **arguments: Any) -> Any:
        return (await self._core.perform(operation, arguments, self._actor, self._reason, body))[0]

    async def _ask_until(self, operation: str, stop: asyncio.Event | None, /, **arguments: Any) -> Any:
        return (await self._core.perform_until(operation, arguments, self._actor, self._reason, stop))[0]
