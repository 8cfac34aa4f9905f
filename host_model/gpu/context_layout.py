"""Where registers stand in the register state of a context, arranged for fast copying.

Behind the layout that drivers know, a render context keeps more registers, as commands of the same kind that load them:
that is how the kernel's mediator learns which registers a context has.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple, final

from pvinfo.context_image import BATCH_BUFFER_END
from pvinfo.errors import LayoutError
from pvinfo.register import Access
from pvinfo.registers.engine import EngineRegisters
from pvinfo.units import PAGE_SIZE

__all__ = ("MASKED_NAMES", "FurtherState", "Slot", "Slots", "Words", "further_state", "render_registers")

_LOAD_REGISTER_IMM: Final = 0x11000000
_PAIRS_PER_LOAD: Final = 126
"""Source: linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h (MI_LOAD_REGISTER_IMM_MAX_REGS)"""

MASKED_NAMES: Final = frozenset({"swctrl", *(register.name for register in EngineRegisters.registers if register.access is Access.MASKED)})
"""Of the registers that the layout names, those whose upper half enables the write of the lower."""


class Slot(NamedTuple):
    """A register, and where its value stands in the register state."""

    dword: int
    register: int
    """Dword of the register file."""
    masked: bool
    """Its upper half enables the write of the lower."""


@final
class Slots:
    """Registers that are loaded or stored together.

    Neighbours in the register state that are neighbours in the register file too are copied in one go.
    """

    def __init__(self, slots: Iterable[Slot]) -> None:
        self._masked: list[tuple[int, int]] = []
        self._runs: list[tuple[slice, slice]] = []
        run: list[Slot] = []
        for slot in slots:
            if slot.masked:
                self._masked.append((slot.dword, slot.register))
                continue
            if run and (slot.dword, slot.register) != (run[-1].dword + 2, run[-1].register + 1):
                self._close(run)
                run = []
            run.append(slot)
        self._close(run)

    def _close(self, run: list[Slot]) -> None:
        if run:
            self._runs.append((slice(run[0].dword, run[-1].dword + 1, 2), slice(run[0].register, run[-1].register + 1)))

    def load(self, page: memoryview, registers: memoryview) -> None:
        """Take the values from ``page``."""
        for dwords, run in self._runs:
            registers[run] = page[dwords]
        for dword, register in self._masked:
            value = page[dword]
            enabled = value >> 16
            registers[register] = registers[register] & ~enabled | value & enabled

    def store(self, page: memoryview, registers: memoryview) -> None:
        """Leave the values in ``page``, ready to be loaded."""
        for dwords, run in self._runs:
            page[dwords] = registers[run]
        for dword, register in self._masked:
            page[dword] = registers[register] & 0xFFFF | 0xFFFF0000


@final
class Words:
    """The dwords of the register state that are no values: command headers, and the names of registers."""

    def __init__(self, words: Iterable[tuple[int, int]]) -> None:
        self._runs: list[tuple[slice, memoryview]] = []
        run: list[tuple[int, int]] = []
        for word in words:
            if run and word[0] != run[-1][0] + 2:
                self._close(run)
                run = []
            run.append(word)
        self._close(run)

    def _close(self, run: list[tuple[int, int]]) -> None:
        if run:
            self._runs.append((slice(run[0][0], run[-1][0] + 1, 2), memoryview(array("I", [content for _, content in run]))))

    def write(self, page: memoryview) -> None:
        """Put them into ``page``."""
        for dwords, content in self._runs:
            page[dwords] = content


class FurtherState(NamedTuple):
    """What stands behind the layout that drivers know."""

    words: tuple[tuple[int, int], ...]
    slots: tuple[Slot, ...]
    header: tuple[int, int]
    """Place and content of a dword that is there only once hardware has saved the image."""


@cache
def render_registers(graphics_version: int) -> tuple[tuple[int, bool], ...]:
    """Offset of each further register of a render context, and whether its upper half enables the write of the lower.

    Raises: LayoutError for a row of the table that is none.
    """
    found: list[tuple[int, bool]] = []
    text = files("host_model.gpu").joinpath("context_registers.tsv").read_text("ascii")
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("0x"):
            continue
        try:
            first, count, since, until, masked, _name, _source = line.split("\t")
            if int(since) <= graphics_version <= int(until):
                found += [(int(first, 16) + 4 * index, masked == "1") for index in range(int(count))]
        except ValueError:
            raise LayoutError(f"context_registers.tsv line {number}: {line!r} is no row of the table") from None
    return tuple(found)


@cache
def further_state(end: int, registers: tuple[tuple[int, bool], ...]) -> FurtherState:
    """Place ``registers`` behind dword ``end``, in commands that begin as those before do, one dword behind a line.

    Raises: LayoutError when they do not fit the page.
    """
    if not registers:
        return FurtherState(((end, BATCH_BUFFER_END),), (), (end, BATCH_BUFFER_END))
    words: list[tuple[int, int]] = [(end, 0)]
    slots: list[Slot] = []
    place = (end + 15 & ~15) + 1
    header = (place, _LOAD_REGISTER_IMM | 2 * min(len(registers), _PAIRS_PER_LOAD) - 1)
    for first in range(0, len(registers), _PAIRS_PER_LOAD):
        row = registers[first : first + _PAIRS_PER_LOAD]
        words.append((place, _LOAD_REGISTER_IMM | 2 * len(row) - 1))
        for offset, masked in row:
            words.append((place + 1, offset))
            slots.append(Slot(place + 2, offset >> 2, masked))
            place += 2
        place += 1
    words.append((place, BATCH_BUFFER_END))
    if place >= PAGE_SIZE // 4:
        raise LayoutError(f"context_registers.tsv: {len(registers)} registers do not fit the page of the register state")
    return FurtherState(tuple(words), tuple(slots), header)
