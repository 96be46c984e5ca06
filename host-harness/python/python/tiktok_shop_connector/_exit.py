"""Waits for requests that have begun, when the process exits."""

from __future__ import annotations

import atexit
import os
import time
from typing import Final

from ._native import NativeHost
from ._post import forget_offices
from ._waiting import REQUEST, Waiter, waiter

#: How long the exit waits: a request for tokens and its save end in this time.
_EXIT_SECONDS: Final = 40
#: How long the exit waits at a time. In between, Python handles signals, so Ctrl-C ends the waiting.
_SLICE_MS: Final = 200

#: The open hosts that the exit settles: it waits for their requests, and functions of Python fail. An async host with a
#: storage in Python is not one of them, because Python's functions can't work any more while the process exits.
_hosts: set[NativeHost] = set()

#: The open blocking hosts with a storage in Python, which the exit closes. Their thread still works while the process
#: exits.
_with_storage: set[NativeHost] = set()


def track(host: NativeHost) -> None:
    _hosts.add(host)


def track_with_storage(host: NativeHost) -> None:
    _with_storage.add(host)


def forget(host: NativeHost) -> None:
    _hosts.discard(host)
    _with_storage.discard(host)


@atexit.register
def _settle_all() -> None:
    end = time.monotonic() + _EXIT_SECONDS
    hosts, closing = list(_hosts), list[Waiter]()
    for host in list(_with_storage):
        try:
            closing.append(_begin_close(host))
        except OSError:
            # The process has no files left for a mailbox.
            hosts.append(host)
    # This stops the sweeps of every host, before the process waits for the first host.
    for host in hosts:
        host.settle(0)
    for host in hosts:
        while not host.settle(_SLICE_MS) and time.monotonic() < end:
            pass
    for waiting in closing:
        while waiting.message_within(_SLICE_MS) is None and time.monotonic() < end:
            pass


def _begin_close(host: NativeHost) -> Waiter:
    waiting = waiter()
    host.close(waiting.mailbox, REQUEST)
    return waiting


def _after_fork() -> None:
    _hosts.clear()
    _with_storage.clear()
    forget_offices()


os.register_at_fork(after_in_child=_after_fork)
