"""Commands that go from buffer to buffer, those that only tell, and those that no guest may use.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from typing import Any, Final

from pvinfo.commands import command_for
from pvinfo.commands.command import Command
from pvinfo.commands.mi.batch import BatchBufferStartHeader
from pvinfo.platform import Engine

from ..refusal import Refused
from .scan import Check, Level, Scan

__all__ = ("batch_end", "batch_start", "of_length", "refused", "unknown", "user_interrupt")

_PPGTT: Final = BatchBufferStartHeader.ppgtt.mask
_SECOND_LEVEL: Final = BatchBufferStartHeader.second_level.mask
_ADD_OFFSET: Final = BatchBufferStartHeader.add_offset.mask
_KIND: Final = _PPGTT | _SECOND_LEVEL | BatchBufferStartHeader.length.mask
_PLAIN: Final = _PPGTT | 1
"""Of these, what nearly every start in a ring has."""
_ADDRESS_LOW: Final = 0xFFFFFFFC
_ADDRESS_HIGH: Final = 0xFFFF


# ---- commands that are never accepted ----


def unknown(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """No command of this engine, or none that the mediator lists."""
    version = scan.graphics_version
    own = command_for(scan.engine, header, version)
    others = [engine.value for engine in Engine if command_for(engine, header, version) is not None]
    if own is not None:
        text = f"{own.name} is no command for guests"
    elif others:
        text = f"{header:#010x} begins no command of {scan.engine.value}, but one of {', '.join(others)}"
    else:
        text = f"{header:#010x} begins no command"
    raise scan.refusal("audit-command-unknown", dwords, at, text, nearest="a listed command of the engine")


def refused(command: Command[Any]) -> Check:
    """A check for a command that no guest may put where it has privilege."""

    def check(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
        raise scan.refusal(
            "audit-command-refused", dwords, at, f"{command.name} is refused in rings and privileged batches",
            nearest="the command in a batch without privilege",
        )  # fmt: skip

    return check


# ---- lengths ----


def wrong_length(scan: Scan, dwords: memoryview, at: int, length: int, wanted: str) -> Refused:
    """What to raise because of a command of ``length`` dwords."""
    return scan.refusal("audit-length", dwords, at, f"{scan.name_of(dwords[at])} of {length} dwords", nearest=f"{wanted} dwords")


def of_length(command: Command[Any]) -> Check:
    """A check for a command whose length is all that matters."""
    length, wanted = command.length, command.audited_lengths

    def check(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
        dwords_given = length.of(header)
        if dwords_given not in wanted:
            raise wrong_length(scan, dwords, at, dwords_given, " or ".join(map(str, wanted)))
        return at + dwords_given

    return check


# ---- telling ----


def user_interrupt(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """The guest is told when the work is done, and the GPU tells nobody."""
    scan.user_interrupts += 1
    dwords[at] = 0
    return at + 1


# ---- batches ----


def batch_start(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """Through the page tables of the process, a batch has no privilege and runs where it is; another one runs from an audited copy."""
    if header & _KIND == _PLAIN and scan.level is Level.RING:
        return at + 3
    if header & 0xFF != 1:
        raise wrong_length(scan, dwords, at, (header & 0xFF) + 2, "3")
    level = scan.level
    if level is Level.SECOND:
        raise scan.refusal("audit-batch-level", dwords, at, "a second-level batch starts another batch", nearest="the start in a batch or ring")
    if level is Level.IMAGE:
        raise scan.refusal("audit-batch-level", dwords, at, "a context image starts a batch", nearest="the start in a ring")
    if header & _SECOND_LEVEL and level is not Level.BATCH:
        raise scan.refusal(
            "audit-batch-level", dwords, at, f"a second-level batch is started from a {level.value}", nearest=f"{header & ~_SECOND_LEVEL:#010x}"
        )
    if header & _PPGTT:
        return at + 3
    if header & _ADD_OFFSET:
        raise scan.refusal(
            "audit-batch-offset", dwords, at, "the start of a privileged batch has an offset added that is not known yet",
            nearest=f"{header & ~_ADD_OFFSET:#010x}",
        )  # fmt: skip
    address = dwords[at + 1] & _ADDRESS_LOW | (dwords[at + 2] & _ADDRESS_HIGH) << 32
    copy = scan.copy(dwords, at, address, Level.SECOND if header & _SECOND_LEVEL else Level.BATCH)
    dwords[at + 1] = copy & 0xFFFFFFFF
    dwords[at + 2] = copy >> 32
    return at + 3


def batch_end(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """The end of a batch, or of what a context image loads. What stands behind it does not run."""
    if scan.level is Level.RING:
        raise scan.refusal("audit-batch-end", dwords, at, "a ring has no batch's end in it", nearest="MI_NOOP")
    if scan.level is Level.INDIRECT:
        for index in range(at + 1, len(dwords)):
            dwords[index] = 0
    return len(dwords)
