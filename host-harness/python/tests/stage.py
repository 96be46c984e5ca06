"""What the tests share: a fake with a host, and the names of a customer."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final, TypedDict

from fake import Fake
from tiktok_shop_connector import Connection, Host, Secret, blocking


class OfCustomer(TypedDict):
    tenant: str
    customer: str


TENANT: Final = "tenant-1"
CUSTOMER: Final = "customer-7"
NAMED: Final[OfCustomer] = {"tenant": TENANT, "customer": CUSTOMER}
BROWSER: Final = Secret("a-session-secret-of-32-characters")
SHOP: Final = "7490000000000000001"
EIGHT_DAYS: Final = 8 * 86_400
#: The folder in which all hosts of the tests keep the compiled component.
COMPILED_CACHE: Final = os.environ.get("TIKTOK_SHOP_TEST_CACHE")


@dataclass
class Stage:
    fake: Fake
    host: Host

    async def connected(self, seller: str = "one-shop", customer: str = CUSTOMER) -> Connection:
        """Connects the customer with the fake's seller."""
        url = await self.host.begin_consent(tenant=TENANT, customer=customer, browser=BROWSER)
        query = self.fake.decide(url.expose(), seller)
        return await self.host.finish_consent(tenant=TENANT, browser=BROWSER, query=query)

    async def advance(self, seconds: int) -> None:
        """Moves the clocks of the fake and the host forward."""
        self.fake.ask("POST", "/clock/advance", {"seconds": seconds})
        await self.host.advance_clock(seconds=seconds)


@dataclass
class BlockingStage:
    fake: Fake
    host: blocking.Host

    def connected(self, seller: str = "one-shop", customer: str = CUSTOMER) -> Connection:
        """Connects the customer with the fake's seller."""
        url = self.host.begin_consent(tenant=TENANT, customer=customer, browser=BROWSER)
        query = self.fake.decide(url.expose(), seller)
        return self.host.finish_consent(tenant=TENANT, browser=BROWSER, query=query)

    def advance(self, seconds: int) -> None:
        """Moves the clocks of the fake and the host forward."""
        self.fake.ask("POST", "/clock/advance", {"seconds": seconds})
        self.host.advance_clock(seconds=seconds)
