"""The place in this process: a new host, or a new machine with a GPU of its own, for each scenario, on virtual time."""

from __future__ import annotations

from typing import Final, final

from host_model.bare_metal import bare_machine
from host_model.device.display.monitor import Monitor
from host_model.host import DEFAULT_APERTURE, Host, PluggedVgpu
from host_model.hypervisor.registry import DEFAULT_HYPERVISOR, known_hypervisors
from host_model.mediator.client import Client
from host_model.mediator.pv import Announcement
from host_model.mediator.scheduler.turns import DEFAULT_SWITCHING, check_switching
from host_model.mediator.types import HOST_HIGH, HOST_LOW, DefaultMonitor, VgpuType, types_for
from pvinfo.bus import Machine
from pvinfo.connector import Connector, Link, default_connector
from pvinfo.edid import edid_for
from pvinfo.errors import ResourceExhausted, UsageError
from pvinfo.page import GraphicsRange
from pvinfo.platform import DEFAULT_PLATFORM, platform_named
from pvinfo.units import MIB, format_size

from .guest import Guest
from .interposer import Alterations, InterposedMachine
from .movable import MovableMachine, move_all
from .needs import Announced, DeviceKind, Needs, PluggedIn, Slice
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

__all__ = ("InProcess",)

_LARGEST_APERTURE: Final = 1024 * MIB
"""With it every type of the table fits. Source: linux:drivers/gpu/drm/i915/gvt/vgpu.c"""


def _offer_of(client: Client, kind: DeviceKind) -> Offer:
    """What a client's page says."""
    announced, resources = client.pv.announcement, client.resources
    return Offer(
        aperture_size=client.gpu.aperture_size,
        ggtt_size=client.gpu.ggtt_size,
        magic=announced.magic,
        version_major=announced.version_major,
        vgt_id=client.number,
        capabilities=announced.capabilities,
        mappable=GraphicsRange(resources.low.start, len(resources.low)),
        nonmappable=GraphicsRange(resources.high.start, len(resources.high)),
        fence_num=len(resources.fences),
        device=kind,
    )


@final
class InProcess:
    """Hosts of one platform. ``vgpu_type`` is what scenarios get that ask for no type of their own.

    Without ``aperture_size`` each host has the usual one, or the smallest that its scenario can do with.

    ``hypervisor`` is what machines with vGPUs run under, ``switching`` what goes from one vGPU to another: ``gpu`` or ``engine``.

    Raises: UsageError for an unknown platform, type, hypervisor or switching, or an aperture that no GPU has.
    """

    def __init__(
        self, platform: str = DEFAULT_PLATFORM, *, vgpu_type: str | None = None, aperture_size: int | None = None,
        hypervisor: str = DEFAULT_HYPERVISOR, switching: str = DEFAULT_SWITCHING,
    ) -> None:  # fmt: skip
        self.platform = platform_named(platform)
        self._aperture_size = aperture_size
        self._type_name = vgpu_type
        if hypervisor not in known_hypervisors():
            raise UsageError(f"no hypervisor {hypervisor!r}: there are {', '.join(known_hypervisors())}")
        self._hypervisor = hypervisor
        self._switching = check_switching(switching)
        self.title = "in process" if hypervisor == DEFAULT_HYPERVISOR else f"in process, under {hypervisor}"
        if vgpu_type is not None or aperture_size is not None:
            Host(platform, aperture_size=aperture_size or _LARGEST_APERTURE).type_named(vgpu_type)

    def _type_for(self, needs: Needs) -> VgpuType:
        """The type of the scenario's vGPUs."""
        table = types_for(self.platform, _LARGEST_APERTURE)
        if needs.type_suffix is not None:
            wanted = f"{self.platform.type_prefix}_{needs.type_suffix}"
        else:
            wanted = self._type_name or table[0].name
        return next(offer for offer in table if offer.name == wanted)

    def _host_for(self, needs: Needs, vgpu_type: VgpuType) -> Host:
        if self._aperture_size is not None:
            return Host(self.platform.name, aperture_size=self._aperture_size, switching=self._switching)
        aperture = DEFAULT_APERTURE
        while aperture - HOST_LOW < needs.vgpus * vgpu_type.low_size:
            aperture *= 2
        return Host(self.platform.name, aperture_size=aperture, switching=self._switching)

    @staticmethod
    def _placed(wanted: Slice, part: range, host_size: int, size: int) -> range | None:
        """Where a slice is to be; None where the host chooses, because nobody else does, or because its own part is in the way."""
        slot = wanted.resolve(part, range(part.start, part.start + size))
        return slot if wanted.is_placed and slot.start >= part.start + host_size else None

    def _monitor(self, needs: Needs, vgpu_type: VgpuType) -> Monitor | DefaultMonitor | None:
        """What is plugged into the vGPUs."""
        wanted = needs.plugged_in
        if wanted.nothing:
            return None
        if wanted.link is Link.DISPLAYPORT and not wanted.edid and not wanted.resolution:
            return DefaultMonitor.OF_TYPE
        return self._own_monitor(wanted, vgpu_type.resolution)

    def _own_monitor(self, wanted: PluggedIn, usual: str) -> Monitor:
        """A monitor as ``wanted``, of the ``usual`` resolution where nothing else is said."""
        connector = Connector(default_connector(self.platform).port, wanted.link)
        return Monitor(connector, wanted.edid or edid_for(wanted.resolution or usual, wanted.link))

    def _plug_first(self, host: Host, needs: Needs, vgpu_type: VgpuType) -> PluggedVgpu:
        announced = needs.announced
        aperture, total = host.gpu.aperture_size, host.gpu.ggtt_size
        low = self._placed(needs.mappable, range(0, aperture), HOST_LOW, vgpu_type.low_size)
        high = self._placed(needs.nonmappable, range(aperture, total), HOST_HIGH, vgpu_type.high_size)
        return host.plug(
            vgpu_type._replace(
                low_size=len(low) if low is not None else vgpu_type.low_size, high_size=len(high) if high is not None else vgpu_type.high_size
            ),
            low_at=low.start if low is not None else None,
            high_at=high.start if high is not None else None,
            announcement=Announcement(
                magic=announced.magic, version_major=announced.version_major, capabilities=announced.capabilities
            ),
            monitor=self._monitor(needs, vgpu_type),
            hypervisor=self._hypervisor,
        )

    @staticmethod
    def _alterations(needs: Needs, offer: Offer) -> Alterations:
        """What the first guest is told that is not so: slices in the host's own part, which no vGPU has, and what ``needs`` says.

        Raises: CannotStage when slices do not fit the GPU.
        """
        fields = range_fields(offer, {"mappable": needs.mappable, "nonmappable": needs.nonmappable}, {"mappable": None, "nonmappable": None})
        insist_on_room(fields, offer)
        lied = lies(needs.announced, altered_offer(offer, Alterations(fields, hide_aperture=False)))
        return Alterations(fields | lied.fields, lied.hide_aperture)

    def set_up(self, needs: Needs) -> Setting:
        """A new host with new machines. Raises: CannotStage when what is needed does not fit the aperture asked for."""
        insist_on_platform(needs, self.platform)
        match needs.devices[0]:
            case DeviceKind.PHYSICAL:
                return self._bare(needs)
            case DeviceKind.HOST:
                return self._own(needs)
            case DeviceKind.VGPU:
                return self._shared(needs)

    def _bare(self, needs: Needs) -> Setting:
        """One machine with a GPU of its own."""
        gpu, machine = bare_machine(self.platform.name, aperture_size=self._aperture_size or DEFAULT_APERTURE)
        if needs.plugged_in.resolution:
            gpu.display.plug(self._own_monitor(needs.plugged_in, needs.plugged_in.resolution))
        offer = Offer.of_physical(gpu.aperture_size, gpu.ggtt_size)
        remark = f"{describe_physical(self.platform, offer)}, in a machine of this process"
        return Setting(self.platform, (Guest("guest 1", machine, offer),), (), None, (remark,), gpu)

    def _own(self, needs: Needs) -> Setting:
        """The host's own machine."""
        host = Host(self.platform.name, aperture_size=self._aperture_size or DEFAULT_APERTURE, switching=self._switching)
        if needs.plugged_in.resolution:
            host.gpu.display.plug(self._own_monitor(needs.plugged_in, needs.plugged_in.resolution))
        device, machine = host.own_device()
        offer = _offer_of(device, DeviceKind.HOST)
        remark = f"{self.platform.title} host in this process, {format_size(host.gpu.aperture_size)} of aperture, with its own driver on the stage"
        return Setting(self.platform, (Guest("the host", machine, offer),), (), host, (remark,), own=device)

    def _shared(self, needs: Needs) -> Setting:
        """A host with a machine for each vGPU. Raises: CannotStage."""
        vgpu_type = self._type_for(needs)
        host = self._host_for(needs, vgpu_type)
        try:
            plugged = [self._plug_first(host, needs, vgpu_type)]
            plugged += [
                host.plug(vgpu_type, monitor=self._monitor(needs, vgpu_type), hypervisor=self._hypervisor) for _ in range(needs.vgpus - 1)
            ]
        except ResourceExhausted as error:
            raise CannotStage(f"{vgpu_type.name} with {format_size(host.gpu.aperture_size)} of aperture: {error}") from error
        remarks = [
            f"{self.platform.title} host in this process, {format_size(host.gpu.aperture_size)} of aperture, "
            f"{needs.vgpus} vGPU{'s' if needs.vgpus > 1 else ''} of type {vgpu_type.name}"
        ]
        guests = []
        movables: list[MovableMachine] = []
        for index, (vgpu, local) in enumerate(plugged):
            name = f"guest {index + 1}"
            offer = _offer_of(vgpu, DeviceKind.VGPU)
            machine: Machine = local
            if needs.moves:
                machine = movable = MovableMachine(local)
                movables.append(movable)
            alterations = self._alterations(needs, offer) if index == 0 else lies(Announced(), offer)
            if alterations:
                machine = InterposedMachine(machine, alterations)
                offer = altered_offer(offer, alterations)
                remarks.append(interposer_remark(name, alterations))
            guests.append(Guest(name, machine, offer, has_slices=not alterations.move_slices))

        def move(setting: Setting, to: Host | None) -> Setting:
            assert setting.host is not None
            target = to if to is not None else self._host_for(needs, vgpu_type)
            return setting._replace(host=target, vgpus=move_all(setting.host, setting.vgpus, movables, target, self._hypervisor))

        return Setting(
            self.platform, tuple(guests), tuple(vgpu for vgpu, _ in plugged), host, tuple(remarks),
            move=move if needs.moves else None,
        )
