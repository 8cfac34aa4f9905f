"""The place behind sockets: vGPUs, hosts' own devices and physical GPUs that vfio-user servers serve, reset before each scenario.

What a scenario asks of its host can then only be looked for. Among the vGPUs served the one that comes nearest is taken;
what it does not announce, an interposer on the guest's side of the wire does. What has no PVINFO page is a physical GPU,
and what its page gives number 0 is the host's own device.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple, Self, final

from host_model.mediator.host_path.device import HOST
from host_model.mediator.types import types_for
from pvinfo.bus import Machine, Region
from pvinfo.errors import SetupError, UsageError
from pvinfo.gtt_entry import ENTRY_SIZE
from pvinfo.page import PVINFO_BASE, VGT_IF, VGT_MAGIC, Capability, GraphicsRange
from pvinfo.pci import GMCH_CTL, GmchControl
from pvinfo.platform import PLATFORMS, Platform
from pvinfo.units import GIB, MIB, PAGE_SIZE, format_size

from ..transport.vfio_user import VfioUserMachine, connect
from .guest import Guest
from .interposer import Alterations, InterposedMachine
from .needs import Announced, DeviceKind, Needs
from .outcome import Offer
from .place import (
    altered_offer,
    describe_physical,
    insist_on_platform,
    insist_on_room,
    interposer_remark,
    lies,
    range_fields,
)
from .stage import CannotStage, Setting

__all__ = ("Connected",)

_RAM = 64 * MIB


class _Served(NamedTuple):
    """A vGPU, a host's own device or a physical GPU behind a socket, and what it offers."""

    path: Path
    machine: VfioUserMachine
    platform: Platform
    offer: Offer
    type_name: str
    """Of a vGPU, by its sizes; a description where they are no type's. Empty for a physical GPU."""


def _page_field(registers: Region, path: str) -> int:
    field = VGT_IF.field(path)
    return registers.read(PVINFO_BASE + field.offset, field.size)


def _slice(registers: Region, part: str) -> GraphicsRange:
    prefix = f"avail_rs.{part}_gmadr"
    return GraphicsRange(_page_field(registers, f"{prefix}.base"), _page_field(registers, f"{prefix}.size"))


def survey(path: Path, machine: VfioUserMachine) -> _Served:
    """Look at what is served, and reset it. Raises: SetupError when it is no GPU of ours."""
    config = machine.gpu.config
    vendor, device = config.read(0, 2), config.read(2, 2)
    platform = next((known for known in PLATFORMS.values() if device in (known.device_id, *known.device_ids)), None)
    registers, aperture = machine.gpu.bar(0), machine.gpu.bar(2)
    if vendor != 0x8086 or platform is None or registers is None or aperture is None:
        raise SetupError(f"{path} serves {vendor:04x}:{device:04x}, which is no GPU of the platforms {', '.join(PLATFORMS)}")
    ggtt_size = min(GmchControl(config.read(GMCH_CTL, 2)).ggtt_bytes // ENTRY_SIZE * PAGE_SIZE, 4 * GIB)
    if _page_field(registers, "magic") != VGT_MAGIC:
        machine.gpu.reset()
        return _Served(path, machine, platform, Offer.of_physical(aperture.size, ggtt_size), "")
    number = _page_field(registers, "vgt_id")
    offer = Offer(
        aperture_size=aperture.size,
        ggtt_size=ggtt_size,
        magic=_page_field(registers, "magic"),
        version_major=_page_field(registers, "version_major"),
        vgt_id=number,
        capabilities=Capability(_page_field(registers, "vgt_caps")),
        mappable=_slice(registers, "mappable"),
        nonmappable=_slice(registers, "nonmappable"),
        fence_num=_page_field(registers, "avail_rs.fence_num"),
        device=DeviceKind.HOST if number == HOST else DeviceKind.VGPU,
    )
    machine.gpu.reset()
    sizes = offer.mappable.size, offer.nonmappable.size
    named = [known.name for known in types_for(platform, 4 * GIB) if (known.low_size, known.high_size) == sizes]
    described = f"{format_size(sizes[0])} + {format_size(sizes[1])}"
    return _Served(path, machine, platform, offer, named[0] if named else described)


@final
class Connected:
    """GPUs behind vfio-user sockets, all of one platform. A context manager: it holds the connections.

    ``slower`` is how many times as slowly as real time the guests' clocks go.

    Raises: SetupError when nothing of ours listens on a socket; UsageError when they are not all of the same platform,
    or not of ``platform``.
    """

    def __init__(self, sockets: Iterable[Path], *, platform: str | None = None, slower: int = 1) -> None:
        self._connections = contextlib.ExitStack()
        self._served: list[_Served] = []
        try:
            for path in sockets:
                machine = self._connections.enter_context(connect(path, _RAM, slower=slower))
                self._served.append(survey(path, machine))
            if not self._served:
                raise UsageError("no socket to connect to")
            self.platform = self._served[0].platform
            for served in self._served:
                if served.platform is not self.platform:
                    raise UsageError(f"{served.path} serves {served.platform.name}, {self._served[0].path} {self.platform.name}; a run has one platform")
            if platform is not None and platform.lower() != self.platform.name:
                raise UsageError(f"{self._served[0].path} serves {self.platform.name}, not {platform}")
        except BaseException:
            self._connections.close()
            raise
        self.title = ", ".join(str(served.path) for served in self._served)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connections.close()

    @property
    def served(self) -> tuple[tuple[Path, str, Offer], ...]:
        """Socket, type and offer of each; a physical GPU has no type."""
        return tuple((served.path, served.type_name, served.offer) for served in self._served)

    # ---- finding a GPU ----

    def _of_kind(self, device: DeviceKind) -> list[_Served]:
        return [served for served in self._served if served.offer.device is device]

    def _device(self, needs: Needs) -> DeviceKind:
        """The first kind wanted that is served. Raises: CannotStage when there is none."""
        for device in needs.devices:
            if self._of_kind(device):
                return device
        others = "; ".join(f"{served.path} serves {served.offer.device.value}" for served in self._served)
        raise CannotStage(f"it needs {' or '.join(device.value for device in needs.devices)}: {others}")

    def _alterations(self, served: _Served, needs: Needs) -> Alterations:
        """What an interposer must alter so that ``served`` is what is needed. Raises: CannotStage when nothing helps."""
        announced, offer = needs.announced, served.offer
        low = high = None
        if needs.type_suffix is not None:
            wanted = next(known for known in types_for(self.platform, 4 * GIB) if known.name.endswith(f"_{needs.type_suffix}"))
            low, high = wanted.low_size, wanted.high_size
        fields = range_fields(
            offer, {"mappable": needs.mappable, "nonmappable": needs.nonmappable}, {"mappable": low, "nonmappable": high}
        )
        insist_on_room(fields, offer)
        lied = lies(announced, altered_offer(offer, Alterations(fields, hide_aperture=False)))
        fields |= lied.fields
        if announced.magic != offer.magic:
            fields["magic"] = announced.magic
        if announced.version_major != offer.version_major:
            fields["version_major"] = announced.version_major
        if announced.capabilities != offer.capabilities:
            fields["vgt_caps"] = int(announced.capabilities)
        return Alterations(fields, lied.hide_aperture)

    def _choose(self, needs: Needs) -> tuple[_Served, Alterations]:
        """The vGPU that needs least altering. Raises: CannotStage when none can serve."""
        usable: list[tuple[int, _Served, Alterations]] = []
        reasons: list[str] = []
        for served in self._of_kind(DeviceKind.VGPU):
            try:
                alterations = self._alterations(served, needs)
            except CannotStage as reason:
                reasons.append(f"{served.path}: {reason}")
            else:
                usable.append((len(alterations.in_words()), served, alterations))
        if not usable:
            raise CannotStage("; ".join(reasons))
        _, served, alterations = min(usable, key=lambda found: found[0])
        return served, alterations

    def _others(self, first: _Served, wanted: int) -> list[_Served]:
        """More vGPUs of the host that serves ``first``. Raises: CannotStage when there are not enough."""
        others = [served for served in self._of_kind(DeviceKind.VGPU) if served is not first]
        if len(others) < wanted:
            given = len(others) + 1
            raise CannotStage(f"it needs {wanted + 1} vGPUs, and {given} socket{'s were' if given > 1 else ' was'} given")
        foreign = [served for served in others if served.offer.vgt_id == first.offer.vgt_id]
        if len(others) - len(foreign) < wanted:
            raise CannotStage(f"it needs {wanted + 1} vGPUs of one host, but each socket serves a vGPU number {first.offer.vgt_id}: they are different hosts")
        return [served for served in others if served not in foreign][:wanted]

    def set_up(self, needs: Needs) -> Setting:
        """Machines on the GPUs that fit best, just reset. Raises: CannotStage when none can serve."""
        insist_on_platform(needs, self.platform)
        device = self._device(needs)
        if needs.by_hand:
            raise CannotStage("it needs the host's own hand, which no socket reaches")
        if device is DeviceKind.PHYSICAL:
            return self._bare(self._of_kind(DeviceKind.PHYSICAL)[0])
        if device is DeviceKind.HOST:
            return self._own(self._of_kind(DeviceKind.HOST)[0])
        return self._shared(needs)

    def _bare(self, served: _Served) -> Setting:
        """The machine whose own the GPU is."""
        served.machine.gpu.reset()
        remark = f"{describe_physical(self.platform, served.offer)}, behind {served.path}, reset before the scenario"
        return Setting(self.platform, (Guest("guest 1", served.machine, served.offer),), (), None, (remark,))

    def _own(self, served: _Served) -> Setting:
        """The host's own machine."""
        served.machine.gpu.reset()
        remark = f"the host's own device on {self.platform.title}, behind {served.path}, reset before the scenario"
        return Setting(self.platform, (Guest("the host", served.machine, served.offer),), (), None, (remark,))

    def _shared(self, needs: Needs) -> Setting:
        """A machine for each vGPU. Raises: CannotStage."""
        first, alterations = self._choose(needs)
        chosen = [(first, alterations), *((other, lies(Announced(), other.offer)) for other in self._others(first, needs.vgpus - 1))]
        guests, remarks = [], []
        for index, (served, altered) in enumerate(chosen):
            name = f"guest {index + 1}"
            served.machine.gpu.reset()
            remarks.append(f"{name}: {self.platform.title} vGPU of type {served.type_name} behind {served.path}, reset before the scenario")
            machine: Machine = served.machine
            if altered:
                machine = InterposedMachine(machine, altered)
                remarks.append(interposer_remark(name, altered))
            guests.append(Guest(name, machine, altered_offer(served.offer, altered), has_slices=not altered.move_slices))
        return Setting(self.platform, tuple(guests), (), None, tuple(remarks))
