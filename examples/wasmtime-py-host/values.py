"""The component's values in Python.

wasmtime-py turns a record into a `Record` whose attributes have the names of the WIT package, with hyphens. These
functions write and read such attributes with underscores.
"""

from wasmtime.component import Record, Variant

__all__ = ["Record", "Variant", "plain", "record"]


def record(**fields):
    """Returns a record. `record(age_ms=5)` has the field `age-ms`."""
    made = Record()
    for name, value in fields.items():
        setattr(made, name.replace("_", "-"), value)
    return made


def plain(value):
    """Returns records as dictionaries with the names of the WIT package. Other values stay as they are."""
    if isinstance(value, Record):
        return {name: plain(field) for name, field in vars(value).items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, Variant):
        return Variant(value.tag, plain(value.payload))
    return value
