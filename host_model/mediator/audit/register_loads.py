"""Commands that load, store and copy registers, and the rules for those that a guest may not have its own way with.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from pvinfo.commands.mi.header import MI_MASK
from pvinfo.commands.mi.register import MI_LOAD_REGISTER_IMM, REGISTER_MASK, LoadRegisterImmHeader, StoreRegisterMemHeader
from pvinfo.platform import ENGINES
from pvinfo.registers.engine import EngineRegisters
from pvinfo.registers.gtt import TiledResourceEnable
from pvinfo.registers.tracked import MMIO_SIZE
from pvinfo.units import PAGE_SHIFT

from ..refusal import Consequence
from .flow import wrong_length
from .scan import LoadRule, Scan

__all__ = (
    "keep", "keep_masked", "load_register_imm", "load_register_reg", "read_only", "refuse_register", "register_memory", "root", "sparse_table",
    "through_handler",
)  # fmt: skip

_GLOBAL: Final = StoreRegisterMemHeader.use_global_gtt.mask
_HIGH: Final = 0xFFFF
_LENGTH: Final = 0xFF
_BYTES: Final = LoadRegisterImmHeader.byte_write_disable.mask
_ROOTS: Final = EngineRegisters.pdp_lo.offset
_ROOT_DWORDS: Final = 8
_LEVELS_WITH_ONE_ROOT: Final = 4


# ---- commands ----


def load_register_imm(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """Each register goes by its rule; those without any are looked for all at once."""
    if not header & 1:
        raise wrong_length(scan, dwords, at, (header & _LENGTH) + 2, "an odd number of")
    after = at + (header & _LENGTH) + 2
    if scan.plain_loads.issuperset(dwords[at + 1 : after : 2]):
        return after
    loads = scan.loads
    for register in range(at + 1, after, 2):
        rule = loads.get(dwords[register] & REGISTER_MASK, refuse_register)
        if rule is not None:
            rule(scan, dwords, at, register, register + 1)
    return after


def register_memory(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """A load from memory, or a store to it."""
    if header & _LENGTH != 2:
        raise wrong_length(scan, dwords, at, (header & _LENGTH) + 2, "4")
    if dwords[at + 1] & REGISTER_MASK not in scan.commands.memory:
        _refuse_use(scan, dwords, at, at + 1, scan.commands.memory)
    if header & _GLOBAL:
        address = dwords[at + 2] & ~3 | (dwords[at + 3] & _HIGH) << 32
        if address >> PAGE_SHIFT not in scan.pages:
            scan.audit_address(dwords, at, at + 2, address, 4)
    return at + 4


def load_register_reg(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """A copy from register to register."""
    if header & _LENGTH != 1:
        raise wrong_length(scan, dwords, at, (header & _LENGTH) + 2, "3")
    for register in (at + 1, at + 2):
        if dwords[register] & REGISTER_MASK not in scan.commands.copied:
            _refuse_use(scan, dwords, at, register, scan.commands.copied)
    return at + 3


# ---- registers that are out of bounds ----


def refuse_register(scan: Scan, dwords: memoryview, at: int, register: int, value: int) -> None:
    """The rule for every register that is on no list."""
    offset = dwords[register] & REGISTER_MASK
    if offset >= MMIO_SIZE:
        text = f"register {offset:#x} is beyond the registers, which end at {MMIO_SIZE:#x}"
    else:
        text = f"register {offset:#x} is none that commands of {scan.engine.value} may touch"
    nearest = min(scan.loads, key=lambda known: abs(known - offset))
    raise scan.refusal("audit-register", dwords, at, text, value=dwords[register], nearest=f"{nearest:#x}")


def _refuse_use(scan: Scan, dwords: memoryview, at: int, register: int, allowed: frozenset[int]) -> None:
    """A register that may be loaded, perhaps, but not in this way."""
    offset = dwords[register] & REGISTER_MASK
    if offset not in scan.loads:
        refuse_register(scan, dwords, at, register, register)
    raise scan.refusal(
        "audit-register-use", dwords, at, f"register {offset:#x} may be loaded with a value only", value=dwords[register],
        nearest=", ".join(f"{known:#x}" for known in sorted(allowed)) or "MI_LOAD_REGISTER_IMM", consequence=Consequence.FLUSH,
    )  # fmt: skip


def read_only(scan: Scan, dwords: memoryview, at: int, register: int, value: int) -> None:
    """The rule for a register of the mediator's with bits that cannot be written."""
    raise scan.refusal("audit-register-read-only", dwords, at, f"register {dwords[register] & REGISTER_MASK:#x} cannot be loaded", value=dwords[register])


def _whole(scan: Scan, dwords: memoryview, at: int) -> None:
    """The value must be the one that the register gets."""
    header = dwords[at]
    if _is_load(header) and header & _BYTES:
        raise scan.refusal("audit-register-bytes", dwords, at, "a register of the mediator's is loaded in part", nearest=f"{header & ~_BYTES:#010x}")


def _is_load(header: int) -> bool:
    return header & MI_MASK == MI_LOAD_REGISTER_IMM.match


# ---- registers with a rule ----


def keep(scan: Scan, dwords: memoryview, at: int, register: int, value: int) -> None:
    """The vGPU remembers the value: it is loaded again whenever the vGPU has the GPU."""
    _whole(scan, dwords, at)
    scan.vgpu.registers.write32(dwords[register] & REGISTER_MASK, dwords[value])


def keep_masked(scan: Scan, dwords: memoryview, at: int, register: int, value: int) -> None:
    """The same for a register whose upper half enables the write of the lower."""
    _whole(scan, dwords, at)
    offset = dwords[register] & REGISTER_MASK
    enabled = dwords[value] >> 16
    registers = scan.vgpu.registers
    registers.write32(offset, registers.read32(offset) & ~enabled | dwords[value] & enabled)


def through_handler(handler: Callable[..., int], value_type: type[int]) -> LoadRule:
    """A rule for a register that the mediator watches over: what its handler makes of the value is what is loaded, by the command."""

    def rule(scan: Scan, dwords: memoryview, at: int, register: int, value: int) -> None:
        _whole(scan, dwords, at)
        offset = dwords[register] & REGISTER_MASK
        dwords[value] = handler(scan.vgpu, offset, value_type(dwords[value])) & 0xFFFFFFFF

    return rule


def sparse_table(scan: Scan, dwords: memoryview, at: int, register: int, value: int) -> None:
    """A table of sparse resources at a physical address would be walked without a shadow."""
    _whole(scan, dwords, at)
    wanted = TiledResourceEnable(dwords[value])
    if wanted.enable and not wanted.virtual_addressing:
        raise scan.refusal(
            "audit-sparse-table", dwords, at, "the table of sparse resources must have a virtual address", value=dwords[value],
            nearest=f"{TiledResourceEnable.of(wanted, virtual_addressing=True):#x}", consequence=Consequence.FLUSH,
        )  # fmt: skip


def root(scan: Scan, dwords: memoryview, at: int, register: int, value: int) -> None:
    """Page-table roots: the guest's own become those of their shadow. All that make up an address space come in one command."""
    _whole(scan, dwords, at)
    ppgtt = scan.ppgtt
    if ppgtt is None or not _is_load(dwords[at]):
        raise scan.refusal(
            "audit-root", dwords, at, "a page-table root is set in another way than by MI_LOAD_REGISTER_IMM in a ring or batch", value=dwords[register]
        )
    first = ENGINES[scan.engine].base + _ROOTS
    pairs: list[tuple[int, int]] = []
    for index in range(at + 1, at + (dwords[at] & _LENGTH) + 2, 2):
        number = (dwords[index] & REGISTER_MASK) - first >> 2
        if 0 <= number < _ROOT_DWORDS:
            if index < register:
                return  # done with the first of them
            pairs.append((number, index + 1))
    given = {number: dwords[place] for number, place in pairs}
    count = 1 if ppgtt.levels == _LEVELS_WITH_ONE_ROOT else 4
    shadow: tuple[int, ...] = ()
    if any(number < 2 * count for number in given):
        shadow = _shadow_roots(scan, dwords, at, ppgtt.levels, count, given)
    for number, place in pairs:
        whole = shadow[number >> 1] if number >> 1 < len(shadow) else 0
        dwords[place] = whole >> 32 * (number & 1) & 0xFFFFFFFF


def _shadow_roots(scan: Scan, dwords: memoryview, at: int, levels: int, count: int, given: dict[int, int]) -> tuple[int, ...]:
    if any(number not in given for number in range(2 * count)):
        raise scan.refusal(
            "audit-root", dwords, at, f"{len(given)} of the {2 * count} halves of page-table roots are set", nearest="all of them in one command",
            consequence=Consequence.FLUSH,
        )  # fmt: skip
    roots = tuple(given[2 * number] | given[2 * number + 1] << 32 for number in range(count))
    tables = scan.spaces.hold(levels, roots)
    if tables is None:
        raise scan.refusal(
            "audit-root", dwords, at, f"no address space with the root {roots[0]:#x} has been announced", value=given[0], nearest="a root that was announced",
            consequence=Consequence.FLUSH,
        )  # fmt: skip
    return tables.shadow_roots
