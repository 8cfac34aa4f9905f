"""Headers of the commands to the streamer itself: bits 31:29 are zero, bits 28:23 say which."""

from __future__ import annotations

from typing import Final, TypeVar

from ...bits import Bits, choice, flag, uint
from ...platform import Engine
from ..command import ALL_ENGINES, ONE_DWORD, Audit, Client, Command, Form, Length

__all__ = (
    "MI_MASK",
    "RENDER",
    "RENDER_AND_BLITTER",
    "CountedHeader",
    "GlobalHeader",
    "MiHeader",
    "mi_command",
    "mi_header",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"

MI_MASK: Final = 0xFF800000
"""The bits that tell one command to the streamer from another. Source: linux:drivers/gpu/drm/i915/i915_cmd_parser.c"""

RENDER: Final = frozenset({Engine.RCS0})
RENDER_AND_BLITTER: Final = frozenset({Engine.RCS0, Engine.BCS0})

H = TypeVar("H", bound=Bits)


class MiHeader(Bits):
    """Header of a command to the streamer that has nothing else in it."""

    opcode = uint(23, 6, "which command", source=SOURCE)
    client = choice(29, 3, Client, "zero: the streamer itself", source=SOURCE)


class CountedHeader(MiHeader):
    """Header of a command to the streamer that has its length in it and nothing else."""

    length = uint(0, 8, "dwords that follow the second one", unit="dwords", source=SOURCE)


class GlobalHeader(CountedHeader):
    """Header of a command to the streamer that goes to memory."""

    use_global_gtt = flag(22, "the address is one of the global table; a batch without privilege is not allowed to", source=SOURCE)


def mi_header(opcode: int, dwords: int = 1) -> int:
    """The header of a command of ``dwords`` dwords; more than one are counted from the third on."""
    return opcode << 23 | (dwords - 2 if dwords > 1 else 0)


def mi_command(
    name: str, opcode: int, header_type: type[H], doc: str,
    *, engines: frozenset[Engine] = ALL_ENGINES, length: Length = ONE_DWORD, forms: tuple[Form, ...] = (), audit: Audit = Audit.PASSED,
    audited_lengths: tuple[int, ...] = (), audited_length: Length | None = None, since: int = 8, source: str = SOURCE,
) -> Command[H]:  # fmt: skip
    """Declare a command to the streamer."""
    return Command(
        name, opcode << 23, MI_MASK, header_type, doc, engines=engines, length=length, forms=forms, audit=audit,
        audited_lengths=audited_lengths, audited_length=audited_length, since=since, source=source,
    )  # fmt: skip
