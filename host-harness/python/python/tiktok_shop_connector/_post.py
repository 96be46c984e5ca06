"""Fetches the messages that the threads of the native module leave for an event loop.

Each event loop has a post office, which has a mailbox. The loop watches the file of the mailbox as it watches a socket.
So a thread never waits for Python, and an event loop never waits for a thread.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import itertools
from collections.abc import Callable
from typing import Any, Final, Protocol, TypeVar

from . import _native
from .errors import HostKeyMismatch, HostKeyUnavailable, HostKeyUnknown, KeyGone, Refused, error_of

T = TypeVar("T")

#: The maximum number of messages in one turn of the event loop. Further ones come in the next turn, so that the loop
#: serves its other callbacks in between.
_TURN: Final = 16


#: The exceptions whose code and text the native module gets. Of any other exception, it gets only the class.
_NAMED: Final = (Refused, KeyGone, HostKeyUnavailable, HostKeyUnknown, HostKeyMismatch)


class Reply(tuple[Any, "bytes | None"]):
    """The result of a request: the value, and the body of TikTok Shop's answer.

    The text of a task shows the result for which it waits, and a result may contain tokens.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return "<reply>"


class Callee(Protocol):
    """Calls a function of a Python object. The native module names the function."""

    def __call__(self, function: str, arguments: dict[str, Any], /) -> Any: ...


def functions_of(instance: object) -> Callee:
    """Returns a function that calls the functions of this object with keyword arguments."""
    return lambda function, arguments: getattr(instance, function)(**arguments)


class PostOffice:
    """The mailbox of an event loop, and the receivers of its messages."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.mailbox = _native.Mailbox()
        self._loop = loop
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._callees: dict[int, tuple[Callee, contextvars.Context]] = {}
        self._receivers: dict[int, Callable[[Any], object]] = {}
        #: The running functions, and how each one answers.
        self._tasks: dict[asyncio.Task[None], _native.Answer] = {}

    @property
    def is_over(self) -> bool:
        """Whether the event loop has ended, so nobody fetches the messages any more."""
        return self._loop.is_closed()

    def watch(self) -> None:
        """Begins to fetch messages."""
        self._loop.add_reader(self.mailbox.fileno(), self._fetch)

    def expect(self) -> tuple[int, asyncio.Future[Reply]]:
        """Returns a number for a request, and a future that gets the reply to this number."""
        number = next(self._numbers)
        future: asyncio.Future[Reply] = self._loop.create_future()
        self._waiting[number] = future
        return number, future

    def forget(self, number: int) -> None:
        """Forgets a request that was not made."""
        self._waiting.pop(number, None)

    def ask(self, make: Callable[[int], T]) -> tuple[T, asyncio.Future[Reply]]:
        """Makes a request with a number. Returns what `make` returns, and a future that gets the reply."""
        number, reply = self.expect()
        try:
            return make(number), reply
        except BaseException:
            self.forget(number)
            raise

    def register(self, callee: Callee, context: contextvars.Context) -> int:
        """Returns a number with which the native module calls functions. They run in a copy of this context."""
        number = next(self._numbers)
        self._callees[number] = (callee, context)
        return number

    def unregister(self, number: int) -> None:
        """Forgets an object or a receiver."""
        self._callees.pop(number, None)
        self._receivers.pop(number, None)

    def receive(self, receiver: Callable[[Any], object]) -> int:
        """Returns a number with which the native module sends values."""
        number = next(self._numbers)
        self._receivers[number] = receiver
        return number

    def discard(self) -> None:
        """Fails the calls that wait for functions of this event loop, which has ended."""
        for answer in list(self._tasks.values()):
            answer.error(None, "the event loop of a function of Python has ended")
        self._tasks.clear()
        # A call whose message is dropped fails, too.
        self.mailbox.close()

    def _fetch(self) -> None:
        for number, word, value, extra in self.mailbox.take(_TURN):
            if word == "ok" or word == "error":
                future = self._waiting.pop(number, None)
                # A cancelled caller does not wait any more.
                if future is None or future.done():
                    continue
                if word == "ok":
                    future.set_result(Reply((value, extra)))
                else:
                    future.set_exception(error_of(value))
            elif word == "call":
                self._start(number, value[0], value[1], extra)
            elif number in self._receivers:
                # A receiver that raises must not stop the other messages.
                self._loop.call_soon(self._receivers[number], value)

    def _start(self, number: int, function: str, arguments: dict[str, Any], answer: _native.Answer) -> None:
        """Starts a task that calls a function. If the object is gone, the answer is dropped, so the call fails."""
        if number not in self._callees:
            return
        callee, context = self._callees[number]
        task = context.copy().run(self._loop.create_task, call_function(callee, function, arguments, answer))
        # The event loop keeps only a weak reference to a task.
        self._tasks[task] = answer
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)


async def call_function(callee: Callee, function: str, arguments: dict[str, Any], answer: _native.Answer) -> None:
    """Calls a function, and answers with its result or its exception."""
    try:
        result = callee(function, arguments)
        answer.ok(await result if inspect.isawaitable(result) else result)
    except _NAMED as error:
        answer.error(*_described(function, error))
    except BaseException as error:
        # The text of another exception may contain a stored value, so only its class reaches logs.
        answer.error(None, _without_text(function, error))
        # `SystemExit` and the like also end the task. Without the answer, the request would wait for ever.
        if not isinstance(error, Exception):
            raise


def _described(function: str, error: Exception) -> tuple[str | None, str]:
    """Returns the code and the text of an error. Its class may be a subclass whose members do anything."""
    try:
        code = next(named.code for named in _NAMED if isinstance(error, named))
        # A text with a lone surrogate can't be passed on.
        return code, str(error).encode(errors="replace").decode()
    except Exception:
        return None, _without_text(function, error)


def _without_text(function: str, error: BaseException) -> str:
    # The library takes a word of more than 24 bytes for a token, unless it consists of small letters and dots. So the
    # name of the module is a word of its own.
    return f"{function} raised {type(error).__name__} of {type(error).__module__}"


_offices: dict[asyncio.AbstractEventLoop, PostOffice] = {}


def post_office() -> PostOffice:
    """Returns the post office of the running event loop."""
    loop = asyncio.get_running_loop()
    office = _offices.get(loop)
    return office if office is not None else _open_office(loop)


def _open_office(loop: asyncio.AbstractEventLoop) -> PostOffice:
    discard_closed_loops()
    office = PostOffice(loop)
    # The context of the caller must not stay alive as long as the event loop.
    contextvars.Context().run(office.watch)
    _offices[loop] = office
    return office


def discard_closed_loops() -> None:
    """Forgets the post offices of event loops that have ended."""
    for loop in list(_offices):
        if loop.is_closed():
            office = _offices.pop(loop, None)
            if office is not None:
                office.discard()


def forget_offices() -> None:
    """Forgets the post offices of the parent process, in a process that was forked."""
    _offices.clear()
