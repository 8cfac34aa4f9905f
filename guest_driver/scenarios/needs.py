"""What a scenario needs of its host, as data: who runs it makes such a host, or finds one."""

from __future__ import annotations

from enum import Enum
from typing import Final, NamedTuple

from pvinfo.connector import Link
from pvinfo.page import VGT_MAGIC, VGT_VERSION_MAJOR, Capability

__all__ = ("EVERY_CAPABILITY", "Announced", "DeviceKind", "Needs", "PluggedIn", "Slice")

EVERY_CAPABILITY: Final = Capability.FULL_PPGTT | Capability.HWSP_EMULATION | Capability.HUGE_GTT


class DeviceKind(Enum):
    """What a machine has in the slot of its GPU."""

    VGPU = "a vGPU"
    PHYSICAL = "the physical GPU"
    """All of it, with no mediator between."""
    HOST = "the host's own device"
    """What the host's driver has behind its own mediator: a share of the GPU, without a shadow."""

    @property
    def word(self) -> str:
        """The same in names of scenarios."""
        return self.name.lower()


class Slice(NamedTuple):
    """Where a vGPU's slice lies inside its part of graphics memory: below the aperture's end, or above it.

    With one distance given the slice has the size of its type; with both it fills what is left between them; with none
    the host places it. A negative distance reaches over the edge, which only an announcement that lies can do.
    """

    before: int | None = None
    """Bytes of the part below the slice."""
    after: int | None = None
    """Bytes of the part above the slice."""

    def resolve(self, part: range, usual: range) -> range:
        """The slice's addresses, in ``part``; ``usual`` is where the host would put it, and how large it is."""
        if self.before is None and self.after is None:
            return usual
        start = part.start + self.before if self.before is not None else None
        end = part.stop - self.after if self.after is not None else None
        if start is None:
            assert end is not None
            return range(end - len(usual), end)
        return range(start, end if end is not None else start + len(usual))

    @property
    def is_placed(self) -> bool:
        """The scenario, not the host, says where it lies."""
        return self.before is not None or self.after is not None


class Announced(NamedTuple):
    """What the guest is told. Everything but the defaults is a lie, or another kind of host."""

    magic: int = VGT_MAGIC
    version_major: int = VGT_VERSION_MAJOR
    capabilities: Capability = EVERY_CAPABILITY
    mappable: Slice = Slice()
    """Slices that the page speaks of, where they are not those that the vGPU has."""
    nonmappable: Slice = Slice()
    fence_num: int | None = None
    """Fences that the page speaks of; None: those that the vGPU has."""
    aperture_bar: bool = True
    """False: base address register 2 has no length."""


class PluggedIn(NamedTuple):
    """What is plugged into the port at which the platform has its monitor. Everything but the defaults needs the host's own hand."""

    link: Link = Link.DISPLAYPORT
    edid: bytes = b""
    """What the monitor says of itself; empty: it is one of the kit's own."""
    resolution: str = ""
    """Of one of the kit's own; empty: the type's. A physical GPU has no type, and nothing plugged in unless this is said."""
    nothing: bool = False
    """There is no monitor."""


class Needs(NamedTuple):
    """A host that the scenario can run on."""

    devices: tuple[DeviceKind, ...] = (DeviceKind.VGPU,)
    """What its machines have for a GPU. A story that is told on several kinds is a scenario on each."""
    vgpus: int = 1
    """Virtual machines, each with a vGPU of the same host."""
    type_suffix: str | None = None
    """The end of the type's name: ``8`` asks for GVTg_V5_8 or GVTg_V4_8. None: the user's choice, else the smallest."""
    mappable: Slice = Slice()
    """Where the first vGPU's slice of the aperture lies."""
    nonmappable: Slice = Slice()
    """Where the first vGPU's slice above the aperture lies."""
    announced: Announced = Announced()
    """What the first guest is told."""
    graphics_versions: tuple[int, ...] = (8, 9)
    """Generations on which the scenario means something."""
    platforms: tuple[str, ...] = ()
    """Platforms on which it means something; empty: all of those generations."""
    in_process: bool = False
    """It needs the host's own hand, which no socket reaches."""
    moves: bool = False
    """Its machines can be moved to another host; for that the hosts must be in this process."""
    plugged_in: PluggedIn = PluggedIn()
    """The monitor of each vGPU, or of the physical GPU."""

    @property
    def by_hand(self) -> bool:
        """It needs the host's own hand, for whichever of these reasons."""
        return self.in_process or self.moves or self.plugged_in != PluggedIn()
