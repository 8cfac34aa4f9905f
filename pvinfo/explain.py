"""A PVINFO page in words: each field with its meaning, and what a guest driver would make of it.

The rules are those of the page alone. Whether the two ranges fit also depends on the length of BAR2 and of the
GGTT, which the page does not tell: the verdict says for which lengths they would. Rules have the names under
which the guest driver refuses a host.

Source: linux:drivers/gpu/drm/i915/i915_vgpu.c, linux:drivers/gpu/drm/i915/i915_driver.c
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from .errors import UsageError, WireError
from .notify import NOTIFICATION_DOC, Notification
from .page import CAPABILITY_DOC, PVINFO_BASE, VGT_IF, VGT_MAGIC, VGT_VERSION_MAJOR, Capability, GraphicsRange, VgtIf
from .register_index import describe_value
from .registers.fence import FENCE_COUNT
from .units import GIB, MIB, PAGE_MASK, PAGE_SIZE, format_range, format_size

__all__ = ("Explanation", "FieldExplanation", "PageExplanation", "Verdict", "explain_page", "format_explanation", "read_dump")

_NEVER_SET: Final = 0xFFFFFFFF
_APERTURES: Final = tuple(MIB << shift for shift in range(7, 13))
"""Lengths that BAR2 can have on these GPUs: 128 MiB to 4 GiB. Source: prm:skl:vol2c"""
_LARGEST_GGTT: Final = 4 * GIB


class FieldExplanation(NamedTuple):
    """One field of the page."""

    offset: int
    size: int
    path: str
    value: str
    meaning: str


class Verdict(NamedTuple):
    """What a guest driver makes of one thing the page says."""

    rule: str
    accepted: bool
    text: str


class PageExplanation(NamedTuple):
    """A page, explained."""

    page: VgtIf
    fields: tuple[FieldExplanation, ...]
    """In order of offset; reserved spans only where they are not zero."""
    verdicts: tuple[Verdict, ...]

    @property
    def accepted(self) -> bool:
        """Nothing on the page makes a guest driver refuse its host."""
        return all(verdict.accepted for verdict in self.verdicts)


# ---- reading ----

_DUMP_LINE: Final = re.compile(rb"(?P<address>[0-9a-fA-F]{4,16}):?[ \t]+(?P<bytes>(?:[0-9a-fA-F]{2}[ ]{0,2})+)(?:[ \t].*|\|.*)?$")
_DUMP_END: Final = re.compile(rb"[0-9a-fA-F]{4,16}$")


def _from_text(text: bytes, name: str) -> bytes:
    """The bytes of an ``xxd`` or ``hexdump -C`` listing, whose first line may stand at any address."""
    data = bytearray()
    start: int | None = None
    repeat = False
    for number, line in enumerate(text.splitlines(), 1):
        line = line.rstrip()
        if not line or line == b"*":
            repeat = repeat or line == b"*"
            continue
        match = _DUMP_LINE.match(line)
        address = int(match["address"], 16) if match else int(line, 16) if _DUMP_END.match(line) else None
        if address is None:
            raise WireError(name, f"line {number}", len(data), f"{line[:40].decode('ascii', 'replace')!r} is no line of xxd or hexdump -C")
        start = address if start is None else start
        if repeat and data:
            last = bytes(data[-16:])
            while len(data) < min(address - start, 2 * PAGE_SIZE):
                data += last
            repeat = False
        if address - start != len(data):
            raise WireError(name, f"line {number}", len(data), f"address {address:#x} does not follow on {start + len(data):#x}")
        if match:
            columns = match["bytes"].split(b"   ")[0]
            data += bytes.fromhex(columns.decode("ascii"))
    return bytes(data)


def read_dump(path: Path) -> bytes:
    """The bytes of a dump: raw, or as ``xxd`` or ``hexdump -C`` list them.

    Raises: UsageError when the file cannot be read; WireError for a listing that is none.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    first = data[:200].lstrip().splitlines()
    if len(data) != PAGE_SIZE and first and _DUMP_LINE.match(first[0].rstrip()):
        return _from_text(data, str(path))
    return data


# ---- meanings ----


def _range(part: GraphicsRange) -> str:
    return format_range(part.base, part.base + part.size) if part.size else "empty"


def _notification(value: int) -> str:
    if value == 0:
        return "none sent yet"
    try:
        return f"last sent: {Notification(value).name}, {NOTIFICATION_DOC[Notification(value)]}"
    except ValueError:
        return "no notification that a host knows"


def _meanings(page: VgtIf) -> dict[str, str]:
    """What the fields mean whose value says more than the declaration."""
    ranges = page.avail_rs
    found = {
        "magic": "a GVT-g host is here",
        "version_major": f"the contract's version is {page.version_major}.{page.version_minor}",
        "version_minor": "not read by guests",
        "vgt_id": f"this is vGPU {page.vgt_id}",
        "vgt_caps": describe_value(Capability, page.vgt_caps) or "none",
        "avail_rs.mappable_gmadr.base": f"mappable slice: {_range(ranges.mappable_gmadr)}",
        "avail_rs.mappable_gmadr.size": format_size(ranges.mappable_gmadr.size),
        "avail_rs.nonmappable_gmadr.base": f"nonmappable slice: {_range(ranges.nonmappable_gmadr)}",
        "avail_rs.nonmappable_gmadr.size": format_size(ranges.nonmappable_gmadr.size),
        "avail_rs.fence_num": f"fence registers 0 to {ranges.fence_num - 1}" if ranges.fence_num else "no fence registers",
        "display_ready": {0: "the guest's display driver is not up", 1: "the guest's display driver is up"}.get(page.display_ready, "neither 0 nor 1"),
        "g2v_notify": _notification(page.g2v_notify),
    }
    for axis, value in (("x", page.cursor_x_hot), ("y", page.cursor_y_hot)):
        found[f"cursor_{axis}_hot"] = "never set" if value == _NEVER_SET else f"{value} pixels from the {'left' if axis == 'x' else 'upper'} edge"
    for index, root in enumerate(page.pdp):
        address = root.hi << 32 | root.lo
        aligned = "" if address & PAGE_MASK == 0 else ", which is no page address"
        found[f"pdp.{index}.lo"] = f"root {index} at guest-physical {address:#x}{aligned}" if address else "not set"
        found[f"pdp.{index}.hi"] = ""
    descriptor = page.execlist_context_descriptor_hi << 32 | page.execlist_context_descriptor_lo
    found["execlist_context_descriptor_lo"] = f"descriptor {descriptor:#018x}" if descriptor else "not set"
    found["execlist_context_descriptor_hi"] = ""
    return found


def _explain_fields(data: bytes, page: VgtIf) -> Iterator[FieldExplanation]:
    meanings = _meanings(page)
    for field in VGT_IF.fields:
        content = data[field.offset : field.offset + field.size]
        if field.kind == "integer":
            value = int.from_bytes(content, "little")
            yield FieldExplanation(field.offset, field.size, field.path, f"{value:#x}", meanings[field.path])
        elif any(content):
            first = next(index for index, byte in enumerate(content) if byte)
            count = sum(1 for byte in content if byte)
            span = content[first - first % 4 :][:4]
            text = f"{field.doc}; {count} of {field.size} bytes are not zero, the first at {field.offset + first:#05x}"
            yield FieldExplanation(field.offset, field.size, field.path, f"…{int.from_bytes(span, 'little'):#x}…", text)


# ---- verdicts ----


def _judge_ranges(page: VgtIf) -> Iterator[Verdict]:
    low, high = page.avail_rs.mappable_gmadr, page.avail_rs.nonmappable_gmadr
    low_end, high_end = low.base + low.size, high.base + high.size
    for part in (low, high):
        if (part.base | part.size) & PAGE_MASK:
            yield Verdict("unaligned-slice", False, f"{format_range(part.base, part.base + part.size)} does not begin and end with a page")
    if high_end > _LARGEST_GGTT:
        text = f"{format_range(high.base, high_end)} ends behind {format_size(_LARGEST_GGTT)}, the most that a GGTT spans"
        yield Verdict("nonmappable-past-ggtt", False, text)
    if low_end > high.base:
        text = f"the mappable slice ends at {low_end:#x}, behind the beginning of the nonmappable one at {high.base:#x}: no aperture can end between them"
        yield Verdict("nonmappable-in-aperture", False, text)
        return
    fitting = [size for size in _APERTURES if low_end <= size <= high.base]
    if not fitting:
        text = f"no length of BAR2 from {format_size(_APERTURES[0])} up, a power of two, lies between {low_end:#x} and {high.base:#x}"
        yield Verdict("mappable-past-aperture", False, text)
    elif high_end <= _LARGEST_GGTT:
        lengths = " or ".join(format_size(size) for size in fitting)
        text = f"the page does not say how long BAR2 and the GGTT are: the slices fit if BAR2 is {lengths} and the GGTT spans {high_end:#x} or more"
        yield Verdict("ranges", True, text)


def _judge(page: VgtIf) -> Iterator[Verdict]:
    if page.version_major < VGT_VERSION_MAJOR:
        yield Verdict("version", False, f"version {page.version_major}.{page.version_minor}: a guest accepts {VGT_VERSION_MAJOR} or more, and otherwise goes on as on bare metal")
    else:
        yield Verdict("version", True, f"version {page.version_major}.{page.version_minor}: the guest detects a vGPU")
    for capability, name, needed in (
        (Capability.FULL_PPGTT, "no-full-ppgtt", True),
        (Capability.HWSP_EMULATION, "no-hwsp-emulation", True),
        (Capability.HUGE_GTT, "no-huge-gtt", False),
    ):
        if not page.vgt_caps & capability:
            yield Verdict(name, not needed, f"{capability.name} is missing from {page.vgt_caps:#x}: {CAPABILITY_DOC[capability].partition('; ')[2]}")
    yield from _judge_ranges(page)
    fences = page.avail_rs.fence_num
    if fences > FENCE_COUNT:
        yield Verdict("too-many-fences", False, f"{fences} fences are more than the {FENCE_COUNT} registers that exist")
    elif not fences:
        yield Verdict("no-fences", True, "no fences: the guest works, but cannot map tiled memory linearly")


def explain_page(data: bytes) -> PageExplanation:
    """Explain a PVINFO page.

    Raises: WireError when ``data`` is not 4096 bytes long, or does not begin with the magic.
    """
    if len(data) > VGT_IF.size:
        rule = f"{len(data):#x} bytes given, the page ends after {VGT_IF.size:#x}; in a dump of BAR0 it stands at {PVINFO_BASE:#x}"
        raise WireError(VGT_IF.name, "", VGT_IF.size, rule)
    page = VGT_IF.parse(data)
    if page.magic != VGT_MAGIC:
        rule = f"{page.magic:#018x} is not {VGT_MAGIC:#x} (ASCII vGTvGTvG): no PVINFO page, and a guest goes on as on bare metal"
        raise WireError(VGT_IF.name, "magic", VGT_IF.offset_of("magic"), rule)
    return PageExplanation(page, tuple(_explain_fields(data, page)), tuple(_judge(page)))


class Explanation(Protocol):
    """Something explained: its fields, and what a driver makes of it."""

    @property
    def fields(self) -> tuple[FieldExplanation, ...]:
        """The fields, in order."""

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What a driver makes of them."""


def format_explanation(explanation: Explanation) -> str:
    """The explanation as text: a line per field, then the verdicts."""
    paths = max(len(field.path) for field in explanation.fields)
    values = max(len(field.value) for field in explanation.fields)
    lines = [f"{field.offset:#05x}  {field.path:<{paths}}  {field.value:>{values}}  {field.meaning}".rstrip() for field in explanation.fields]
    lines.append("")
    rules = max(len(verdict.rule) for verdict in explanation.verdicts)
    lines += [f"{'ok     ' if verdict.accepted else 'REFUSED'}  {verdict.rule:<{rules}}  {verdict.text}" for verdict in explanation.verdicts]
    return "\n".join(lines) + "\n"
