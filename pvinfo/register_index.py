"""Which register stands at an offset of BAR0, and what a value of it means.

For traces, findings and everything else that begins with a bare number.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from functools import cache
from typing import final

from . import registers  # noqa: F401 - importing it declares the blocks
from .bits import Bits
from .notify import Notification
from .page import PVINFO_BASE, PVINFO_SIZE, VGT_IF, VGT_MAGIC, PvInfo
from .platform import PLATFORMS
from .register import Access, Register, RegisterArray, declared_blocks
from .registers.tracked import tracked_runs

__all__ = ("RegisterPlace", "describe_access", "describe_value", "name_of", "register_at")


@final
class RegisterPlace:
    """A declared register at one of the places where it stands.

    ``instance`` names the instance of its block and is empty where there is only one; ``element`` is its number in
    an array, 0 for a single register.
    """

    def __init__(self, register: Register[int] | RegisterArray[int], instance: str, element: int) -> None:
        self.register = register
        self.instance = instance
        self.element = element

    @property
    def title(self) -> str:
        """Instance (or block) and register: ``RCS0.mi_mode``, ``PvInfo.g2v_notify``, ``RCS0.force_to_nonpriv[3]``."""
        element = f"[{self.element}]" if self.register.count > 1 else ""
        return f"{self.instance or self.register.block.__name__}.{self.register.name}{element}"


@cache
def _places() -> dict[int, RegisterPlace]:
    places: dict[int, RegisterPlace] = {}
    for block in declared_blocks():
        if not block.__module__.startswith("pvinfo."):
            continue
        for register in block.registers:
            for instance, base in block.bases.items():
                for element in range(register.count):
                    place = RegisterPlace(register, instance, element)
                    places.setdefault(base + register.offset + element * register.stride, place)
    return places


@cache
def _kernel_names() -> dict[int, str]:
    """Names of tracked registers that are not declared."""
    names: dict[int, str] = {}
    for platform in PLATFORMS:
        for run in tracked_runs(platform):
            if run.kernel_name and not run.is_block:
                for offset in run.offsets():
                    names.setdefault(offset, run.kernel_name if run.size == 4 else f"{run.kernel_name}+{offset - run.offset:#x}")
    return names


def register_at(offset: int) -> RegisterPlace | None:
    """The declared register whose dword holds byte ``offset`` of BAR0, or None."""
    return _places().get(offset & ~3)


def name_of(offset: int) -> str:
    """The best name for byte ``offset`` of BAR0: the field of the PVINFO page, the declared register, the kernel's
    name in its table of tracked registers; empty where none of them knows it."""
    if PVINFO_BASE <= offset < PVINFO_BASE + PVINFO_SIZE:
        field = VGT_IF.field_at(offset - PVINFO_BASE)
        return f"PvInfo.{field.path}" if field is not None else ""
    place = register_at(offset)
    return place.title if place is not None else _kernel_names().get(offset & ~3, "")


def describe_value(value_type: type[int], value: int) -> str:
    """``value`` in the words of its type; empty for a plain number, and where no bit is set."""
    if issubclass(value_type, IntFlag):
        return _with_rest([str(flag.name) for flag in value_type if value & flag], value & ~sum(value_type))
    if issubclass(value_type, Bits) and value_type.bit_fields:
        known = sum(field.mask for field in value_type.bit_fields)
        return _with_rest([value_type(value).describe()] if value & known else [], value & ~known)
    if issubclass(value_type, IntEnum):
        names = {member.value: member.name for member in value_type}
        return str(names.get(value, "unknown"))
    return ""


def _with_rest(known: list[str], rest: int) -> str:
    return ", ".join([*known, *([f"undeclared bits {rest:#x}"] if rest else [])])


def describe_access(offset: int, value: int, *, write: bool) -> str:
    """What ``value`` means at ``offset``; for a write to a masked register, which bits it sets and clears."""
    if offset == PVINFO_BASE + VGT_IF.offset_of("magic"):
        return "the magic" if value == VGT_MAGIC else "not the magic"
    if offset == PvInfo.g2v_notify.at():
        return describe_value(Notification, value)
    place = register_at(offset)
    if place is None or offset & 3:
        return ""
    value_type = place.register.value_type
    if write and place.register.access is Access.MASKED:
        enabled = value >> 16
        parts = [
            f"{verb} {describe_value(value_type, bits) or hex(bits)}" for verb, bits in (("set", value & enabled), ("clear", ~value & enabled)) if bits
        ]
        return "; ".join(parts) or "nothing enabled"
    return describe_value(value_type, value)
