"""The context image: what an engine loads when it takes a context up, and saves when it leaves it.

Page 0 is the context's own status page, page 1 the *register state*, the rest engine state that only the hardware
reads. The register state is made like a batch of MI_LOAD_REGISTER_IMM commands: pairs of a register and its value,
with no-operations between the commands, so that software can find each value at a fixed dword. A driver prepares the
page of a context that has never run up to the first dword that it leaves to the hardware, and closes it there with
MI_BATCH_BUFFER_END; the hardware saves over it.

Ring registers and page-table roots are always taken from the image. The rest is loaded unless ``context_control``
inhibits the restore, as it does for a context that has never run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import Enum
from functools import cache
from typing import Final, NamedTuple, final

from .errors import UsageError
from .platform import PLATFORMS, Engine
from .units import PAGE_SIZE

__all__ = (
    "BATCH_BUFFER_END",
    "CONTEXT_CONTROL_FIRST_RUN",
    "CONTEXT_CONTROL_RESTORE",
    "INDIRECT_CONTEXT_OFFSETS",
    "INITIAL_VALUES",
    "REGISTER_LOADS",
    "REGISTER_STATE",
    "RING_CONTEXT_DWORDS",
    "STATE_OFFSET",
    "STATE_PAGE",
    "ContextImage",
    "ImageKind",
    "InitialValue",
    "RegisterLoad",
    "StateRegister",
    "context_image",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_lrc.c"

STATE_PAGE: Final = 1
"""Page of the image that holds the register state. Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.h"""
STATE_OFFSET: Final = STATE_PAGE * PAGE_SIZE
"""Byte of the image at which the register state begins. Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.h"""
RING_CONTEXT_DWORDS: Final = 0x50
"""Dwords of the register state that are the ring's and the page tables'; the engine's follow.
Source: linux:drivers/gpu/drm/i915/gvt/scheduler.c"""
BATCH_BUFFER_END: Final = 0x05000000
"""What closes the register state of a context that has never run. Source: linux:drivers/gpu/drm/i915/gt/intel_gpu_commands.h"""

_LOAD_REGISTER_IMM: Final = 0x11000000
_FORCE_POSTED: Final = 1 << 12


class ImageKind(Enum):
    """Layouts of the register state."""

    GEN8_RENDER = "gen8 render engine"
    GEN8_OTHER = "gen8 other engines"
    GEN9_RENDER = "gen9 render engine"
    GEN9_OTHER = "gen9 other engines"


_EVERY: Final = tuple(ImageKind)
_RENDER: Final = (ImageKind.GEN8_RENDER, ImageKind.GEN9_RENDER)
_OTHER: Final = (ImageKind.GEN8_OTHER, ImageKind.GEN9_OTHER)
_GEN9: Final = (ImageKind.GEN9_RENDER, ImageKind.GEN9_OTHER)
_NOT_GEN8_OTHER: Final = (ImageKind.GEN8_RENDER, *_GEN9)


class RegisterLoad(NamedTuple):
    """An MI_LOAD_REGISTER_IMM of the register state."""

    dword: int
    """Where its header stands; the pairs follow."""
    pairs: int
    """Registers that it loads."""
    force_posted: bool
    """Bit 12 of the header is set."""
    images: tuple[ImageKind, ...]
    """Layouts that have it."""

    @property
    def header(self) -> int:
        """The content of that dword."""
        return _LOAD_REGISTER_IMM | 2 * self.pairs - 1 | (_FORCE_POSTED if self.force_posted else 0)


REGISTER_LOADS: Final = (
    RegisterLoad(0x01, 14, True, _NOT_GEN8_OTHER),
    RegisterLoad(0x01, 11, False, (ImageKind.GEN8_OTHER,)),
    RegisterLoad(0x21, 9, True, _NOT_GEN8_OTHER),
    RegisterLoad(0x21, 9, False, (ImageKind.GEN8_OTHER,)),
    RegisterLoad(0x41, 1, False, _RENDER),
    RegisterLoad(0x41, 2, False, (ImageKind.GEN8_OTHER,)),
    RegisterLoad(0x41, 1, True, (ImageKind.GEN9_OTHER,)),
    RegisterLoad(0x51, 44, True, _GEN9),
)
"""The commands of the register state. Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.c"""


class StateRegister(NamedTuple):
    """A register in the register state."""

    dword: int
    """Where the register is named; its value is the next dword."""
    offset: int
    """Of the register, from the engine's base. The image holds the sum of both."""
    name: str
    """As EngineRegisters calls it where it declares it; array elements with their number."""
    images: tuple[ImageKind, ...]
    """Layouts that have it."""

    @property
    def value_dword(self) -> int:
        """Where the value stands."""
        return self.dword + 1


def _row(dword: int, images: tuple[ImageKind, ...], *registers: tuple[int, str]) -> Iterator[StateRegister]:
    """Registers that follow each other from ``dword`` on."""
    for step, (offset, name) in enumerate(registers):
        yield StateRegister(dword + 2 * step, offset, name, images)


def _state() -> Iterator[StateRegister]:
    yield from _row(
        0x02, _EVERY,
        (0x244, "context_control"), (0x034, "head"), (0x030, "tail"), (0x038, "start"), (0x03C, "control"),
        (0x168, "bbaddr_udw"), (0x140, "bbaddr"), (0x110, "bbstate"),
        (0x11C, "sbbaddr_udw"), (0x114, "sbbaddr"), (0x118, "sbbstate"),
    )  # fmt: skip
    yield from _row(0x18, _NOT_GEN8_OTHER, (0x1C0, "bb_per_ctx_ptr"), (0x1C4, "indirect_ctx"), (0x1C8, "indirect_ctx_offset"))
    roots = [(0x270 + 8 * n + 4 * high, f"pdp_{'hi' if high else 'lo'}[{n}]") for n in (3, 2, 1, 0) for high in (1, 0)]
    yield from _row(0x22, _EVERY, (0x3A8, "ctx_timestamp"), *roots)
    yield from _row(0x42, _RENDER, (0x0C8, "r_pwr_clk_state"))
    yield from _row(0x42, _OTHER, (0x200, "swctrl"))
    yield from _row(0x44, (ImageKind.GEN8_OTHER,), (0x028, "excc"))
    purpose = [(0x600 + 8 * n + 4 * high, f"gpr_{'hi' if high else 'lo'}[{n}]") for n in range(16) for high in (0, 1)]
    yield from _row(
        0x52, _GEN9,
        (0x028, "excc"), (0x09C, "mi_mode"), (0x0C0, "instpm"), (0x178, "pr_ctr_ctl"), (0x17C, "pr_ctr_thrsh"), (0x358, "timestamp"),
        (0x170, "bb_start_addr_udw"), (0x150, "bb_start_addr"), (0x154, "bb_add_diff"), (0x158, "bb_offset"), (0x41C, "mi_predicate_result_1"),
        *purpose, (0x068, "ipehr"),
    )  # fmt: skip


REGISTER_STATE: Final = tuple(_state())
"""The registers of the register state, in order. Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.c"""


CONTEXT_CONTROL_FIRST_RUN: Final = 0x000F0009
"""``context_control`` of a context that has no engine state yet: restore inhibited, no synchronous switch.
Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.c"""
CONTEXT_CONTROL_RESTORE: Final = 0x000F0008
"""``context_control`` of a context that starts from recorded engine state: no synchronous switch.
Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.c"""
INDIRECT_CONTEXT_OFFSETS: Final = {8: 0x17, 9: 0x26}
"""Where the indirect batch runs in the restore, in 64-byte lines, by graphics version.
Source: linux:drivers/gpu/drm/i915/gt/intel_lrc_reg.h"""


class InitialValue(NamedTuple):
    """What a driver writes into the register state before the context first runs."""

    register: str
    value: str
    when: str


INITIAL_VALUES: Final = (
    InitialValue("context_control", "0x000f0009, or 0x000f0008 where recorded engine state was copied in", "when the context is made; again when it is reset"),
    InitialValue("ctx_timestamp", "time the context has had so far", "when the context is made"),
    InitialValue("start", "graphics address of the ring", "each time the context is pinned"),
    InitialValue("head", "the ring's head", "each time the context is pinned, and after a reset; never while it is pinned"),
    InitialValue("tail", "the ring's tail", "each time the context is pinned, and at each submission"),
    InitialValue("control", "length of the ring minus one page, bit 0 set: 0x1 for 4 KiB, 0x3001 for 16 KiB, 0x7f001 for 512 KiB", "each time the context is pinned"),
    InitialValue("pdp_lo[0], pdp_hi[0]", "bus address of the page table's root; the other roots are ignored with four levels", "when the context is made"),
    InitialValue("pdp_lo, pdp_hi", "bus addresses of the four page directories, with three levels", "when the context is made"),
    InitialValue("r_pwr_clk_state", "slices and execution units wanted on gen9, 0 on gen8", "each time the context is pinned, render engine only"),
    InitialValue("indirect_ctx", "graphics address of the work-around batch and its length in 64-byte lines", "when the context is made, render engine only"),
    InitialValue("indirect_ctx_offset", "0x17 on gen8 and 0x26 on gen9, from bit 6", "when the context is made, where there is such a batch"),
    InitialValue("bb_per_ctx_ptr", "graphics address of the second work-around batch, bit 0 set", "when the context is made, where there is such a batch"),
    InitialValue("bb_offset", "0", "when the context is made, gen9"),
    InitialValue("mi_mode", "stop_ring cleared, its write enabled", "when the context is made or reset, gen9"),
)
"""Source: linux:drivers/gpu/drm/i915/gt/intel_lrc.c"""


@final
class ContextImage:
    """The register state of one layout, with the dwords at which things stand; made by :func:`context_image`."""

    def __init__(self, kind: ImageKind) -> None:
        self.kind = kind
        self.loads: tuple[RegisterLoad, ...] = tuple(load for load in REGISTER_LOADS if kind in load.images)
        self.registers: tuple[StateRegister, ...] = tuple(register for register in REGISTER_STATE if kind in register.images)
        self.end: int = self.registers[-1].dword + 2
        """Dword at which a driver closes the page of a context that has never run."""
        self.pairs: tuple[tuple[int, int], ...] = tuple((register.value_dword, register.offset) for register in self.registers)
        """Dword of the value and register offset of each register: what save and restore loop over."""
        self._value_dword = {register.name: register.value_dword for register in self.registers}

    def has(self, register: str) -> bool:
        """Whether the register called ``register`` is part of this layout."""
        return register in self._value_dword

    def value_dword(self, register: str) -> int:
        """Dword of the register state that holds the value of ``register``.

        Raises: UsageError when this layout has no such register.
        """
        try:
            return self._value_dword[register]
        except KeyError:
            raise UsageError(f"the register state of a {self.kind.value} has no {register}; it has {', '.join(self._value_dword)}") from None

    def value_offset(self, register: str) -> int:
        """Byte of the image, counted from its page 0, that holds the value of ``register``. Raises: UsageError as :meth:`value_dword`."""
        return STATE_OFFSET + 4 * self.value_dword(register)

    def layout(self, base: int) -> Iterator[tuple[int, int]]:
        """Place and content of each dword that is no value: the headers, and the registers of the engine at ``base``."""
        headers = {load.dword: load.header for load in self.loads}
        names = {register.dword: base + register.offset for register in self.registers}
        yield from sorted((headers | names).items())

    def fresh_page(self, base: int, values: Iterable[tuple[str, int]] = ()) -> bytes:
        """The register state of a context that has never run, as a driver prepares it, with some ``values`` by name.

        Raises: UsageError for a register that this layout does not have, or a value that is no dword.
        """
        page = memoryview(bytearray(PAGE_SIZE)).cast("I")
        for dword, content in self.layout(base):
            page[dword] = content
        page[self.end] = BATCH_BUFFER_END
        for name, value in values:
            if not 0 <= value <= 0xFFFFFFFF:
                raise UsageError(f"{name} = {value:#x}: a register of the image is a dword")
            page[self.value_dword(name)] = value
        return page.tobytes()


@cache
def context_image(graphics_version: int, engine: Engine) -> ContextImage:
    """The layout of ``engine`` on a platform of ``graphics_version`` (see :attr:`Platform.graphics_version`; how many pages an
    image has, :attr:`Platform.context_pages` says). Raises: UsageError for a version that has no such layout.
    """
    known = sorted({platform.graphics_version for platform in PLATFORMS.values()})
    if graphics_version not in known:
        raise UsageError(f"no context image for graphics version {graphics_version}; there are {', '.join(map(str, known))}")
    return ContextImage(ImageKind[f"GEN{graphics_version}_{'RENDER' if engine is Engine.RCS0 else 'OTHER'}"])
