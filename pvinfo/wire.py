"""Binary records: one declaration gives layout, typed access and documentation.

A record is a ``NamedTuple`` whose fields say how they lie in memory::

    class Range(NamedTuple):
        base: Annotated[int, u32("first byte", unit="bytes", source="linux:…")]
        size: Annotated[int, u32("length", unit="bytes", source="linux:…")]

    RANGE = Codec(Range, doc="a span of graphics memory", source="linux:…")
    RANGE.parse(data)           # strict, by construct: errors name the field
    RANGE.unpack_from(buffer)   # the same by one flat struct.Struct, for hot paths
    RANGE.offset_of("size")     # 4

All records are little-endian and packed: padding is declared as a field. This is the only module that
imports construct, which carries no types; nothing untyped leaves it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from enum import IntEnum
from itertools import islice
from typing import Annotated, Any, Final, Generic, NamedTuple, TypeVar, final, get_args, get_origin, get_type_hints

import construct

from .errors import LayoutError, WireError

__all__ = ("Codec", "Layout", "WireField", "array", "nested", "raw", "reserved", "u8", "u16", "u32", "u64")

R = TypeVar("R", bound=tuple[Any, ...])

_INTEGERS: Final[dict[int, tuple[str, str]]] = {
    1: ("B", "Int8ul"),
    2: ("H", "Int16ul"),
    4: ("I", "Int32ul"),
    8: ("Q", "Int64ul"),
}


class Layout(NamedTuple):
    """How one field of a record lies in memory; made by :func:`u32`, :func:`raw` and so on."""

    kind: str
    size: int
    doc: str
    unit: str
    source: str
    repeat: int


def u8(doc: str, *, unit: str = "", source: str = "") -> Layout:
    """An unsigned byte."""
    return Layout("integer", 1, doc, unit, source, 1)


def u16(doc: str, *, unit: str = "", source: str = "") -> Layout:
    """An unsigned 16-bit number."""
    return Layout("integer", 2, doc, unit, source, 1)


def u32(doc: str, *, unit: str = "", source: str = "") -> Layout:
    """An unsigned 32-bit number."""
    return Layout("integer", 4, doc, unit, source, 1)


def u64(doc: str, *, unit: str = "", source: str = "") -> Layout:
    """An unsigned 64-bit number."""
    return Layout("integer", 8, doc, unit, source, 1)


def raw(size: int, doc: str, *, source: str = "") -> Layout:
    """``size`` bytes that mean something, kept as ``bytes``."""
    return Layout("raw", size, doc, "", source, 1)


def reserved(size: int, doc: str = "reserved", *, source: str = "") -> Layout:
    """``size`` bytes that mean nothing yet; kept as they are, so that nothing is lost."""
    return Layout("reserved", size, doc, "", source, 1)


def nested(doc: str, *, source: str = "") -> Layout:
    """A record inside the record; the annotated type names it."""
    return Layout("record", 0, doc, "", source, 1)


def array(count: int, doc: str, *, source: str = "") -> Layout:
    """``count`` records in a row: ``Annotated[tuple[Pdp, ...], array(4, …)]``."""
    return Layout("array", 0, doc, "", source, count)


class WireField(NamedTuple):
    """One leaf of a record, at its place in the whole."""

    path: str
    """Dotted path from the outermost record, array elements by number: ``pdp.2.lo``."""
    offset: int
    size: int
    kind: str
    doc: str
    unit: str
    source: str
    value_type: type
    """The Python type of the value: ``int``, a :class:`~pvinfo.bits.Bits`, an enum, or ``bytes``."""


def _value_type(hint: object) -> type:
    """The runtime class behind a hint (a NewType stands for its supertype)."""
    while hasattr(hint, "__supertype__"):
        hint = hint.__supertype__
    if not isinstance(hint, type):
        raise LayoutError(f"{hint!r} is no type a record can hold")
    return hint


class _Part(NamedTuple):
    name: str
    layout: Layout
    value_type: type
    codec: Codec[Any] | None


@final
class Codec(Generic[R]):
    """The layout of record ``R``: parses, builds, and describes itself.

    Raises: LayoutError at construction, when a field is not annotated or contradicts its type.
    """

    def __init__(self, record: type[R], *, doc: str, source: str = "", size: int | None = None) -> None:
        self.record = record
        self.name = record.__name__
        self.doc = doc
        self.source = source
        self._parts = tuple(self._read_parts())
        self.size: int = sum(self._part_size(part) for part in self._parts)
        if size is not None and size != self.size:
            raise LayoutError(f"{self.name} is declared {size} bytes long, but its fields add up to {self.size}")
        self.fields: tuple[WireField, ...] = tuple(self._walk("", 0))
        """Every leaf in order of offset."""
        self._byte_leaves = tuple((index, field.size) for index, field in enumerate(self.fields) if field.kind != "integer")
        self._by_path = {field.path: field for field in self.fields}
        self._flat = struct.Struct("<" + "".join(self._codes()))
        self._only_integers_and_bytes = all(part.codec is None and part.value_type in (int, bytes) for part in self._parts)
        self._assemble = self._assembler()
        self._construct = self._make_construct()

    # ---- layout ----

    def _read_parts(self) -> Iterator[_Part]:
        for name, hint in get_type_hints(self.record, include_extras=True).items():
            layouts = [extra for extra in get_args(hint)[1:] if isinstance(extra, Layout)]
            if get_origin(hint) is not Annotated or len(layouts) != 1:
                raise LayoutError(f"{self.name}.{name}: a field is Annotated with exactly one layout")
            layout, inner = layouts[0], get_args(hint)[0]
            codec: Codec[Any] | None = None
            value: type
            if layout.kind == "array":
                codec = Codec(get_args(inner)[0], doc=layout.doc, source=layout.source)
                value = tuple
            elif layout.kind == "record":
                value = _value_type(inner)
                codec = Codec(value, doc=layout.doc, source=layout.source)
            else:
                value = _value_type(inner)
                wanted = int if layout.kind == "integer" else bytes
                if not issubclass(value, wanted):
                    raise LayoutError(f"{self.name}.{name}: a {layout.kind} field holds {wanted.__name__}, not {value.__name__}")
            yield _Part(name, layout, value, codec)

    @staticmethod
    def _part_size(part: _Part) -> int:
        return part.codec.size * part.layout.repeat if part.codec else part.layout.size

    def _walk(self, prefix: str, base: int) -> Iterator[WireField]:
        offset = base
        for part in self._parts:
            layout = part.layout
            path = f"{prefix}{part.name}"
            if part.codec is None:
                yield WireField(path, offset, layout.size, layout.kind, layout.doc, layout.unit, layout.source or self.source, part.value_type)
            elif layout.kind == "record":
                yield from part.codec._walk(f"{path}.", offset)
            else:
                for index in range(layout.repeat):
                    yield from part.codec._walk(f"{path}.{index}.", offset + index * part.codec.size)
            offset += self._part_size(part)

    def field(self, path: str) -> WireField:
        """The leaf at ``path``. Raises: LayoutError when there is none."""
        try:
            return self._by_path[path]
        except KeyError:
            raise LayoutError(f"{self.name} has no field {path}; it has {', '.join(self._by_path)}") from None

    def offset_of(self, path: str) -> int:
        """Byte offset of the leaf at ``path``. Raises: LayoutError when there is none."""
        return self.field(path).offset

    def field_at(self, offset: int) -> WireField | None:
        """The leaf that covers byte ``offset``, or None past the end."""
        for field in self.fields:
            if field.offset <= offset < field.offset + field.size:
                return field
        return None

    # ---- the flat path ----

    def _codes(self) -> Iterator[str]:
        for part in self._parts:
            if part.codec is not None:
                for _ in range(part.layout.repeat):
                    yield from part.codec._codes()
            elif part.layout.kind == "integer":
                yield _INTEGERS[part.layout.size][0]
            else:
                yield f"{part.layout.size}s"

    def _assembler(self) -> Callable[[Any], R]:
        make: Callable[[Any], R] = self.record._make  # type: ignore[attr-defined]
        steps: list[Callable[[Iterator[Any]], Any]] = []
        for part in self._parts:
            if part.codec is not None and part.layout.kind == "array":
                inner, count = part.codec._assemble, part.layout.repeat
                steps.append(lambda flat, inner=inner, count=count: tuple(inner(flat) for _ in range(count)))  # type: ignore[misc]
            elif part.codec is not None:
                steps.append(part.codec._assemble)
            elif part.value_type in (int, bytes):
                steps.append(next)
            else:
                steps.append(lambda flat, convert=part.value_type: convert(next(flat)))  # type: ignore[misc]
        if self._only_integers_and_bytes:
            count = len(steps)
            return lambda flat: make(islice(flat, count))
        return lambda flat: make([step(flat) for step in steps])

    def _leaves(self, record: R) -> Iterator[Any]:
        """Every leaf's value, in the order of :attr:`fields`."""
        for part, value in zip(self._parts, record, strict=True):
            if part.codec is None:
                yield value
            else:
                for element in value if part.layout.kind == "array" else (value,):
                    yield from part.codec._leaves(element)

    def unpack_from(self, buffer: bytes | bytearray | memoryview, offset: int = 0) -> R:
        """Read a record by one flat unpack. Raises: WireError when the buffer ends too early,
        or holds a value outside a closed set."""
        if len(buffer) - offset < self.size:
            self._too_short(len(buffer) - offset)
        flat = self._flat.unpack_from(buffer, offset)
        if self._only_integers_and_bytes:
            return self.record._make(flat)  # type: ignore[attr-defined,no-any-return]
        try:
            return self._assemble(iter(flat))
        except ValueError:
            self._closed_set(flat)
            raise

    def pack(self, record: R) -> bytes:
        """The bytes of ``record`` by one flat pack. Raises: WireError naming a field that does not fit."""
        try:
            leaves = tuple(self._leaves(record))
            if all(len(leaves[index]) == size for index, size in self._byte_leaves):  # struct would cut or pad others
                return self._flat.pack(*leaves)
        except (struct.error, ValueError, TypeError, IndexError):
            pass
        return self.build(record)  # finds the field at fault

    def pack_into(self, buffer: bytearray | memoryview, offset: int, record: R) -> None:
        """Write ``record`` into ``buffer`` at ``offset``.

        Raises: WireError as :meth:`pack`, and when the buffer ends too early.
        """
        if not 0 <= offset <= len(buffer) - self.size:
            raise WireError(self.name, "", 0, f"{self.size} bytes at offset {offset:#x} of a buffer {len(buffer)} bytes long")
        buffer[offset : offset + self.size] = self.pack(record)

    # ---- the strict path ----

    def _make_construct(self) -> Any:
        members = []
        for part in self._parts:
            if part.codec is not None:
                inner = part.codec._construct
                member = construct.Array(part.layout.repeat, inner) if part.layout.kind == "array" else inner
            elif part.layout.kind == "integer":
                member = getattr(construct, _INTEGERS[part.layout.size][1])
            else:
                member = construct.Bytes(part.layout.size)
            members.append(part.name / member)
        return construct.Struct(*members)

    def parse(self, data: bytes | bytearray | memoryview) -> R:
        """Read a record that fills ``data`` exactly.

        Raises: WireError when the length differs, or a field holds a value outside its closed set.
        """
        if len(data) < self.size:
            self._too_short(len(data))
        if len(data) > self.size:
            raise WireError(self.name, "", self.size, f"{len(data)} bytes given, the record ends after {self.size}")
        return self._from_container(self._construct.parse(bytes(data)), self.name, "", 0)

    def _from_container(self, container: Any, outermost: str, prefix: str, base: int) -> R:
        values: list[object] = []
        offset = base
        for part in self._parts:
            value = container[part.name]
            path = f"{prefix}{part.name}"
            if part.codec is not None and part.layout.kind == "array":
                values.append(
                    tuple(
                        part.codec._from_container(element, outermost, f"{path}.{index}.", offset + index * part.codec.size)
                        for index, element in enumerate(value)
                    )
                )
            elif part.codec is not None:
                values.append(part.codec._from_container(value, outermost, f"{path}.", offset))
            else:
                try:
                    values.append(value if part.value_type in (int, bytes) else part.value_type(value))
                except ValueError:
                    raise self._not_a_member(outermost, path, offset, part.value_type, value) from None
            offset += self._part_size(part)
        return self.record._make(values)  # type: ignore[attr-defined,no-any-return]

    def build(self, record: R) -> bytes:
        """The bytes of ``record``, by construct. Raises: WireError naming a field that does not fit."""
        try:
            return bytes(self._construct.build(self._container(record, self.name, "", 0)))
        except construct.ConstructError as error:
            # The field at fault is found below by itself: construct's own path leaves out which element of an array it is.
            for field, value in zip(self.fields, self._leaves(record), strict=True):
                if not self._fits(field, value):
                    raise WireError(self.name, field.path, field.offset, f"does not fit its {field.size} bytes") from error
            raise WireError(self.name, "", 0, str(error).splitlines()[-1]) from error

    @staticmethod
    def _fits(field: WireField, value: Any) -> bool:
        if field.kind == "integer":
            return isinstance(value, int) and 0 <= value < 1 << 8 * field.size
        return isinstance(value, bytes) and len(value) == field.size

    def _container(self, record: R, outermost: str, prefix: str, base: int) -> dict[str, object]:
        container: dict[str, object] = {}
        offset = base
        for part, value in zip(self._parts, record, strict=True):
            path = f"{prefix}{part.name}"
            if part.codec is not None and part.layout.kind == "array":
                if len(value) != part.layout.repeat:
                    raise WireError(outermost, path, offset, f"{len(value)} elements given, the array has {part.layout.repeat}")
                container[part.name] = [
                    part.codec._container(element, outermost, f"{path}.{index}.", offset + index * part.codec.size)
                    for index, element in enumerate(value)
                ]
            elif part.codec is not None:
                container[part.name] = part.codec._container(value, outermost, f"{path}.", offset)
            else:
                container[part.name] = value
            offset += self._part_size(part)
        return container

    # ---- errors ----

    def _too_short(self, got: int) -> None:
        got = max(got, 0)
        cut = next(field for field in self.fields if field.offset + field.size > got)
        raise WireError(self.name, cut.path, cut.offset, f"{got} bytes given, the record needs {self.size}")

    def _closed_set(self, flat: tuple[Any, ...]) -> None:
        for field, value in zip(self.fields, flat, strict=True):
            if field.value_type not in (int, bytes):
                try:
                    field.value_type(value)
                except ValueError:
                    raise self._not_a_member(self.name, field.path, field.offset, field.value_type, value) from None

    @staticmethod
    def _not_a_member(record: str, path: str, offset: int, members: type, value: int) -> WireError:
        names = ", ".join(f"{m.value:#x} {m.name}" for m in members) if issubclass(members, IntEnum) else members.__name__
        return WireError(record, path, offset, f"{value:#x} is none of {names}")
