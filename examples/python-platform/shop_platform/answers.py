"""The answers of the platform, for all frameworks."""

from __future__ import annotations

import math
from typing import Protocol

from tiktok_shop_connector import InvalidRequestError, ReauthorizeError, RetryAfterError, TikTokShopError

#: The largest webhook that the platform reads.
MAX_BODY_BYTES = 256 * 1024


class Headers(Protocol):
    """The headers of a request. Their names may have any case."""

    def get(self, name: str, default: str, /) -> str: ...


def is_same_site(headers: Headers) -> bool:
    """Returns false for a form that another site has sent."""
    return headers.get("sec-fetch-site", "none") in ("same-origin", "none")


def message_of(error: TikTokShopError) -> str:
    """Returns the name of the message for a consent that was not finished."""
    if error.code == "consent-refused":
        return "refused"
    if error.code == "other-browser":
        return "other-browser"
    return "start-again" if isinstance(error, ReauthorizeError) else "try-again"


def status_of(error: TikTokShopError) -> int:
    """Returns the HTTP status for an error."""
    if isinstance(error, RetryAfterError):
        return 503
    if isinstance(error, ReauthorizeError):
        return 409
    return 404 if isinstance(error, InvalidRequestError) else 500


def headers_of(error: TikTokShopError) -> dict[str, str]:
    """Returns the HTTP headers for an error."""
    if error.retry_after_ms is None:
        return {}
    return {"retry-after": str(math.ceil(error.retry_after_ms / 1000))}
