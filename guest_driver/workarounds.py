"""Work-arounds: registers that the driver sets because the hardware needs it, from a table kept as data.

Lists that are verified after each resume show whether the device keeps what is written: a host that drops
one of these writes makes its guest complain.
Source: linux:drivers/gpu/drm/i915/gt/intel_workarounds.c, linux:drivers/gpu/drm/i915/intel_clock_gating.c
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from pvinfo.errors import LayoutError
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers import NONPRIV_SLOTS, ClockGateWorkarounds, DopClockGate, EngineRegisters, MulticastSelector

from .device_info import Topology
from .uncore import Uncore

__all__ = (
    "Operation",
    "Workaround",
    "apply_engine_workarounds",
    "apply_gt_workarounds",
    "apply_whitelist",
    "context_workarounds",
    "init_clock_gating",
    "workarounds",
)

_COLUMNS: Final = ["list", "platforms", "revisions", "offset", "register", "op", "clear", "set"]
_MCR_SELECTOR: Final = 0xFDC


class Operation(Enum):
    """How a register is changed."""

    MODIFY = "modify"
    MASKED = "masked"
    WRITE = "write"
    CREDITS = "credits"
    ALLOW = "allow"


class Workaround(NamedTuple):
    """One row of the table."""

    group: str
    platforms: frozenset[str]
    revisions: tuple[range, ...]
    """Empty: all of them."""
    offset: int
    register: str
    """The kernel's name."""
    operation: Operation
    clear: int
    set_bits: int

    @property
    def masked_value(self) -> int:
        """What is written to a register whose upper half enables the write of the lower."""
        return (self.clear | self.set_bits) << 16 | self.set_bits

    def concerns(self, platform: str, revision: int) -> bool:
        """Whether this part needs it."""
        return platform in self.platforms and (not self.revisions or any(revision in span for span in self.revisions))


def _revisions(text: str) -> tuple[range, ...]:
    if text == "*":
        return ()
    spans = [part.split("-") for part in text.split(",")]
    return tuple(range(int(span[0]), int(span[-1]) + 1) for span in spans)


@cache
def _table() -> tuple[Workaround, ...]:
    lines = (files(__package__) / "workarounds.tsv").read_text(encoding="ascii").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    if rows[0] != _COLUMNS:
        raise LayoutError(f"workarounds.tsv has columns {rows[0]}, not {_COLUMNS}")
    return tuple(
        Workaround(
            group, frozenset(platforms.split(",")), _revisions(revisions), int(offset, 16), register,
            Operation(operation), int(clear, 16), int(set_bits, 16),
        )
        for group, platforms, revisions, offset, register, operation, clear, set_bits in rows[1:]
    )  # fmt: skip


def workarounds(group: str, platform: str, revision: int) -> Iterator[Workaround]:
    """The rows of one list that a part needs, in the driver's order."""
    return (row for row in _table() if row.group == group and row.concerns(platform, revision))


def _rows(uncore: Uncore, group: str) -> list[Workaround]:
    return list(workarounds(group, uncore.platform.name, uncore.revision))


# ---- one after the other ----


def _change_credits(uncore: Uncore, row: Workaround) -> None:
    """The gate may not be on while the credits change, nor until 100 clocks later."""
    gate = ClockGateWorkarounds.misccpctl
    before = uncore.modify(gate, DopClockGate.render.mask, 0)
    uncore.regs.write32(row.offset, uncore.regs.read32(row.offset) & ~row.clear | row.set_bits)
    uncore.regs.read32(row.offset)
    uncore.clock.wait_ns(1_000)
    uncore.write(gate, before)


def init_clock_gating(uncore: Uncore) -> None:
    """Switch off the clock gates that do harm, and what else is set once (``intel_clock_gating_init``)."""
    regs = uncore.regs
    for row in _rows(uncore, "clock-gating"):
        if row.operation is Operation.MODIFY:
            regs.write32(row.offset, regs.read32(row.offset) & ~row.clear | row.set_bits)
        elif row.operation is Operation.MASKED:
            regs.write32(row.offset, row.masked_value)
        elif row.operation is Operation.WRITE:
            regs.write32(row.offset, row.set_bits)
        else:
            _change_credits(uncore, row)


# ---- as a list: one register once, lowest offset first ----


class _Merged(NamedTuple):
    """All that one list wants of one register."""

    offset: int
    register: str
    clear: int
    """0: the register is written without being read."""
    set_bits: int
    verify: int


def _merge(rows: list[Workaround], base: int = 0) -> list[_Merged]:
    merged: dict[int, _Merged] = {}
    for row in rows:
        offset = base + row.offset
        if row.operation is Operation.MASKED:
            clear, set_bits, verify = 0, row.masked_value, row.clear | row.set_bits
        else:
            clear, set_bits, verify = row.clear, row.set_bits, row.clear | row.set_bits
        old = merged.get(offset, _Merged(offset, row.register, 0, 0, 0))
        merged[offset] = _Merged(offset, row.register, old.clear | clear, old.set_bits | set_bits, old.verify | verify)
    return [merged[offset] for offset in sorted(merged)]


def _apply(uncore: Uncore, entries: list[_Merged]) -> None:
    regs = uncore.regs
    for entry in entries:
        before = regs.read32(entry.offset) if entry.clear else 0
        after = before & ~entry.clear | entry.set_bits
        if after != before or not entry.clear:
            regs.write32(entry.offset, after)


def _verify(uncore: Uncore, entries: list[_Merged]) -> None:
    for entry in entries:
        value = uncore.regs.read32(entry.offset)
        if (value ^ entry.set_bits) & entry.verify:
            uncore.log.error(
                "workaround-lost",
                f"{entry.register} at {entry.offset:#x} reads {value:#x}: of bits {entry.verify:#x}, {entry.set_bits & entry.verify:#x} should be set",
            )


def _steering(topology: Topology) -> _Merged:
    """Reads of what every slice has must be answered by one that exists."""
    clear = MulticastSelector.slice.mask | MulticastSelector.subslice.mask
    selector = MulticastSelector.of(slice=topology.first_slice, subslice=topology.first_subslice)
    return _Merged(_MCR_SELECTOR, "GEN8_MCR_SELECTOR", clear, int(selector), clear | selector)


def apply_gt_workarounds(uncore: Uncore, topology: Topology) -> None:
    """Set the list of the GT as a whole and see that it sticks (``intel_gt_apply_workarounds``, ``intel_gt_verify_workarounds``)."""
    entries = _merge(_rows(uncore, "gt"))
    if uncore.platform.graphics_version == 9:
        entries.insert(0, _steering(topology))
    _apply(uncore, entries)
    _verify(uncore, entries)


def context_workarounds(uncore: Uncore, engine: Engine) -> list[tuple[int, int]]:
    """Registers and values that each context of ``engine`` begins with (``intel_engine_init_ctx_wa``)."""
    if engine is not Engine.RCS0:
        return []
    return [(entry.offset, entry.set_bits) for entry in _merge(_rows(uncore, "ctx"))]


def apply_engine_workarounds(uncore: Uncore, engine: Engine) -> None:
    """Set the list of one engine (``intel_engine_apply_workarounds``)."""
    if engine is Engine.RCS0:
        _apply(uncore, _merge(_rows(uncore, "rcs")))
    else:
        _apply(uncore, _merge(_rows(uncore, "xcs"), ENGINES[engine].base))


def apply_whitelist(uncore: Uncore, engine: Engine) -> None:
    """Let batches of the render engine write a few registers; the slots left over point at one that does nothing
    (``intel_engine_apply_whitelist``)."""
    if engine is not Engine.RCS0:
        return
    slots = sorted(row.offset | row.set_bits for row in _rows(uncore, "whitelist"))
    if not slots:
        return
    slots += [EngineRegisters.nopid.at(engine.name)] * (NONPRIV_SLOTS - len(slots))
    for number, slot in enumerate(slots):
        uncore.regs.write32(EngineRegisters.force_to_nonpriv.at(engine.name) + 4 * number, slot)
