"""Registers as typed descriptors.

A block class groups the registers that stand together; its instances sit at one or more bases::

    class RingBlock(RegisterBlock, bases={"RCS0": 0x2000, "BCS0": 0x22000}, source="linux:…"):
        tail = Register(0x30, int, "next free byte of the ring", unit="bytes")
        control = Register(0x3C, RingControl, "ring enable and size")

    RingBlock.control                 # Register[RingControl]: the specification
    RingBlock(bus, "RCS0").control    # RingControl: one typed read of the bus
    RingBlock.control.at("BCS0")      # 0x2203c

On the guest's side ``bus`` is BAR0; on the host's side it is the vGPU's register page.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum
from typing import ClassVar, Generic, Protocol, TypeVar, final, overload

from .errors import LayoutError

__all__ = ("Access", "Register", "RegisterArray", "RegisterBlock", "RegisterBus", "declared_blocks", "masked_bits")

V = TypeVar("V", bound=int)


class Access(Enum):
    """What software may do with a register, in the words of the documentation."""

    READ_WRITE = "read/write"
    READ_ONLY = "read only"
    WRITE_ONLY = "write only"
    WRITE_1_CLEARS = "write 1 to clear"
    MASKED = "masked write: bits 31:16 enable the write of bits 15:0"
    SELF_CLEARING = "write starts an action, reads back 0 when it is done"


class RegisterBus(Protocol):
    """Anything registers can be read from and written to, by byte offset."""

    def read32(self, offset: int, /) -> int:
        """The aligned dword at ``offset``."""

    def write32(self, offset: int, value: int, /) -> None:
        """Store the aligned dword at ``offset``."""


class _Specification(Generic[V]):
    """What :class:`Register` and :class:`RegisterArray` have in common."""

    def __init__(
        self, offset: int, value_type: type[V], doc: str, access: Access, count: int, stride: int,
        *, reset: int, unit: str, source: str, emulated: bool, kernel_name: str,
    ) -> None:  # fmt: skip
        if offset < 0 or offset % 4:
            raise LayoutError(f"register at {offset:#x}: registers are aligned dwords")
        if not doc:
            raise LayoutError(f"register at {offset:#x}: a register says what it is")
        self.offset = offset
        self.value_type = value_type
        self.doc = doc
        self.access = access
        self.count = count
        self.stride = stride
        self.reset = reset
        self.unit = unit
        self.emulated = emulated
        self.name = ""
        self._kernel_name = kernel_name
        self._source = source
        self._block: type[RegisterBlock] | None = None

    def __set_name__(self, owner: type[RegisterBlock], name: str) -> None:
        self.name = name
        self._block = owner

    @property
    def block(self) -> type[RegisterBlock]:
        """The class that declares this register."""
        if self._block is None:
            raise LayoutError(f"register at {self.offset:#x} stands in no block")
        return self._block

    @property
    def source(self) -> str:
        """Where offset and meaning come from: the register's own source, else its block's."""
        return self._source or self.block.source

    @property
    def kernel_name(self) -> str:
        """The name the kernel gives it, or block and name in capitals where it has none."""
        return self._kernel_name or f"{self.block.__name__}_{self.name}".upper()

    @property
    def title(self) -> str:
        """Block and name, as messages show it: ``RingBlock.tail``."""
        return f"{self.block.__name__}.{self.name}"

    def at(self, base: str | int = "") -> int:
        """Absolute byte offset inside BAR0, in the block instance called ``base`` (or at a number)."""
        return self.block.base_of(base) + self.offset

    def offsets(self) -> Iterator[int]:
        """Every absolute byte offset this declaration covers: each instance, each element."""
        for base in self.block.bases.values():
            for index in range(self.count):
                yield base + self.offset + index * self.stride


@final
class Register(_Specification[V]):
    """One 32-bit register: the specification on the class, the typed value on an instance.

    ``emulated`` says that the mediator serves it by a handler and not from plain storage.
    """

    def __init__(
        self, offset: int, value_type: type[V], doc: str, access: Access = Access.READ_WRITE,
        *, reset: int = 0, unit: str = "", source: str = "", emulated: bool = False, kernel_name: str = "",
    ) -> None:  # fmt: skip
        super().__init__(
            offset, value_type, doc, access, 1, 4,
            reset=reset, unit=unit, source=source, emulated=emulated, kernel_name=kernel_name,
        )  # fmt: skip

    @overload
    def __get__(self, instance: None, owner: type[RegisterBlock]) -> Register[V]: ...
    @overload
    def __get__(self, instance: RegisterBlock, owner: type[RegisterBlock]) -> V: ...
    def __get__(self, instance: RegisterBlock | None, owner: type[RegisterBlock]) -> Register[V] | V:
        if instance is None:
            return self
        return self.value_type(instance.bus.read32(instance.base + self.offset))

    def __set__(self, instance: RegisterBlock, value: V) -> None:
        instance.bus.write32(instance.base + self.offset, value)


@final
class RegisterElements(Generic[V]):
    """A register array of one block instance: ``mocs[3]`` reads, ``mocs[3] = v`` writes."""

    def __init__(self, specification: RegisterArray[V], block: RegisterBlock) -> None:
        self._specification = specification
        self._block = block

    def __len__(self) -> int:
        return self._specification.count

    def _offset(self, index: int) -> int:
        specification = self._specification
        if not 0 <= index < specification.count:
            raise IndexError(f"{specification.title}[{index}]: it has {specification.count} elements")
        return self._block.base + specification.offset + index * specification.stride

    def __getitem__(self, index: int) -> V:
        return self._specification.value_type(self._block.bus.read32(self._offset(index)))

    def __setitem__(self, index: int, value: V) -> None:
        self._block.bus.write32(self._offset(index), value)


@final
class RegisterArray(_Specification[V]):
    """``count`` registers of one kind, ``stride`` bytes apart."""

    def __init__(
        self, offset: int, count: int, value_type: type[V], doc: str, access: Access = Access.READ_WRITE,
        *, stride: int = 4, reset: int = 0, unit: str = "", source: str = "", emulated: bool = False, kernel_name: str = "",
    ) -> None:  # fmt: skip
        if count < 2 or stride < 4 or stride % 4:
            raise LayoutError(f"register array at {offset:#x}: at least two elements, an aligned stride")
        super().__init__(
            offset, value_type, doc, access, count, stride,
            reset=reset, unit=unit, source=source, emulated=emulated, kernel_name=kernel_name,
        )  # fmt: skip

    @overload
    def __get__(self, instance: None, owner: type[RegisterBlock]) -> RegisterArray[V]: ...
    @overload
    def __get__(self, instance: RegisterBlock, owner: type[RegisterBlock]) -> RegisterElements[V]: ...
    def __get__(
        self, instance: RegisterBlock | None, owner: type[RegisterBlock]
    ) -> RegisterArray[V] | RegisterElements[V]:
        return self if instance is None else RegisterElements(self, instance)


_BLOCKS: list[type[RegisterBlock]] = []


class RegisterBlock:
    """Registers at fixed distances from a base. Subclasses hold only register declarations.

    Class arguments: ``bases`` names each instance and gives its byte offset in BAR0 (omitted: one nameless
    instance at 0, so that the registers carry absolute offsets); ``source`` is where the registers come from.

    Raises: LayoutError at class creation when two registers overlap, at any base.
    """

    bases: ClassVar[Mapping[str, int]] = {"": 0}
    source: ClassVar[str] = ""
    registers: ClassVar[tuple[Register[int] | RegisterArray[int], ...]] = ()
    """The declarations, lowest offset first."""

    def __init_subclass__(cls, bases: Mapping[str, int] | None = None, source: str = "") -> None:
        if bases is not None:
            cls.bases = dict(bases)
        cls.source = source
        own = [value for value in vars(cls).values() if isinstance(value, (Register, RegisterArray))]
        cls.registers = tuple(sorted(own, key=lambda register: register.offset))
        owner: dict[int, str] = {}
        for register in cls.registers:
            for offset in register.offsets():
                if offset in owner:
                    raise LayoutError(f"{cls.__name__}: {register.name} and {owner[offset]} both stand at {offset:#x}")
                owner[offset] = register.name
            if not register.source:
                raise LayoutError(f"{register.title}: neither the register nor its block names a source")
        _BLOCKS.append(cls)

    def __init__(self, bus: RegisterBus, base: str | int = "") -> None:
        self.bus = bus
        self.base = self.base_of(base)

    @classmethod
    def base_of(cls, base: str | int) -> int:
        """Byte offset of the instance called ``base``. Raises: LayoutError when there is none."""
        if isinstance(base, int):
            return base
        try:
            return cls.bases[base]
        except KeyError:
            raise LayoutError(f"{cls.__name__} has no instance {base!r}; it has {', '.join(cls.bases)}") from None


def declared_blocks() -> tuple[type[RegisterBlock], ...]:
    """Every register block that has been imported, in order of declaration."""
    return tuple(_BLOCKS)


def masked_bits(bits: int, enable: bool = True) -> int:
    """The value to write to a masked register so that exactly ``bits`` change, to one or to zero."""
    return bits << 16 | (bits if enable else 0)
