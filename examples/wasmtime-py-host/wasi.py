"""The part of WASI 0.2 that the component imports: clocks, random numbers, streams and outgoing HTTP.

wasmtime-py has an implementation of its own (`Linker.add_wasip2`, `add_wasi_http`). It has no allow list, no deadlines
and no hook, so it cannot be used here: see `docs/hosts.md`. A request is sent as a whole when the component waits for
its answer, so nothing in this file runs in the background.
"""

import io
import secrets
import time

from wasmtime.component import ResourceHost, ResourceType

from egress import Refused, Request
from values import Variant, record

CHUNK = 64 * 1024
# wasmtime-py wants a `Variant` where it cannot tell the cases of a result apart by the classes of their values.
OK = Variant("ok")


class Clock:
    """The system's clocks. Tests move the time of day forward."""

    def __init__(self):
        self.ahead = 0

    def now(self):
        return time.time() + self.ahead

    def monotonic_ns(self):
        return time.monotonic_ns()


class Resources:
    """The objects that one instance of the component holds, by their numbers."""

    def __init__(self):
        self._kinds, self._objects = {}, {}

    def kind(self, name):
        """Returns the number of a resource type, for example of `fields`."""
        return self._kinds.setdefault(name, len(self._kinds))

    def own(self, name, thing):
        """Gives the component an object. The component owns the resource."""
        number = len(self._objects) + 1
        self._objects[number] = thing
        return ResourceHost.own(number, self.kind(name))

    def look(self, store, resource):
        """Returns the object of an argument. wasmtime ends the call with an error if a host function keeps a borrowed
        resource. `to_host` gives it back."""
        return self._objects[resource.to_host(store).rep]


def define(linker, clock, egress, random=lambda: secrets.randbits(64)):
    """Adds all WASI imports of the component to a linker. The linker is for one instance."""
    resources = Resources()
    own, look = resources.own, resources.look

    def time_of_day(_store):
        now = clock.now()
        return record(seconds=int(now), nanoseconds=int(now % 1 * 1e9))

    def method(name):
        """`set-method`, `set-scheme` and so on: each stores one value."""

        def store_value(store, request, value):
            setattr(look(store, request), name, value.tag if isinstance(value, Variant) else value)
            return OK

        return store_value

    def write(store, stream, data):
        look(store, stream).body += data
        return OK

    def answer(store, future):
        request = look(store, future)
        try:
            return Variant("some", own("incoming-response", egress.send(request)))
        except Refused as refused:
            return Variant("some", refused.code)

    def blocking_read(store, stream, length):
        return look(store, stream).read(min(length, CHUNK)) or None  # None is `closed`

    interfaces = {
        "wasi:clocks/wall-clock@0.2.2": {"now": time_of_day},
        "wasi:clocks/monotonic-clock@0.2.2": {"now": lambda _: clock.monotonic_ns()},
        "wasi:random/random@0.2.2": {"get-random-u64": lambda _: random()},
        "wasi:io/error@0.2.2": {"error": None},
        "wasi:io/poll@0.2.2": {"pollable": None, "[method]pollable.block": lambda store, it: look(store, it) and None},
        "wasi:io/streams@0.2.2": {
            "input-stream": None,
            "[method]input-stream.blocking-read": blocking_read,
            "output-stream": None,
            "[method]output-stream.check-write": lambda store, it: look(store, it) and CHUNK,
            "[method]output-stream.write": write,
            "[method]output-stream.flush": lambda store, it: look(store, it) and OK,
            "[method]output-stream.subscribe": lambda store, it: look(store, it) and own("pollable", True),
        },
        "wasi:http/types@0.2.2": {
            "fields": None,
            "[static]fields.from-list": lambda _, entries: own("fields", entries),
            "[method]fields.entries": lambda store, it: look(store, it),
            "request-options": None,
            "[constructor]request-options": lambda _: own("request-options", True),
            "[method]request-options.set-connect-timeout": lambda store, it, _: look(store, it) and OK,
            "outgoing-request": None,
            "[constructor]outgoing-request": lambda store, it: own("outgoing-request", Request(look(store, it))),
            "[method]outgoing-request.set-method": method("method"),
            "[method]outgoing-request.set-scheme": method("scheme"),
            "[method]outgoing-request.set-authority": method("authority"),
            "[method]outgoing-request.set-path-with-query": method("path_with_query"),
            "[method]outgoing-request.body": lambda store, it: own("outgoing-body", look(store, it)),
            "outgoing-body": None,
            "[method]outgoing-body.write": lambda store, it: own("output-stream", look(store, it)),
            "[static]outgoing-body.finish": lambda store, it, _trailers: look(store, it) and None,
            "future-incoming-response": None,
            "[method]future-incoming-response.subscribe": lambda store, it: look(store, it) and own("pollable", True),
            "[method]future-incoming-response.get": answer,
            "incoming-response": None,
            "[method]incoming-response.status": lambda store, it: look(store, it).status,
            "[method]incoming-response.headers": lambda store, it: own("fields", look(store, it).headers),
            "[method]incoming-response.consume": lambda store, it: own("incoming-body", look(store, it)),
            "incoming-body": None,
            "[method]incoming-body.stream": lambda store, it: own("input-stream", io.BytesIO(look(store, it).body)),
        },
        "wasi:http/outgoing-handler@0.2.2": {
            "handle": lambda store, request, _options: own("future-incoming-response", look(store, request)),
        },
    }
    with linker.root() as root:
        for name, functions in interfaces.items():
            with root.add_instance(name) as instance:
                for function, run in functions.items():
                    if run is None:
                        instance.add_resource(function, ResourceType.host(resources.kind(function)), lambda _, __: None)
                    else:
                        instance.add_func(function, run)
