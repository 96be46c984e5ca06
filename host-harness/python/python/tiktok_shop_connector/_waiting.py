"""Waits for messages of the native module in a thread without an event loop.

Each request takes a mailbox of its own, and gives it back when its reply has arrived. If the wait is interrupted, the
mailbox is closed, so the late reply is dropped. So requests of several threads, of a function `handle` and of a signal
handler never read each other's messages.
"""

from __future__ import annotations

import os
import select
from types import TracebackType
from typing import Any, Final, TypeAlias

from . import _native
from ._post import Reply
from .errors import MisconfiguredError, error_of

#: A number, a word and two values, as `Mailbox.take` returns them.
Message: TypeAlias = tuple[int, str, Any, Any]

#: The number of the only request of a mailbox.
REQUEST: Final = 1

#: How long a thread waits at a time. In between, Python handles signals. A signal that arrives immediately before the
#: system call does not end the system call.
_SLICE_MS: Final = 250

#: The maximum number of mailboxes that are kept for later requests. Each has two files.
_MAX_IDLE: Final = 32


class Waiter:
    """A mailbox for one request, and the wait for its messages: `with waiter() as waiting: …`."""

    __slots__ = ("_poll", "_process", "mailbox")

    def __init__(self) -> None:
        self.mailbox = _native.Mailbox()
        self._process = os.getpid()
        self._poll = select.poll()
        self._poll.register(self.mailbox.fileno(), select.POLLIN)

    def message(self) -> Message:
        """Blocks this thread until there is a message. Other threads run meanwhile, and so do signal handlers."""
        while True:
            message = self.message_within(_SLICE_MS)
            if message is not None:
                return message

    def message_within(self, milliseconds: float) -> Message | None:
        """Blocks this thread until there is a message, or until this time has passed."""
        if self._is_forked():
            text = "this process was forked during a request; fork first, and then open a host in each process"
            raise MisconfiguredError("process-forked", text)
        self._poll.poll(milliseconds)
        messages = self.mailbox.take(1)
        return messages[0] if messages else None

    def __enter__(self) -> Waiter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            if len(_idle) < _MAX_IDLE:
                _idle.append(self)
        elif not self._is_forked():
            # Nobody reads the messages any more. If one of them calls `handle`, this call fails.
            self.mailbox.close()

    def _is_forked(self) -> bool:
        # The threads that write into the mailbox do not exist in a forked process.
        return self._process != os.getpid()


#: The mailboxes that no request uses.
_idle: Final[list[Waiter]] = []
os.register_at_fork(after_in_child=_idle.clear)


def waiter() -> Waiter:
    """Returns a mailbox that no other request uses."""
    try:
        waiting = _idle.pop()
    except IndexError:
        return Waiter()
    # uWSGI forks without calling the function above.
    return Waiter() if waiting._is_forked() else waiting


def reply_of(message: Message) -> Reply:
    """Returns the result of a request, or raises its error."""
    _, word, value, body = message
    if word == "error":
        raise error_of(value)
    return Reply((value, body))
