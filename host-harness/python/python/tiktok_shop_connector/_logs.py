"""Hands the logs of all hosts of this process to the logger `tiktok_shop_connector`."""

from __future__ import annotations

import atexit
import logging
import os
import select
import threading
import traceback
from typing import Any, Final

from . import _native

LOGGER: Final = logging.getLogger("tiktok_shop_connector")
# A platform that configures no logging sees no logs.
LOGGER.addHandler(logging.NullHandler())

_TRACE: Final = 5
_LEVELS: Final = {
    "trace": _TRACE,
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warn": logging.WARNING,
    "error": logging.ERROR,
}
_TURN: Final = 256


class _Forwarder:
    """The thread that fetches records."""

    def __init__(self) -> None:
        self.mailbox = _native.Mailbox()
        self.process = os.getpid()
        # The process may end while the thread waits.
        self._thread = threading.Thread(target=self._run, name="tiktok-shop-logs", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        poll = select.poll()
        poll.register(self.mailbox.fileno(), select.POLLIN)
        while True:
            poll.poll()
            self.fetch()

    def fetch(self) -> bool:
        """Hands the waiting records to the logger. Returns whether there were any."""
        messages = self.mailbox.take(_TURN)
        for _, _, record, _ in messages:
            try:
                _log(**record)
            except Exception:
                # A filter of the platform may raise an exception. The thread must go on, or all later records are lost.
                if logging.raiseExceptions:
                    traceback.print_exc()
        return len(messages) > 0


_lock: Final = threading.Lock()
_forwarder: _Forwarder | None = None


def forward_logs(level: int | None = None) -> None:
    """Hands the logs to the logger `tiktok_shop_connector`, from this level on.

    Without a level, it takes the level that the logger has now. `Host.open` calls this function. Call it after a change
    of the logger's level. The records contain no secret.
    """
    global _forwarder
    wanted = LOGGER.getEffectiveLevel() if level is None else level
    # The library sends too much rather than too little, and the logger drops the rest.
    word = next((word for word, at in reversed(_LEVELS.items()) if at <= wanted), "trace")
    with _lock:
        if _forwarder is None or _forwarder.process != os.getpid():
            _forwarder = _Forwarder()
        _native.forward_logs(word, _forwarder.mailbox)


def _log(level: str, target: str, message: str, fields: dict[str, Any]) -> None:
    at = _LEVELS[level]
    if not LOGGER.isEnabledFor(at):
        return
    text = _in_one_line(" ".join([message, *(f"{name}={value}" for name, value in fields.items())]))
    extra = {"target": target, "fields": fields}
    LOGGER.handle(LOGGER.makeRecord(LOGGER.name, at, target, 0, text, (), None, None, extra))


def _in_one_line(text: str) -> str:
    """Escapes control characters. An id may contain a line break, for example the tenant of a forged webhook."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


@atexit.register
def _flush() -> None:
    """Hands over the last records when the process exits."""
    if _forwarder is not None and _forwarder.process == os.getpid():
        while _forwarder.fetch():
            pass
