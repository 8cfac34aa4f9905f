"""Registers that commands may load, store and copy.

Which ones is the kernel's list, a flag of the tracked registers, and what the host's default contexts load: registers that
hardware keeps for each context. Some take more than a look: see ``register_rules.tsv``.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from pvinfo.context_image import RING_CONTEXT_DWORDS, context_image
from pvinfo.errors import LayoutError
from pvinfo.platform import ENGINES, Engine, Platform, platform_named
from pvinfo.registers.tracked import TrackedAttribute, TrackedRun, tracked_offsets, tracked_runs

from ...gpu.context_layout import render_registers
from ..hardware.register_switch import registers_with
from ..hardware.switched_registers import switched_registers
from ..policy import handlers_for
from .register_loads import keep, keep_masked, read_only, root, sparse_table, through_handler
from .scan import LoadRule, Scan

__all__ = ("RegisterRules", "default_context_registers", "loadable_registers", "register_rules")

_BLOCK_SIZE: Final = 0x1000
_SECOND_VIDEO_ENGINE: Final = 0x1C000
"""Block of an engine that none of the modelled parts has. Source: linux:drivers/gpu/drm/i915/i915_reg.h"""
_BLOCKS: Final = (*(spec.base for spec in ENGINES.values()), _SECOND_VIDEO_ENGINE)
_GEN8_RENDER_ONLY: Final = 0x40000
"""From here on, registers are for the render engine alone on gen8. Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c"""


class _Row(NamedTuple):
    """A row of ``register_rules.tsv``."""

    rule: str
    platforms: frozenset[str]
    """Empty: all."""
    relative: bool
    """The offset is counted from the engine's block."""
    offset: int
    dwords: int

    def offsets(self, engine: Engine) -> range:
        first = self.offset + (ENGINES[engine].base if self.relative else 0)
        return range(first, first + 4 * self.dwords, 4)


@cache
def _rows() -> tuple[_Row, ...]:
    rows = []
    text = (files(__package__) / "register_rules.tsv").read_text("ascii")
    for number, line in enumerate(text.splitlines(), 1):
        if line.startswith(("#", "rule\t")):
            continue
        try:
            rule, platforms, place, offset, dwords, _name, _source = line.split("\t")
            named = frozenset() if platforms == "ALL" else frozenset(platforms.split(","))
            rows.append(_Row(rule, named, {"engine": True, "bar": False}[place], int(offset, 16), int(dwords)))
        except (ValueError, KeyError) as error:
            raise LayoutError(f"register_rules.tsv line {number}: {line!r} is no row of the table ({error})") from None
    return tuple(rows)


def _under(rule: str, engine: Engine, platform: Platform) -> frozenset[int]:
    return frozenset(
        offset
        for row in _rows()
        if row.rule == rule and (not row.platforms or platform.tracked_name in row.platforms)
        for offset in row.offsets(engine)
    )


def default_context_registers(platform: Platform) -> frozenset[int]:
    """The registers that the host's default contexts load, of all engines.

    The kernel's mediator reads them out of the contexts that its own driver has recorded; ours knows how they are laid out.
    """
    found = {
        ENGINES[engine].base + register.offset
        for engine in platform.engines
        for register in context_image(platform.graphics_version, engine).registers
        if register.dword >= RING_CONTEXT_DWORDS
    }
    found.update(offset for offset, _ in render_registers(platform.graphics_version))
    return frozenset(found)


def _may_touch(engine: Engine, platform: Platform, offset: int) -> bool:
    """The register is not another engine's."""
    if offset & -_BLOCK_SIZE in _BLOCKS:
        return offset & -_BLOCK_SIZE == ENGINES[engine].base
    return platform.graphics_version > 8 or engine is Engine.RCS0 or offset < _GEN8_RENDER_ONLY


class RegisterRules(NamedTuple):
    """What commands of one engine may do to registers."""

    loads: dict[int, LoadRule | None]
    """Registers that may be loaded; None: with any value."""
    inhibited_loads: dict[int, LoadRule | None]
    """The same in a context that is restored with inhibit."""
    memory: frozenset[int]
    """Registers that may be stored to memory and loaded from it."""
    copied: frozenset[int]
    """Registers that may be copied from and to."""


_PATCH: Final = TrackedAttribute.COMMAND_PATCH


@cache
def _tracked_with(attribute: TrackedAttribute, platform_name: str) -> frozenset[int]:
    return frozenset(offset for run in tracked_runs(platform_name) if run.attributes & attribute for offset in run.offsets())


@cache
def _runs(platform_name: str) -> dict[int, TrackedRun]:
    return dict(tracked_offsets(platform_name))


def loadable_registers(engine: Engine, platform: Platform, *, alone: bool = False) -> frozenset[int]:
    """All registers that commands of ``engine`` may load. ``alone``: other engines may work for another vGPU at the same time, and
    so those that are of whoever has one of them are none of these, wherever they stand."""
    tracked = _tracked_with(TrackedAttribute.COMMAND_ACCESS, platform.name)
    found = {offset for offset in tracked | default_context_registers(platform) if _may_touch(engine, platform, offset)}
    if alone:
        found.difference_update(*(registers_with(platform, other) for other in platform.engines if other is not engine))
    return frozenset(found)


def _remembered(platform: Platform) -> dict[int, LoadRule]:
    """The registers that the mediator itself loads for a context that is restored with inhibit, and how what the context loads is kept."""
    version = platform.graphics_version
    if version < 9:
        return {}
    return {register.offset: keep_masked if register.masked else keep for register in switched_registers(version) if register.in_context}


@cache
def register_rules(engine: Engine, platform_name: str, *, alone: bool = False) -> RegisterRules:
    """The rules of ``engine`` on the platform called ``platform_name``; ``alone`` is as of :func:`loadable_registers`."""
    platform = platform_named(platform_name)
    allowed = loadable_registers(engine, platform, alone=alone)
    runs = _runs(platform.name)
    handlers = handlers_for(platform.name).writes
    patched = {offset for offset in _tracked_with(_PATCH, platform.name) if runs[offset].attributes & _PATCH} | default_context_registers(platform)
    roots, kept = _under("root", engine, platform), _under("kept", engine, platform)
    sparse = _under("sparse", engine, platform)
    remembered = _remembered(platform)
    loads: dict[int, LoadRule | None] = {}
    inhibited: dict[int, LoadRule | None] = {}
    for offset in sorted(allowed):
        rules: list[LoadRule] = []
        run = runs.get(offset)
        if offset in roots:
            rules.append(root)
        if offset in kept:
            rules.append(keep)
        if offset in sparse:
            rules.append(sparse_table)
        elif offset in patched and run is not None and run.read_only:
            rules.append(read_only)
        elif offset in handlers:
            rules.append(through_handler(*handlers[offset]))
        loads[offset] = _in_turn(rules)
        if offset in remembered:
            rules.append(remembered[offset])
        inhibited[offset] = _in_turn(rules)
    return RegisterRules(loads, inhibited, _under("memory", engine, platform) & allowed, _under("copied", engine, platform) & allowed)


def _in_turn(rules: Sequence[LoadRule]) -> LoadRule | None:
    """One rule for several."""
    if len(rules) < 2:
        return rules[0] if rules else None
    several = tuple(rules)

    def rule(scan: Scan, dwords: memoryview, at: int, register: int, value: int) -> None:
        for each in several:
            each(scan, dwords, at, register, value)

    return rule
