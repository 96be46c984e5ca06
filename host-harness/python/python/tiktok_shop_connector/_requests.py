"""The base of all functions of a host: it makes their requests, and names the actor and the reason."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, Literal, TypeAlias

from ._core import Core
from ._native import Secret


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


#: A part of the text that a `Secret` prints.
_REDACTED: Final = str(Secret(""))

#: The secrets that the platform makes or keeps itself. Other secrets, such as `query`, arrive from a browser.
_OWN_SECRETS: Final = ("app_secret", "previous_app_secret", "browser", "state", "refresh_token", "access_token")


def refuse_printed(arguments: Mapping[str, object]) -> None:
    """Raises a `ValueError` if the text of a printed `Secret` takes the place of the secret.

    All secrets print the same text, so for example all browsers would have the same state.
    """
    for name in _OWN_SECRETS:
        value = arguments.get(name)
        text = value.expose() if isinstance(value, Secret) else value
        if isinstance(text, str) and _REDACTED in text:
            raise ValueError(
                f"{name}: the value is the text of a Secret that was printed; give the Secret itself, or what `expose` "
                "returns"
            )


class Requests:
    """Makes requests of a host."""

    __slots__ = ("_actor", "_core", "_reason", "plugin")

    #: The name and version of the component.
    plugin: str
    _core: Core
    _actor: str | None
    _reason: str | None

    async def _ask(self, operation: str, body: bytes | None = None, /, **arguments: Any) -> Any:
        refuse_printed(arguments)
        return (await self._core.perform(operation, arguments, self._actor, self._reason, body))[0]

    async def _ask_until(self, operation: str, stop: asyncio.Event | None, /, **arguments: Any) -> Any:
        return (await self._core.perform_until(operation, arguments, self._actor, self._reason, stop))[0]
