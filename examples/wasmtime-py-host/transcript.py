"""A transcript of calls, and the component's values in it. `tests/component-simulation/README.md` describes the lines.

wasmtime-py gives many variants without the name of their case. So a value is read and written by its type.
"""

import json

from wasmtime.component import (
    ListType, OptionType, Record, RecordType, ResultType, S64, TupleType, U8, U64, Variant,
    VariantType,
)


class Crash(Exception):
    """The process of the call has crashed."""


class Differs(Exception):
    """The component does something else than in the transcript."""


class Call:
    """The lines of one call: answers the component's imports with them, and writes the lines again. `types` has the
    types of the imported and exported functions."""

    def __init__(self, lines, types):
        self._lines, self._types = lines, types
        self.written = []

    def begin(self):
        """Returns the export and its arguments."""
        line = json.loads(self._next())
        name, kinds = line["export"], [kind for _, kind in self._types[line["export"]].params]
        values = [read(kind, value) for kind, value in zip(kinds, line["arguments"])]
        self._write(f'{{"export":{quoted(name)},"arguments":[{",".join(map(text, kinds, values))}]}}')
        return name, values

    def answer(self, name, values):
        """Returns the answer to an import. The component must have called this import with these arguments."""
        function = self._types[name]
        kinds = [kind for _, kind in function.params]
        json_answer, written = self._asked(name, ",".join(map(text, kinds, values)))
        answer = read(function.result, json_answer)
        self._write(f'{written},"answer":{text(function.result, answer)}}}')
        return answer

    def request(self, request):
        """Returns the answer to a request over HTTP as JSON."""
        headers = [[name, value.decode()] for name, value in request.headers]
        sent = {"method": request.method, "authority": request.authority, "path-with-query": request.path_with_query,
                "headers": headers, "body": {"text": request.body.decode()}}
        answer, written = self._asked("http", quoted(sent))
        self._write(f'{written},"answer":{quoted(answer)}}}')
        return answer

    def end(self, name, result):
        self._write(f'{{"result":{text(self._types[name].result, result)}}}')

    def _asked(self, name, arguments):
        question = f'{{"import":{quoted(name)},"arguments":[{arguments}]'
        if not self._next().startswith(question):
            self._write(f"{question},…")
        line = json.loads(self._next())
        if "crash" in line:
            self._write(f'{question},"crash":true}}')
            raise Crash
        return line["answer"], question

    def _next(self):
        at = len(self.written)
        return self._lines[at] if at < len(self._lines) else "the end of the call"

    def _write(self, line):
        if line != self._next():
            raise Differs(f"\n  expected {self._next()}\n  but was  {line}")
        self.written.append(line)


def quoted(value):
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def text(kind, value):
    """Returns a value of this type as text."""
    if isinstance(kind, (U64, S64)):
        return f'"{value}"'
    if isinstance(kind, ListType):
        if isinstance(kind.element, U8):
            return f'{{"text":{quoted(value.decode())}}}'
        return f"[{','.join(text(kind.element, item) for item in value)}]"
    if isinstance(kind, TupleType):
        return f"[{','.join(map(text, kind.elements, value))}]"
    if isinstance(kind, RecordType):
        fields = (f"{quoted(name)}:{text(field, getattr(value, name))}" for name, field in kind.fields)
        return f"{{{','.join(fields)}}}"
    if isinstance(kind, OptionType):
        return "null" if value is None else text(kind.payload, value)
    if isinstance(kind, ResultType):
        name, payload_kind, payload = opened(kind, value)
        return f'{{"{name}":{"null" if payload_kind is None else text(payload_kind, payload)}}}'
    if isinstance(kind, VariantType):
        name, payload_kind, payload = opened(kind, value)
        rest = "" if payload_kind is None else f',"value":{text(payload_kind, payload)}'
        return f'{{"case":{quoted(name)}{rest}}}'
    return quoted(value)


def read(kind, value):
    """Returns the value of this type for JSON."""
    if isinstance(kind, (U64, S64)):
        return int(value)
    if isinstance(kind, ListType):
        if isinstance(kind.element, U8):
            return value["text"].encode()
        return [read(kind.element, item) for item in value]
    if isinstance(kind, TupleType):
        return tuple(map(read, kind.elements, value))
    if isinstance(kind, RecordType):
        made = Record()
        for name, field in kind.fields:
            setattr(made, name, read(field, value[name]))
        return made
    if isinstance(kind, OptionType):
        return None if value is None else read(kind.payload, value)
    if isinstance(kind, ResultType):
        [(name, payload)] = value.items()
        return closed(kind, name, payload)
    if isinstance(kind, VariantType):
        return closed(kind, value["case"], value.get("value"))
    return value


def cases(kind):
    """Returns the cases of a variant or result with their types and the classes of their values, and whether
    wasmtime-py needs their names."""
    pairs = [("ok", kind.ok), ("err", kind.err)] if isinstance(kind, ResultType) else kind.cases
    found, seen, is_named = [], set(), False
    for name, payload in pairs:
        classes = set()
        if payload is None:
            classes.add(object)
        else:
            payload.add_classes(classes)
        is_named = is_named or bool(classes & seen)
        seen |= classes
        found.append((name, payload, classes))
    return found, is_named


def opened(kind, value):
    """Returns the name of the case, the type of its payload, and the payload."""
    found, is_named = cases(kind)
    for name, payload, classes in found:
        if is_named and name == value.tag:
            return name, payload, value.payload
        if not is_named and (value is None if payload is None else isinstance(value, tuple(classes))):
            return name, payload, value
    raise Differs(f"{value} has no case")


def closed(kind, name, value):
    found, is_named = cases(kind)
    payload = next(payload for case, payload, _ in found if case == name)
    made = None if payload is None else read(payload, value)
    return Variant(name, made) if is_named else made
