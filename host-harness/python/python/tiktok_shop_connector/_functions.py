"""The thread on which the storage, the key provider and the function `apps` of a blocking host run."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from ._post import discard_closed_loops

T = TypeVar("T")


class FunctionThread:
    """A thread with an event loop, so these functions may be plain or asynchronous, as those of the async host."""

    def __init__(self) -> None:
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        # The process may end while a host is open.
        self._thread = threading.Thread(target=self._run, name="tiktok-shop-functions", daemon=True)
        self._thread.start()

    def wait_for(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the thread, and blocks the calling thread until it has ended."""
        if self._thread.native_id == threading.get_native_id():
            # The event loop of a greenlet would seem to run in every greenlet, so all calls would be refused later.
            coroutine.close()
            raise RuntimeError(
                "threads of this process are greenlets, for example of gevent, so a blocking host can't call functions "
                "of Python: give the apps as a list, and no storage and no key provider of your own"
            )
        running = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return running.result()
        except BaseException:
            running.cancel()
            raise

    def end(self) -> None:
        """Lets the thread end. Does not wait for it, because a function may block it."""
        # A forked process has no such thread, and must not disturb that of its parent.
        if self._process == os.getpid():
            # Another thread may have ended it already.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._loop.stop)

    def _run(self) -> None:
        try:
            self._loop.run_forever()
            self._loop.run_until_complete(_cancel_others())
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        finally:
            self._loop.close()
            discard_closed_loops()


async def _cancel_others() -> None:
    """Cancels the functions that still run. They took too long, and must not write later."""
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
