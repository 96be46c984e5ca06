"""Puts the platform together: the host, the sweeps and the metrics, and their common end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeAlias, TypeVar

from prometheus_client import CollectorRegistry
from tiktok_shop_connector import Host, TikTokShopError, Webhook, blocking
from tiktok_shop_connector.metrics import RequestMetrics

from .sessions import Sessions

log = logging.getLogger("shop_platform")
AnyHost = TypeVar("AnyHost", Host, blocking.Host)


@dataclass(frozen=True)
class QueuedEvent:
    """An event of TikTok Shop, and the customers who may see it."""

    event_type: int
    shop: str | None
    data: str
    customers: list[str]


@dataclass
class AnyPlatform(Generic[AnyHost]):
    """The parts of the platform that the routes use. The host is asynchronous, or it blocks."""

    host: AnyHost
    tenant: str
    registry: CollectorRegistry
    #: May change the link to TikTok Shop's consent page, for a fake.
    consent_page: Callable[[str], str]
    sessions: Sessions = field(default_factory=Sessions)
    #: A real platform has a durable queue.
    events: list[QueuedEvent] = field(default_factory=list)

    def queue(self, webhook: Webhook) -> None:
        """Queues an event. If this function raised an exception, TikTok Shop would send the webhook again."""
        customers = [owner.customer for owner in webhook.owners if owner.may_use]
        self.events.append(QueuedEvent(webhook.event_type, webhook.shop, webhook.data, customers))


Platform: TypeAlias = AnyPlatform[Host]


@asynccontextmanager
async def open_platform(
    *, tenant: str, consent_page: Callable[[str], str] = lambda link: link, **host_options: Any
) -> AsyncIterator[Platform]:
    """Opens the host, and sweeps in the background. At the end, it waits until every token is saved."""
    registry = CollectorRegistry()
    async with Host.open(**host_options, on_request=RequestMetrics(registry)) as host:
        stop = asyncio.Event()
        sweeping = asyncio.create_task(sweep_until(stop, host))
        try:
            yield Platform(host, tenant, registry, consent_page)
        finally:
            stop.set()
            await sweeping


async def sweep_until(stop: asyncio.Event, host: Host, every_seconds: float = 300) -> None:
    """Refreshes the due connections again and again."""
    while not stop.is_set():
        try:
            swept = await host.sweep(stop=stop)
            level = logging.ERROR if swept.failed or swept.unusable else logging.INFO
            log.log(level, "swept: %d refreshed, %d failed", swept.refreshed, swept.failed)
        except TikTokShopError:
            log.exception("a sweep failed")
        try:
            await asyncio.wait_for(stop.wait(), every_seconds)
        except TimeoutError:
            continue
