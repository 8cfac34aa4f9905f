"""What is put in front of a context that has no register state yet, or not all of it.

Such a context is restored with inhibit: it takes whatever the registers hold, and keeps that from then on. So they are
loaded first with what the vGPU's own registers hold. On gen8 those of the vGPU's own are loaded when the turn begins.

Where this differs from the kernel's mediator, on purpose: what a streamer reckons with is cleared, and its condition codes
and parser modes are the vGPU's on every engine (the kernel leaves there what the context of another guest has left, which a guest
then finds in its own). The same for a render context whose image, though it is to be restored, lacks what hardware saves behind
the layout that drivers know.

Source: linux:drivers/gpu/drm/i915/gvt/mmio_context.c, linux:drivers/gpu/drm/i915/gt/gen8_engine_cs.c
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import TYPE_CHECKING, Final

from pvinfo.commands.mi.control import MI_ARB_ON_OFF, MI_NOOP
from pvinfo.commands.mi.register import MI_LOAD_REGISTER_IMM
from pvinfo.commands.pipe_control import PIPE_CONTROL, PipeControlFlags, PipeControlPostSync
from pvinfo.context_image import context_image
from pvinfo.execlist import SCRATCH_OFFSET
from pvinfo.platform import ENGINES, Engine
from pvinfo.registers.engine import EngineRegisters, MiMode
from pvinfo.registers.mocs import L3CacheControl, Mocs

from ...gpu.context_layout import MASKED_NAMES, render_registers
from .switched_registers import SwitchedRegister, switched_registers

if TYPE_CHECKING:
    from ...device.mmio.registers import RegisterPage

__all__ = ("incomplete_preamble", "inhibited_preamble", "own_state")

_NOOP: Final = int(MI_NOOP.header())
_ARBITRATION_OFF: Final = [int(MI_ARB_ON_OFF.header(enable=0)), _NOOP]
_ARBITRATION_ON: Final = [int(MI_ARB_ON_OFF.header(enable=1)), _NOOP]
_FLUSH_AND_INVALIDATE: Final = PipeControlFlags.of(
    cs_stall=1, render_target_cache_flush=1, depth_cache_flush=1, dc_flush=1, flush_enable=1,
    invalidate_tlb=1, instruction_cache_invalidate=1, texture_cache_invalidate=1, vf_cache_invalidate=1,
    const_cache_invalidate=1, state_cache_invalidate=1, post_sync=PipeControlPostSync.WRITE_IMMEDIATE, store_index=1,
)  # fmt: skip
_PIPE_CONTROL: Final = int(PIPE_CONTROL.header())
_BARRIER: Final = [_PIPE_CONTROL, 0, 0, 0, 0, 0, _PIPE_CONTROL, int(_FLUSH_AND_INVALIDATE), SCRATCH_OFFSET, 0, 0, 0]
"""Preceded by one that does nothing, without which vertices must not be dropped on gen9."""
_HIGH: Final = 0xFFFF0000
_STOPPING: Final = MiMode.stop_ring.mask | MiMode.idle.mask
"""Of the parser's modes, what the mediator alone decides."""
_MODES: Final = ("excc", "instpm")
_RECKONING: Final = ("bb_start_addr_udw", "bb_start_addr", "bb_add_diff", "bb_offset", "mi_predicate_result_1")


@cache
def _in_context(graphics_version: int, engine: Engine) -> tuple[SwitchedRegister, ...]:
    return tuple(register for register in switched_registers(graphics_version) if register.engine == engine.name and register.in_context)


@cache
def _reckoning_behind_layout(graphics_version: int) -> tuple[int, ...]:
    """What render contexts keep behind the layout that drivers know and no vGPU has for itself: counters, predicates, parameters."""
    own = {row.offset for row in switched_registers(graphics_version)}
    return tuple(offset for offset, masked in render_registers(graphics_version) if not masked and offset not in own)


@cache
def _own_behind_layout(graphics_version: int) -> tuple[SwitchedRegister, ...]:
    """What they keep there that each vGPU has for itself, and that does not go with the turn."""
    if graphics_version < 9:
        return ()
    behind = {offset for offset, _ in render_registers(graphics_version)}
    return tuple(row for row in _in_context(graphics_version, Engine.RCS0) if row.offset in behind)


@cache
def _streamer_state(graphics_version: int, engine: Engine) -> tuple[tuple[int, bool], ...]:
    """Registers of the streamer's own that contexts keep, and whether they are modes of the vGPU's, whose upper half enables the write."""
    known = {register.name: ENGINES[engine].base + register.offset for register in context_image(graphics_version, engine).registers}
    listed = {row.offset for row in _in_context(graphics_version, engine)}
    modes = [(known[name], True) for name in _MODES if name in known and known[name] not in listed]
    render = tuple((offset, False) for offset in _reckoning_behind_layout(graphics_version)) if engine is Engine.RCS0 else ()
    if graphics_version == 8:
        return render
    return (*modes, *render, *((offset, False) for name, offset in known.items() if name.startswith("gpr_") or name in _RECKONING))


def _load(pairs: Iterable[tuple[int, int]]) -> list[int]:
    words = [word for pair in pairs for word in pair]
    return [int(MI_LOAD_REGISTER_IMM.header(1 + len(words))), *words, _NOOP]


def _values(rows: Iterable[SwitchedRegister], registers: RegisterPage) -> list[tuple[int, int]]:
    return [(row.offset, registers.read32(row.offset) | (_HIGH if row.masked else 0)) for row in rows]


def _streamer_values(graphics_version: int, engine: Engine, registers: RegisterPage) -> list[tuple[int, int]]:
    return [(offset, registers.read32(offset) | _HIGH if mode else 0) for offset, mode in _streamer_state(graphics_version, engine)]


def _own(rows: Iterable[SwitchedRegister], registers: RegisterPage) -> list[int]:
    """Load what the vGPU's own registers hold, between barriers."""
    pairs = _values(rows, registers)
    return [*_BARRIER, *_load(pairs), *_BARRIER] if pairs else []


def inhibited_preamble(graphics_version: int, engine: Engine, registers: RegisterPage) -> list[int]:
    """For a context that is restored with inhibit: an even number of dwords; none where nothing is to be loaded."""
    state = _streamer_values(graphics_version, engine, registers)
    if graphics_version < 9:
        return [*_ARBITRATION_OFF, *_load(state), *_ARBITRATION_ON] if state else []
    dwords = list(_ARBITRATION_OFF)
    dwords += _own(_in_context(graphics_version, engine), registers)
    dwords += _load(state)
    if engine is Engine.RCS0:
        for table, first in ((Mocs.entry, Mocs.entry.at(engine.name)), (L3CacheControl.entry, L3CacheControl.entry.at())):
            dwords += _load((offset, registers.read32(offset)) for offset in range(first, first + 4 * table.count, 4))
    return dwords + _ARBITRATION_ON


def incomplete_preamble(graphics_version: int, engine: Engine, registers: RegisterPage) -> list[int]:
    """For a context that is restored from an image without what hardware saves behind the layout that drivers know."""
    if engine is not Engine.RCS0:
        return []
    own = _own(_own_behind_layout(graphics_version), registers)
    return [*_ARBITRATION_OFF, *own, *_load((offset, 0) for offset in _reckoning_behind_layout(graphics_version)), *_ARBITRATION_ON]


@cache
def _masked(graphics_version: int, engine: Engine) -> tuple[int, ...]:
    """All that contexts keep of which an image may enable no bit, so that a restore leaves there what was."""
    image = context_image(graphics_version, engine)
    named = [ENGINES[engine].base + register.offset for register in image.registers if register.name in MASKED_NAMES]
    return (*named, *(offset for offset, masked in render_registers(graphics_version) if masked and engine is Engine.RCS0))


def own_state(graphics_version: int, engine: Engine, registers: RegisterPage) -> dict[int, int]:
    """The same as values of registers, by offset: for an engine that nothing can be put in front of, as the host's own contexts run
    as they are. To be written while the engine is idle; tables of cache control go with the turn."""
    state = dict(_values(_in_context(graphics_version, engine), registers)) if graphics_version >= 9 else {}
    state |= dict(_streamer_values(graphics_version, engine, registers))
    state |= {offset: registers.read32(offset) | _HIGH for offset in _masked(graphics_version, engine)}
    mode = ENGINES[engine].base + EngineRegisters.mi_mode.offset
    if mode in state:
        state[mode] &= ~(_STOPPING << 16)
    return state
