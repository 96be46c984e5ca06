"""The sessions of signed-in customers. A real platform has its own sign-in and its own sessions."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from tiktok_shop_connector import Secret

COOKIE: Final = "session"


@dataclass(frozen=True)
class Session:
    customer: str
    #: The secret of the session. The connector binds a consent to it.
    browser: Secret


class Sessions:
    """Keeps sessions in memory. Each visitor is signed in as a new customer."""

    def __init__(self) -> None:
        self._customers: dict[str, str] = {}

    def of(self, cookies: Mapping[str, str]) -> tuple[Session, bool]:
        """Returns the session with these cookies. Signs a new visitor in, and returns true if it did so."""
        value = cookies.get(COOKIE, "")
        is_new = value not in self._customers
        if is_new:
            value = secrets.token_hex(32)
            self._customers[value] = f"customer-{len(self._customers) + 1}"
        return Session(self._customers[value], Secret(value)), is_new
