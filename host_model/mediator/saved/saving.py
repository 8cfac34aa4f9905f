"""A vGPU that stands still, into bytes and out of them."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, final

from pvinfo.errors import RestoreRefused, StateError, WireError
from pvinfo.golden_state import GoldenState
from pvinfo.page import Capability
from pvinfo.platform import PLATFORMS
from pvinfo.units import MIB, format_range

from ..pv import Announcement
from ..types import VgpuType
from .container import Contents, SavedSection, pack, unpack
from .cursor import Cursor
from .layout import NEEDS, Needs, name_bytes, name_text
from .section import Apply, Shape
from .sections import SECTIONS

if TYPE_CHECKING:
    from ..mediator import Mediator
    from ..vgpu import Vgpu

__all__ = ("SavedVgpu", "read_saved", "save_vgpu")


def _digest(golden: GoldenState) -> bytes:
    return hashlib.sha256(golden.config + golden.mmio).digest()


def save_vgpu(vgpu: Vgpu) -> bytes:
    """The bytes of ``vgpu``. Raises: StateError unless it stands still."""
    if not vgpu.standstill.reached:
        raise StateError(f"saving vGPU {vgpu.number}", "running", "at a standstill")
    sections = tuple(SavedSection(section.name, section.version, section.required, section.save(vgpu)) for section in SECTIONS.values())
    return pack(Contents(_needs(vgpu), sections))


def _needs(vgpu: Vgpu) -> Needs:
    low, high = vgpu.resources.low, vgpu.resources.high
    told, kind = vgpu.pv.announcement, vgpu.type
    return Needs(
        _named("platform", vgpu.platform.name), _named("type_name", kind.name), _named("resolution", kind.resolution), kind.weight,
        len(vgpu.resources.fences), low.start, len(low), high.start, len(high), vgpu.gpu.aperture_size, vgpu.gpu.ggtt_size,
        _digest(vgpu.mediator.golden), told.magic, told.version_major, told.version_minor, int(told.capabilities),
    )  # fmt: skip


def _named(field: str, text: str) -> bytes:
    return name_bytes(text, NEEDS.field(field).size)


@final
class SavedVgpu:
    """A vGPU that was read from bytes, and can be made from them. Made by :func:`read_saved`."""

    def __init__(self, needs: Needs, parts: tuple[Apply, ...]) -> None:
        self._needs = needs
        self._parts = parts

    @property
    def type(self) -> VgpuType:
        """Its type."""
        needs = self._needs
        return VgpuType(
            name_text(needs.type_name), needs.low_size, needs.high_size, needs.fences, needs.weight, name_text(needs.resolution)
        )

    @property
    def low_at(self) -> int:
        """Where its aperture must be."""
        return self._needs.low_at

    @property
    def high_at(self) -> int:
        """Where the rest of its graphics memory must be."""
        return self._needs.high_at

    @property
    def announcement(self) -> Announcement:
        """What its guest was told."""
        needs = self._needs
        return Announcement(needs.magic, needs.version_major, needs.version_minor, Capability(needs.capabilities))

    def check_host(self, mediator: Mediator) -> None:
        """Raises: RestoreRefused unless a guest that goes on at ``mediator``'s GPU finds the one that it had."""
        needs, gpu = self._needs, mediator.gpu
        _require("platform", "the platform", name_text(needs.platform), gpu.platform.name)
        _require("aperture", "the GPU's aperture", f"{needs.aperture // MIB} MiB", f"{gpu.aperture_size // MIB} MiB")
        _require("graphics-memory", "the GPU's graphics memory", f"{needs.graphics_memory // MIB} MiB", f"{gpu.ggtt_size // MIB} MiB")
        if needs.golden != (own := _digest(mediator.golden)):
            raise RestoreRefused("golden-state", "the digest of what registers hold after a reset", needs.golden.hex()[:16], f"{own.hex()[:16]}, as on this host")

    def check_vgpu(self, vgpu: Vgpu) -> None:
        """Raises: RestoreRefused unless ``vgpu`` is such a one, at the same place."""
        self.check_host(vgpu.mediator)
        own, wanted, needs = vgpu.type, self.type, self._needs
        _require("type", "the type", wanted.name, own.name)
        low, high, fences = vgpu.resources
        _require("slices", "the aperture", format_range(needs.low_at, needs.low_at + needs.low_size), format_range(low.start, low.stop))
        _require("slices", "the graphics memory", format_range(needs.high_at, needs.high_at + needs.high_size), format_range(high.start, high.stop))
        _require("type", "the number of fences", f"{needs.fences}", f"{len(fences)}")

    def put_into(self, vgpu: Vgpu) -> None:
        """Make ``vgpu``, which is as new, the one that was saved. It stands still. Raises: ResourceExhausted."""
        vgpu.standstill.hold()
        vgpu.pv.announcement = self.announcement
        for part in self._parts:
            part(vgpu)


def _require(rule: str, where: str, value: str, wanted: str) -> None:
    if value != wanted:
        raise RestoreRefused(rule, where, value, f"{wanted}, as here")


def read_saved(data: bytes) -> SavedVgpu:
    """Read what :func:`save_vgpu` has made. Raises: RestoreRefused when any of it is not as it was made, or not known here."""
    needs, sections = unpack(data)
    platform = name_text(needs.platform)
    if platform not in PLATFORMS:
        raise RestoreRefused("platform", "the platform", platform, f"one of {', '.join(PLATFORMS)}")
    low, high = (range(at, at + size) for at, size in ((needs.low_at, needs.low_size), (needs.high_at, needs.high_size)))
    shape = Shape(platform, low, high, needs.fences)
    applies = {section.name: apply for section in sections if (apply := _read_section(section, shape)) is not None}
    missing = [name for name, section in SECTIONS.items() if section.required and name not in applies]
    if missing:
        raise RestoreRefused("incomplete", "sections that are missing", ", ".join(missing), "all there")
    if len({section.name for section in sections}) != len(sections):
        raise RestoreRefused("corrupt", "the table of sections", "naming one twice", "naming each once")
    return SavedVgpu(needs, tuple(applies[name] for name in SECTIONS if name in applies))


def _read_section(saved: SavedSection, shape: Shape) -> Apply | None:
    """None: it is not known, and may be left out."""
    known = SECTIONS.get(saved.name)
    if known is None or known.version != saved.version:
        if saved.required:
            versions = f"version {known.version}" if known is not None else "left out by who saved it: it is not known here"
            raise RestoreRefused("section", f"section {saved.name!r}", f"required, in version {saved.version}", versions)
        return None
    cursor = Cursor(saved.name, saved.data)
    try:
        apply = known.load(cursor, shape)
    except WireError as error:
        raise RestoreRefused("malformed", f"section {saved.name!r}", str(error), "well-formed") from None
    cursor.end()
    return apply
