"""Replays the transcripts of a folder with the component: answers each import with the answer in the transcript,
writes a transcript of its own, and compares the two. There is no clock, no randomness and no network."""

import os
import sys
from pathlib import Path

from wasmtime import Engine, Store
from wasmtime.component import Component, FuncType, Linker

import wasi
from egress import Answer, Refused
from host import PACKAGE, STORAGE, VERSION
from transcript import Call, Crash, Differs

ROOT = Path(__file__).resolve().parents[2]
EXPORTS = f"{PACKAGE}/connector@{VERSION}"
IMPORTS = {"app-credentials": ("apps", "of-app"), "storage": STORAGE}


class Recorded:
    """The clocks, the random numbers and the network of one call, as in its transcript."""

    def __init__(self, call):
        self._call = call

    def now(self):
        return self._call.answer("wall-clock.now", []).seconds

    def monotonic_ns(self):
        return self._call.answer("monotonic-clock.now", [])

    def random(self):
        return self._call.answer("random.get-random-u64", [])

    def send(self, request):
        answer = self._call.request(request)
        if "err" in answer:
            raise Refused(answer["err"]["case"])
        ok = answer["ok"]
        headers = [(name, value.encode()) for name, value in ok["headers"]]
        return Answer(ok["status"], headers, ok["body"]["text"].encode())


class Replay:
    def __init__(self, component):
        self._engine = Engine()
        self._component = Component.from_file(self._engine, component)
        self._types = types(self._component.type, self._engine)

    def call(self, lines):
        """Replays one call in a fresh instance. Returns the lines that it wrote."""
        call = Call(lines, self._types)
        name, values = call.begin()
        store = Store(self._engine)
        instance = self._linker(call).instantiate(store, self._component)
        index = instance.get_export_index(store, name, instance.get_export_index(store, EXPORTS))
        try:
            call.end(name, instance.get_func(store, index)(store, *values))
        except Crash:
            pass
        return call.written

    def _linker(self, call):
        linker, recorded = Linker(self._engine), Recorded(call)
        wasi.define(linker, recorded, recorded, recorded.random)
        with linker.root() as root:
            for interface, functions in IMPORTS.items():
                with root.add_instance(f"{PACKAGE}/{interface}@{VERSION}") as instance:
                    for function in functions:
                        instance.add_func(function, answered(call, f"{interface}.{function}"))
        return linker


def answered(call, name):
    return lambda _store, *arguments: call.answer(name, arguments)


def types(component, engine):
    """Returns the types of the functions by their names: `storage.load` is an import, and `refresh` an export."""
    found = dict(component.exports(engine)[EXPORTS].ty.exports(engine))
    for interface, item in component.imports(engine).items():
        short = interface.split("/")[1].split("@")[0]
        found |= {f"{short}.{name}": function for name, function in item.ty.exports(engine).items()}
    kinds = {name: item.ty for name, item in found.items()}
    return {name: kind for name, kind in kinds.items() if isinstance(kind, FuncType)}


def calls(transcript):
    """Returns the lines of each call. A call begins with the line of its export."""
    found = []
    for line in transcript.rstrip("\n").split("\n"):
        if line.startswith('{"export":'):
            found.append([])
        found[-1].append(line)
    return found


def main():
    component = Path(os.environ.get("TIKTOK_SHOP_COMPONENT", ROOT / "target/dist/tiktok_shop_connector.wasm"))
    folder = Path(os.environ.get("TIKTOK_SHOP_TEST_TRANSCRIPTS", ROOT / "target/transcripts"))
    files = sorted(folder.glob("*.jsonl"))
    if not component.exists() or not files:
        command = "cargo xtask simulate --component --seeds 10 --transcripts target/transcripts"
        sys.exit(f"the component or the transcripts are missing: run `{command}`")
    replay, failed = Replay(str(component)), 0
    for file in files:
        transcript = file.read_text(encoding="utf-8")
        try:
            written = [line for lines in calls(transcript) for line in replay.call(lines)]
            if "".join(f"{line}\n" for line in written) != transcript:
                raise Differs("a call ended before its transcript")
        except Exception as error:
            failed += 1
            print(f"FAILED  {file.name}: {type(error).__name__}: {error}")
    print(f"wasmtime-py host: {len(files) - failed} transcripts passed, {failed} failed")
    return failed > 0


if __name__ == "__main__":
    sys.exit(main())
