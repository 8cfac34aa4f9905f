"""Named bits of a register, table entry or descriptor.

A value is an ``int`` whose class names its fields::

    class RingControl(Bits):
        enabled = flag(0, "the ring fetches commands")
        length_pages = uint(12, 9, "ring length minus one", unit="4 KiB pages")

    RingControl(0x3001).length_pages      # 3
    RingControl.of(enabled=True)          # RingControl(0x1)
    RingControl.length_pages.mask         # 0x1ff000

The same declaration draws the bit boxes of the documentation and makes the C macros.
"""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar, Generic, Self, TypeVar, final, overload

from .errors import LayoutError

__all__ = ("BitField", "Bits", "Choice", "Flag", "UInt", "choice", "flag", "uint")

E = TypeVar("E", bound=IntEnum)


class BitField:
    """One named field: bits ``low`` to ``low + width - 1``."""

    def __init__(self, low: int, width: int, doc: str, unit: str, source: str) -> None:
        if low < 0 or width < 1:
            raise LayoutError(f"bit field at {low}, {width} wide: a field starts at bit 0 or above and has a width")
        if not doc:
            raise LayoutError(f"bit field at {low}: a field says what it is")
        self.low = low
        self.width = width
        self.doc = doc
        self.unit = unit
        self.source = source
        self.mask = ((1 << width) - 1) << low
        self.name = ""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def insert(self, base: int, value: int) -> int:
        """``base`` with this field set to ``value``.

        Raises: ValueError when the value does not fit the field.
        """
        if not 0 <= value <= self.mask >> self.low:
            raise ValueError(f"{self.name}: {value:#x} does not fit bits {self.low}..{self.low + self.width - 1}")
        return base & ~self.mask | value << self.low

    @property
    def choices(self) -> type[IntEnum] | None:
        """The closed set of values, where the field has one."""
        return None


@final
class Flag(BitField):
    """A single bit, read as a bool."""

    @overload
    def __get__(self, instance: None, owner: type) -> Flag: ...
    @overload
    def __get__(self, instance: int, owner: type) -> bool: ...
    def __get__(self, instance: int | None, owner: type) -> Flag | bool:
        if instance is None:
            return self
        return bool(int(instance) & self.mask)


@final
class UInt(BitField):
    """An unsigned number of several bits."""

    @overload
    def __get__(self, instance: None, owner: type) -> UInt: ...
    @overload
    def __get__(self, instance: int, owner: type) -> int: ...
    def __get__(self, instance: int | None, owner: type) -> UInt | int:
        if instance is None:
            return self
        return (int(instance) & self.mask) >> self.low


@final
class Choice(BitField, Generic[E]):
    """A number from a closed set; a number outside the set reads as a plain ``int``."""

    def __init__(self, low: int, width: int, values: type[E], doc: str, source: str) -> None:
        super().__init__(low, width, doc, "", source)
        self.values = values

    @property
    def choices(self) -> type[IntEnum]:
        return self.values

    @overload
    def __get__(self, instance: None, owner: type) -> Choice[E]: ...
    @overload
    def __get__(self, instance: int, owner: type) -> E | int: ...
    def __get__(self, instance: int | None, owner: type) -> Choice[E] | E | int:
        if instance is None:
            return self
        raw = (int(instance) & self.mask) >> self.low
        try:
            return self.values(raw)
        except ValueError:
            return raw


def flag(bit: int, doc: str, *, source: str = "") -> Flag:
    """Declare one bit."""
    return Flag(bit, 1, doc, "", source)


def uint(low: int, width: int, doc: str, *, unit: str = "", source: str = "") -> UInt:
    """Declare an unsigned field of ``width`` bits whose lowest is ``low``."""
    return UInt(low, width, doc, unit, source)


def choice(low: int, width: int, values: type[E], doc: str, *, source: str = "") -> Choice[E]:
    """Declare a field whose values are the members of ``values``."""
    return Choice(low, width, values, doc, source)


class Bits(int):
    """An integer whose class names its bits. Subclasses hold only field declarations."""

    bit_fields: ClassVar[tuple[BitField, ...]] = ()
    """The fields, lowest bit first."""
    _named: ClassVar[dict[str, BitField]] = {}

    def __init_subclass__(cls) -> None:
        own = [value for value in vars(cls).values() if isinstance(value, BitField)]
        fields = sorted([*cls.bit_fields, *own], key=lambda field: field.low)
        for lower, upper in zip(fields, fields[1:], strict=False):
            if lower.mask & upper.mask:
                raise LayoutError(f"{cls.__name__}: bits of {lower.name} and {upper.name} overlap")
        cls.bit_fields = tuple(fields)
        cls._named = {field.name: field for field in fields}

    @classmethod
    def of(cls, base: int = 0, /, **fields: int) -> Self:
        """A value with the named fields set, all other bits as in ``base``.

        Raises: ValueError for a name that is no field, or a value that does not fit.
        """
        value, known = base, cls._named
        for name, content in fields.items():
            if name not in known:
                raise ValueError(f"{cls.__name__} has no field {name}; it has {', '.join(known)}")
            value = known[name].insert(value, int(content))
        return cls(value)

    def describe(self) -> str:
        """The non-zero fields in words, for logs and reports: ``enabled, length_pages=3``."""
        parts = []
        for field in self.bit_fields:
            raw = (int(self) & field.mask) >> field.low
            if not raw:
                continue
            members = field.choices
            if field.width == 1 and members is None:
                parts.append(field.name)
                continue
            names = {member.value: member.name for member in members} if members else {}
            parts.append(f"{field.name}={names.get(raw, hex(raw))}")
        return ", ".join(parts) or "nothing set"
