"""The table that an audit walks by: for every header, the length of the command and what is looked at.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

from pvinfo.commands import declared_commands
from pvinfo.commands.command import Audit, Command
from pvinfo.platform import Engine, platform_named

from .display import display_flip, wait_for_event
from .flow import batch_end, batch_start, of_length, refused, unknown, user_interrupt
from .memory import atomic, flush_dw, pipe_control, store_data_imm
from .register_loads import load_register_imm, load_register_reg, register_memory
from .registers import register_rules
from .scan import Check, Commands, Flow, LoadRule

__all__ = ("commands_of",)

_CHECKS: Final[dict[Audit, Check]] = {
    Audit.USER_INTERRUPT: user_interrupt,
    Audit.WAIT_FOR_EVENT: wait_for_event,
    Audit.DISPLAY_FLIP: display_flip,
    Audit.BATCH_START: batch_start,
    Audit.BATCH_END: batch_end,
    Audit.STORE_DATA_IMM: store_data_imm,
    Audit.ATOMIC: atomic,
    Audit.LOAD_REGISTER_IMM: load_register_imm,
    Audit.REGISTER_MEMORY: register_memory,
    Audit.LOAD_REGISTER_REG: load_register_reg,
    Audit.FLUSH_DW: flush_dw,
    Audit.PIPE_CONTROL: pipe_control,
}
_FLOW: Final = {Audit.BATCH_START: Flow.START, Audit.BATCH_END: Flow.END}


def _check(command: Command[Any]) -> Check | None:
    if command.audit is Audit.REFUSED:
        return refused(command)
    if command.audit is Audit.PASSED:
        return of_length(command) if command.audited_lengths else None
    return _CHECKS[command.audit]


@cache
def commands_of(engine: Engine, platform_name: str, *, alone: bool = False) -> Commands:
    """What ``engine`` may be told on the platform called ``platform_name``; ``alone``: while others may work for another vGPU."""
    version = platform_named(platform_name).graphics_version
    table: list[tuple[int, int, Check | None]] = [(0, 1, unknown)] * 0x10000
    flow: dict[int, Flow] = {}
    for command in declared_commands():
        if command.listed and engine in command.engines and command.exists(version):
            entry = (command.length.mask, command.length.added, _check(command))
            first = command.match >> 16
            for upper in range(first, first + (~command.mask >> 16 & 0xFFFF) + 1):
                table[upper] = entry
                if command.audit in _FLOW:
                    flow[upper] = _FLOW[command.audit]
    rules = register_rules(engine, platform_name, alone=alone)
    return Commands(
        tuple(table), unknown, flow, rules.loads, rules.inhibited_loads, _plain(rules.loads), _plain(rules.inhibited_loads), rules.memory, rules.copied
    )


def _plain(loads: dict[int, LoadRule | None]) -> frozenset[int]:
    return frozenset(offset for offset, rule in loads.items() if rule is None)
