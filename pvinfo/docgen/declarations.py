"""What a module declares: its records, bits, blocks and closed sets, found by walking its names."""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from types import ModuleType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ..bits import Bits
from ..commands.command import Command
from ..register import RegisterBlock
from ..wire import Codec, Layout
from .attribute_docs import ModuleText

__all__ = (
    "Anchors",
    "AnyCodec",
    "declared_bits",
    "declared_blocks_of",
    "declared_enums",
    "declared_records",
    "docstring_of",
    "is_interface",
    "is_row",
    "layout_of",
    "own_classes",
    "record_of",
)

AnyCodec = Codec[Any]


def own_classes(module: ModuleType) -> Iterator[type]:
    """The public classes of ``module``: a private class is a part of the public classes that inherit from it, and shows up in them."""
    for name, value in vars(module).items():
        if isinstance(value, type) and value.__module__ == module.__name__ and value.__name__ == name and not name.startswith("_"):
            yield value


def declared_enums(module: ModuleType) -> tuple[type[Enum], ...]:
    """The closed sets and flags that ``module`` declares, in order."""
    return tuple(cls for cls in own_classes(module) if issubclass(cls, Enum))


def declared_bits(module: ModuleType) -> tuple[type[Bits], ...]:
    """The bit layouts that ``module`` declares, in order."""
    return tuple(cls for cls in own_classes(module) if issubclass(cls, Bits) and cls.bit_fields)


def declared_blocks_of(module: ModuleType) -> tuple[type[RegisterBlock], ...]:
    """The register blocks that ``module`` declares, in order."""
    return tuple(cls for cls in own_classes(module) if issubclass(cls, RegisterBlock) and cls is not RegisterBlock)


def _codecs_in(value: object) -> Iterator[AnyCodec]:
    if isinstance(value, Codec):
        yield value
    elif isinstance(value, Command):
        for form in value.forms:
            yield form.codec
            if form.tail is not None:
                yield form.tail
    elif isinstance(value, Mapping):
        for inner in value.values():
            yield from _codecs_in(inner)
    elif isinstance(value, (tuple, list)):
        for inner in value:
            yield from _codecs_in(inner)


def _inner_records(record: type) -> Iterator[type]:
    """The records that ``record`` is made of, innermost first."""
    for hint in get_type_hints(record, include_extras=True).values():
        layout = layout_of(hint)
        if layout is not None and layout.kind in ("record", "array"):
            inner = record_of(hint)
            yield from _inner_records(inner)
            yield inner


def declared_records(module: ModuleType) -> dict[type, AnyCodec]:
    """The binary records of ``module``'s codecs, inner ones before those that hold them."""
    found: dict[type, AnyCodec] = {}
    classes = [vars(cls) for cls in own_classes(module)]
    for names in (vars(module), *classes):
        for value in names.values():
            for codec in _codecs_in(value):
                for inner in _inner_records(codec.record):
                    found.setdefault(inner, Codec(inner, doc="", source=codec.source))
                found[codec.record] = codec
    return found


def layout_of(hint: object) -> Layout | None:
    """How a record's field lies in memory, from its annotation; None for what is no such field."""
    if get_origin(hint) is not Annotated:
        return None
    return next((extra for extra in get_args(hint)[1:] if isinstance(extra, Layout)), None)


def record_of(hint: object) -> type:
    """The inner record of a field that holds one, or several."""
    inner = get_args(hint)[0]
    record = get_args(inner)[0] if get_origin(inner) is tuple else inner
    assert isinstance(record, type)
    return record


def is_row(cls: type) -> bool:
    """A tuple with named values."""
    return issubclass(cls, tuple) and hasattr(cls, "_fields")


def is_interface(cls: type) -> bool:
    """A Protocol."""
    return bool(getattr(cls, "_is_protocol", False))


def docstring_of(cls: type) -> str:
    """The class's own docstring; empty where Python made one up."""
    own = vars(cls).get("__doc__")
    if not isinstance(own, str) or own.startswith(f"{cls.__name__}("):
        return ""
    return inspect.cleandoc(own)


class Anchors:
    """Names that are unique in the documentation: bare where only one module uses the name."""

    def __init__(self, modules: Sequence[ModuleType], texts: Mapping[str, ModuleText]) -> None:
        used: Counter[str] = Counter()
        for module in modules:
            names = {cls.__name__ for cls in own_classes(module)} | set(texts[module.__name__].assigned)
            used.update(name.lower() for name in names)
        self._used = used

    def of(self, module: str, name: str) -> str:
        """The anchor of ``name`` in the module called ``module``."""
        if self._used[name.lower()] > 1:
            return f"{module.rpartition('.')[2]}.{name}"
        return name

    def of_class(self, cls: type) -> str:
        """The anchor of a declared class."""
        return self.of(cls.__module__, cls.__name__)
