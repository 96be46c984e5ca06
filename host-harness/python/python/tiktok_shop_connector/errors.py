"""The errors of a host. There is one class for each action, which says what the platform does next."""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

Action: TypeAlias = Literal[
    "retry-after",
    "reauthorize",
    "misconfigured",
    "invalid-request",
    "upstream",
    "storage-conflict",
    "storage-failed",
    "internal",
]


class TikTokShopError(Exception):
    """An error of a host. It contains no secret. Each action has a class."""

    #: What to do next.
    action: Action = "internal"
    #: What happened. You may branch on the codes that docs/errors.md names. The others are for counting and for
    #: support. Later versions add codes.
    code: str
    #: What happened, as an English text for a log.
    message: str
    #: The pause before the same call may be made again, in milliseconds.
    retry_after_ms: int | None
    #: The HTTP status of TikTok Shop's answer, if TikTok Shop answered.
    tiktok_http_status: int | None
    #: TikTok Shop's id of the request, for TikTok Shop's support.
    tiktok_request_id: str | None

    def __init__(
        self,
        code: str,
        message: str,
        retry_after_ms: int | None = None,
        tiktok_http_status: int | None = None,
        tiktok_request_id: str | None = None,
    ) -> None:
        # All arguments go to `Exception`, so that a queue of tasks can pickle the error.
        super().__init__(code, message, retry_after_ms, tiktok_http_status, tiktok_request_id)
        self.code = code
        self.message = message
        self.retry_after_ms = retry_after_ms
        self.tiktok_http_status = tiktok_http_status
        self.tiktok_request_id = tiktok_request_id

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class RetryAfterError(TikTokShopError):
    """Make the same call again after `retry_after_ms`."""

    action: Action = "retry-after"
    retry_after_ms: int


class ReauthorizeError(TikTokShopError):
    """Ask the seller for a new consent."""

    action: Action = "reauthorize"


class MisconfiguredError(TikTokShopError):
    """An operator must correct the settings."""

    action: Action = "misconfigured"


class InvalidRequestError(TikTokShopError):
    """Correct the arguments."""

    action: Action = "invalid-request"


class UpstreamError(TikTokShopError):
    """Show the error, and do not repeat the call automatically."""

    action: Action = "upstream"


class StorageConflictError(TikTokShopError):
    """Make the same call again."""

    action: Action = "storage-conflict"


class StorageFailedError(TikTokShopError):
    """An operator must restore the storage. Then make the call again."""

    action: Action = "storage-failed"


class InternalError(TikTokShopError):
    """Report a bug."""

    action: Action = "internal"


_CLASSES: Final[dict[str, type[TikTokShopError]]] = {
    of.action: of
    for of in (
        RetryAfterError,
        ReauthorizeError,
        MisconfiguredError,
        InvalidRequestError,
        UpstreamError,
        StorageConflictError,
        StorageFailedError,
        InternalError,
    )
}


def error_of(described: dict[str, Any]) -> TikTokShopError:
    """Returns the error that the native module describes."""
    return _CLASSES.get(described.pop("action"), InternalError)(**described)


class Refused(Exception):
    """A storage of your own raises it if nothing was written, for example because of a limit.

    A function that provides apps raises it if it refuses a tenant. The text reaches logs, so it must contain no secret
    and no stored value.
    """

    code: Final = "refused"


class KeyGone(Exception):
    """A storage of your own raises it if the tenant no longer has the key with which a value is sealed."""

    code: Final = "key-gone"


class HostKeyUnavailable(Exception):
    """A key provider of your own raises it if it can't answer now.

    Its text reaches errors and logs, so it must contain no key.
    """

    code: Final = "host-key-unavailable"


class HostKeyUnknown(Exception):
    """A key provider of your own raises it if it has no host key with this id, or none for this tenant.

    Its text is not shown.
    """

    code: Final = "host-key-unknown"


class HostKeyMismatch(Exception):
    """A key provider of your own raises it if the host key does not unwrap this data key. Its text is not shown."""

    code: Final = "host-key-mismatch"
