"""A host of the TikTok Shop connector on wasmtime-py: runs each call of the component in a fresh instance."""

from wasmtime import Config, Engine, Store
from wasmtime.component import Component, Linker

import wasi
from values import Variant, record

PACKAGE = "tiktok-shop:connector"
VERSION = "0.2.0"
STORAGE = ("accounts", "list", "load", "swap", "owners")
MEMORY_BYTES = 64 * 1024 * 1024
INSTRUCTIONS = 5_000_000_000


class ConnectorError(Exception):
    """An error of the component. `action` says what to do next, and `failure` has the code for statistics."""

    def __init__(self, error):
        self.action = error.tag
        self.after_ms = getattr(error.payload, "after-ms", None)
        self.failure = getattr(error.payload, "failure", error.payload)
        super().__init__(f"{self.action}: {self.failure.code}: {self.failure.detail}")


class Host:
    """`apps` are the credentials of one tenant, by app key."""

    def __init__(self, component, storage, apps, egress, clock=None):
        config = Config()
        # The component may compute for a limited number of instructions. A limit of time would also count the time
        # that the component waits for an import, and end a call between two steps.
        config.consume_fuel = True
        self._engine = Engine(config)
        self._component = Component.from_file(self._engine, component)
        functions = {name: getattr(storage, name) for name in STORAGE}
        self._imports = {"app-credentials": credentials(apps), "storage": functions}
        self._egress, self._clock = egress, clock or wasi.Clock()

    def call(self, export, *arguments):
        """Calls an export of the component. Arguments and results have the form that wasmtime-py gives them.

        Raises `ConnectorError`. After every other exception, it is unknown how far the call came.
        """
        store = Store(self._engine)
        store.set_limits(memory_size=MEMORY_BYTES)
        store.set_fuel(INSTRUCTIONS)
        instance = self._linker().instantiate(store, self._component)
        interface = instance.get_export_index(store, f"{PACKAGE}/connector@{VERSION}")
        function = instance.get_func(store, instance.get_export_index(store, export, interface))
        result = function(store, *arguments)
        if isinstance(result, Variant):
            raise ConnectorError(result)
        return result

    def _linker(self):
        linker = Linker(self._engine)
        wasi.define(linker, self._clock, self._egress)
        with linker.root() as root:
            for name, functions in self._imports.items():
                with root.add_instance(f"{PACKAGE}/{name}@{VERSION}") as instance:
                    for function, run in functions.items():
                        instance.add_func(function, guarded(run))
        return linker


def guarded(run):
    """An exception in an import would end the call between two steps. So it becomes an error of the storage. Its text
    may contain what was stored, so only the class of the exception is passed on."""

    def guard(_store, *arguments):
        try:
            return run(*arguments)
        except Exception as error:
            return Variant("unavailable", type(error).__name__)

    return guard


def credentials(apps):
    """`app-credentials`: the apps of the tenant."""

    def of_app(key):
        return record(**apps[key]) if key in apps else Variant("refused", "no such app")

    return {"apps": lambda: list(apps), "of-app": of_app}
