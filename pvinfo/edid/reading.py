"""An EDID read, and refused where a driver would find no picture in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple, NoReturn

from ..display_mode import DisplayMode
from ..errors import UsageError
from .layout import (
    BLOCK_SIZE,
    CTA_DATA_START,
    CTA_HEADER,
    CTA_TAG,
    CTA_VENDOR_BLOCK,
    DESCRIPTOR_HEADER,
    DETAILED_TIMING,
    EDID_BASE,
    EDID_HEADER,
    HDMI_OUI,
    DataBlockHeader,
    DescriptorTag,
    EdidBase,
)
from .modes import established_modes, mode_of, standard_timing_mode

__all__ = ("MAX_HEIGHT", "MAX_WIDTH", "Edid", "parse_edid", "rule_against")

MAX_WIDTH: Final = 8192
"""Pixels of a line, and of a line with its pause. Source: linux:drivers/gpu/drm/i915/display/intel_display.c (intel_mode_valid)"""
MAX_HEIGHT: Final = 4096
MAX_VERTICAL_TOTAL: Final = 8192
MAX_PIXEL_CLOCK_KHZ: Final = 675_000
"""The fastest core display clock of gen8 and gen9. Source: linux:drivers/gpu/drm/i915/display/intel_cdclk.c"""
_LAST_REVISION: Final = 4


class Edid(NamedTuple):
    """What a monitor says of itself."""

    raw: bytes
    """All blocks."""
    manufacturer: str
    """Three letters."""
    product: int
    name: str
    """As it calls itself; empty where it does not."""
    serial: str
    modes: tuple[DisplayMode, ...]
    """What it can show and a pipe can drive, the preferred mode first, one for each resolution and rate."""
    hdmi: bool
    """It understands HDMI; over HDMI's cable one that does not is a DVI monitor."""

    @property
    def preferred(self) -> DisplayMode:
        """The mode to show it in, unless somebody wants another."""
        return self.modes[0]


def rule_against(mode: DisplayMode) -> str:
    """Why a pipe of gen8 or gen9 cannot show ``mode``; empty when it can.

    Source: linux:drivers/gpu/drm/i915/display/intel_display.c (intel_mode_valid, intel_cpu_transcoder_mode_valid)
    """
    checks = (
        (0 < mode.pixel_clock_khz <= MAX_PIXEL_CLOCK_KHZ, f"pixel clock {mode.pixel_clock_khz} kHz, must be 1 to {MAX_PIXEL_CLOCK_KHZ}"),
        (64 <= mode.hdisplay <= MAX_WIDTH, f"{mode.hdisplay} pixels wide, must be 64 to {MAX_WIDTH}"),
        (1 <= mode.vdisplay <= MAX_HEIGHT, f"{mode.vdisplay} lines high, must be 1 to {MAX_HEIGHT}"),
        (
            mode.hdisplay < mode.hsync_start < mode.hsync_end <= mode.htotal,
            f"pulse from {mode.hsync_start} to {mode.hsync_end}, must be inside the pause from {mode.hdisplay} to {mode.htotal}, and not at its beginning",
        ),
        (
            mode.vdisplay <= mode.vsync_start < mode.vsync_end <= mode.vtotal,
            f"vertical pulse from {mode.vsync_start} to {mode.vsync_end}, must be inside the pause from {mode.vdisplay} to {mode.vtotal}",
        ),
        (mode.hdisplay + 32 <= mode.htotal <= MAX_WIDTH, f"{mode.htotal} pixels with the pause, must be {mode.hdisplay + 32} to {MAX_WIDTH}"),
        (mode.vdisplay + 5 <= mode.vtotal <= MAX_VERTICAL_TOTAL, f"{mode.vtotal} lines with the pause, must be {mode.vdisplay + 5} to {MAX_VERTICAL_TOTAL}"),
    )
    return next((text for holds, text in checks if not holds), "")


def _refuse(offset: int, value: str, rule: str) -> NoReturn:
    raise UsageError(f"EDID byte {offset:#x}: {value}; {rule}")


def _check_blocks(raw: bytes) -> None:
    if not raw or len(raw) % BLOCK_SIZE:
        _refuse(len(raw), f"the data ends after {len(raw)} bytes", f"an EDID is made of blocks of {BLOCK_SIZE} bytes")
    for offset, (byte, wanted) in enumerate(zip(raw, EDID_HEADER, strict=False)):
        if byte != wanted:
            _refuse(offset, f"{byte:#04x}", f"an EDID begins with {EDID_HEADER.hex(' ')}, so here must be {wanted:#04x}")
    announced = raw[EDID_BASE.offset_of("extensions")]
    if len(raw) != (1 + announced) * BLOCK_SIZE:
        _refuse(
            EDID_BASE.offset_of("extensions"), f"{announced} extension blocks are announced",
            f"{len(raw)} bytes hold {len(raw) // BLOCK_SIZE - 1}",
        )  # fmt: skip
    for start in range(0, len(raw), BLOCK_SIZE):
        total = sum(raw[start : start + BLOCK_SIZE]) & 0xFF
        if total:
            last = start + BLOCK_SIZE - 1
            _refuse(last, f"{raw[last]:#04x}", f"the block's sum must be a multiple of 256, so here must be {raw[last] - total & 0xFF:#04x}")


def _check_base(base: EdidBase) -> None:
    if base.version != 1:
        _refuse(EDID_BASE.offset_of("version"), f"version {base.version}", "must be 1")
    if base.revision > _LAST_REVISION:
        _refuse(EDID_BASE.offset_of("revision"), f"revision {base.revision}", f"must be at most {_LAST_REVISION}")
    if not base.video_input.digital:
        _refuse(EDID_BASE.offset_of("video_input"), f"{base.video_input:#04x}", "the input must be digital (bit 7), as the GPU's ports are")


class _Extension(NamedTuple):
    """What is read of a CTA extension block."""

    timings: tuple[int, ...]
    """Where its detailed timings begin, from the beginning of the EDID."""
    hdmi: bool


def _cta_extension(raw: bytes, start: int) -> _Extension:
    header = CTA_HEADER.unpack_from(raw, start)
    at = header.timings_at
    if at != 0 and not CTA_DATA_START <= at < BLOCK_SIZE:
        _refuse(start + 2, f"detailed timings begin at {at}", f"must be 0 or {CTA_DATA_START} to {BLOCK_SIZE - 1}")
    hdmi = False
    block = start + CTA_DATA_START
    while header.revision >= 3 and block < start + at:
        data = DataBlockHeader(raw[block])
        end = block + 1 + data.length
        if end > start + at:
            _refuse(block, f"a data block of {data.length} bytes", f"only {start + at - block - 1} are left before the detailed timings")
        if data.kind == CTA_VENDOR_BLOCK and data.length >= 5:
            hdmi |= int.from_bytes(raw[block + 1 : block + 4], "little") == HDMI_OUI
        block = end
    timings = []
    descriptor = start + at
    last = start + BLOCK_SIZE - 1 - DETAILED_TIMING.size
    while at and descriptor <= last and raw[descriptor : descriptor + 2] != bytes(2):
        timings.append(descriptor)
        descriptor += DETAILED_TIMING.size
    return _Extension(tuple(timings), hdmi)


def _text(payload: bytes) -> str:
    return payload.split(b"\n")[0].decode("ascii", "replace").rstrip(" \0")


def _letters(manufacturer: bytes) -> str:
    number = int.from_bytes(manufacturer, "big")
    return "".join(chr((number >> shift & 0x1F) + ord("A") - 1) for shift in (10, 5, 0))


def _detailed(raw: bytes, offsets: list[int], refused: list[tuple[int, DisplayMode, str]]) -> Iterator[DisplayMode]:
    """The modes of the detailed timings at ``offsets``; those that cannot be shown go to ``refused``."""
    for offset in offsets:
        timing = DETAILED_TIMING.unpack_from(raw, offset)
        mode = mode_of(timing)
        rule = "interlaced, must be progressive" if timing.flags.interlaced else rule_against(mode)
        if rule:
            refused.append((offset, mode, rule))
        else:
            yield mode


def parse_edid(raw: bytes) -> Edid:
    """Read all blocks.

    Extension blocks that are not CTA's are only checked for their sum. A timing that cannot be shown is passed over, as a
    driver does, as long as one is left.

    Raises: UsageError naming byte, value and rule.
    """
    raw = bytes(raw)
    _check_blocks(raw)
    base = EDID_BASE.unpack_from(raw)
    _check_base(base)
    at: list[int] = []
    texts: dict[int, str] = {}
    for number, descriptor in enumerate(base.descriptors):
        if descriptor.data[:2] != bytes(2):
            at.append(EDID_BASE.offset_of(f"descriptors.{number}.data"))
            continue
        header = DESCRIPTOR_HEADER.unpack_from(descriptor.data)
        texts.setdefault(header.tag, _text(header.payload))
    hdmi = False
    for start in range(BLOCK_SIZE, len(raw), BLOCK_SIZE):
        if raw[start] == CTA_TAG:
            extension = _cta_extension(raw, start)
            at += extension.timings
            hdmi |= extension.hdmi
    refused: list[tuple[int, DisplayMode, str]] = []
    found = list(_detailed(raw, at, refused))
    others = [*established_modes(base), *filter(None, map(standard_timing_mode, base.standard))]
    found += sorted(others, key=lambda mode: (mode.hdisplay * mode.vdisplay, mode.refresh_mhz), reverse=True)
    if not found:
        if refused:
            offset, mode, rule = refused[0]
            _refuse(offset, f"{mode.resolution}, {rule}", "no other timing can be shown either")
        _refuse(EDID_BASE.offset_of("descriptors.0.data"), "no detailed timing", "nor a standard one: there must be one that can be shown")
    distinct: dict[str, DisplayMode] = {}
    for mode in found:
        distinct.setdefault(str(mode), mode)
    return Edid(
        raw=raw,
        manufacturer=_letters(base.manufacturer),
        product=base.product,
        name=texts.get(DescriptorTag.NAME, ""),
        serial=texts.get(DescriptorTag.SERIAL, ""),
        modes=tuple(distinct.values()),
        hdmi=hdmi,
    )
