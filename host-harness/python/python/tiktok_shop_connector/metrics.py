"""Counts and times the requests of hosts for Prometheus. Needs the package `prometheus_client`."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram

from .types import EndedRequest


class RequestMetrics:
    """Metrics of requests: `Host.open(…, on_request=RequestMetrics())`. One object serves all hosts of a process.

    The labels name no tenant, no customer and no shop.
    """

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        labels = ("operation", "outcome")
        self._requests = Counter("tiktok_shop_requests", "Requests that have ended", labels, registry=registry)
        self._seconds = Histogram("tiktok_shop_request_seconds", "Their time", labels, registry=registry)

    def __call__(self, ended: EndedRequest) -> None:
        self._requests.labels(ended.operation, ended.outcome).inc()
        self._seconds.labels(ended.operation, ended.outcome).observe(ended.seconds)
