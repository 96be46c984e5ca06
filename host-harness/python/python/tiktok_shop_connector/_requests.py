"""The base of all functions of a host: it makes their requests, and names the actor and the reason."""

from __future__ import annotations

import asyncio
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from ._core import Core


class _Default(Enum):
    NOT_GIVEN = "not given"

    def __repr__(self) -> str:
        return "NOT_GIVEN"


#: The default of an argument that refuses `None`, because a missing value must not mean "everything".
NOT_GIVEN: Final = _Default.NOT_GIVEN
NotGiven: TypeAlias = Literal[_Default.NOT_GIVEN]


def given(function: str, without: str, **arguments: str | NotGiven) -> dict[str, str]:
    """Returns the arguments that the caller has given. Raises a `TypeError` for `None`.

    `without` says what the function applies to if the argument is left out.
    """
    named: dict[str, str] = {}
    for name, value in arguments.items():
        if value is NOT_GIVEN:
            continue
        # A caller without a type checker may pass it.
        if value is None:
            raise TypeError(f"{function}: {name} is None. If you mean {without}, leave the argument out")
        named[name] = value
    return named


def text_of(function: str, value: str) -> str:
    """Returns a text for the audit trail. If it is missing, the trail would silently name the platform itself."""
    # A caller without a type checker may pass something else.
    if not isinstance(value, str):
        raise TypeError(f"{function}: the argument is not a string")
    return value


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
