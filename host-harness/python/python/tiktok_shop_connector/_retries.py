"""Repeats a call while its error asks for a repetition."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from .errors import RetryAfterError, StorageConflictError

T = TypeVar("T")

#: The maximum number of repetitions after a storage conflict. There is no pause before them.
_MAX_CONFLICTS: Final = 3


async def with_retries(within_seconds: float, call: Callable[[], Awaitable[T]]) -> T:
    """Makes a call, and repeats it while its error asks for that.

    It waits for the pause of a `RetryAfterError`, and repeats up to three times at once after a `StorageConflictError`.
    No call begins later than `within_seconds` after the first. Raises a `ValueError` if this is less than 0 or NaN.
    """
    # With NaN, every comparison would be false, so the repetitions would never end.
    if not within_seconds >= 0:
        raise ValueError("with_retries: give the time in seconds as a number, 0 or more")
    end = time.monotonic() + within_seconds
    conflicts = 0
    while True:
        try:
            return await call()
        except RetryAfterError as error:
            pause = error.retry_after_ms / 1000
            if time.monotonic() + pause > end:
                raise
            await _pause(pause)
        except StorageConflictError:
            if conflicts == _MAX_CONFLICTS or time.monotonic() > end:
                raise
            conflicts += 1


async def _pause(seconds: float) -> None:
    """Waits. `blocking.with_retries` runs this without an event loop, so it then blocks the thread."""
    if asyncio._get_running_loop() is None:
        time.sleep(seconds)  # noqa: ASYNC251
    else:
        await asyncio.sleep(seconds)
