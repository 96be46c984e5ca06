"""Puts the platform together for a framework without an event loop, with the blocking host."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from prometheus_client import CollectorRegistry
from tiktok_shop_connector import TikTokShopError
from tiktok_shop_connector.blocking import Host
from tiktok_shop_connector.metrics import RequestMetrics

from .platform import AnyPlatform

log = logging.getLogger("shop_platform")

BlockingPlatform: TypeAlias = AnyPlatform[Host]


@contextmanager
def open_blocking_platform(
    *, tenant: str, consent_page: Callable[[str], str] = lambda link: link, **host_options: Any
) -> Iterator[BlockingPlatform]:
    """Opens the host, and sweeps in a thread. At the end, it waits until every token is saved."""
    registry = CollectorRegistry()
    with Host.open(**host_options, on_request=RequestMetrics(registry)) as host:
        stop = threading.Event()
        sweeping = threading.Thread(target=sweep_until, args=(stop, host), name="sweep")
        sweeping.start()
        try:
            yield BlockingPlatform(host, tenant, registry, consent_page)
        finally:
            stop.set()
            sweeping.join()


def sweep_until(stop: threading.Event, host: Host, every_seconds: float = 300) -> None:
    """Refreshes the due connections again and again."""
    while not stop.is_set():
        try:
            swept = host.sweep(stop=stop)
            level = logging.ERROR if swept.failed or swept.unusable else logging.INFO
            log.log(level, "swept: %d refreshed, %d failed", swept.refreshed, swept.failed)
        except TikTokShopError:
            log.exception("a sweep failed")
        stop.wait(every_seconds)
