"""The host: a physical GPU, and the mediator that shares it out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, final

from pvinfo.connector import check_connector
from pvinfo.errors import ResourceExhausted, RestoreRefused, StateError, UsageError
from pvinfo.golden_state import GoldenState
from pvinfo.platform import DEFAULT_PLATFORM, platform_named
from pvinfo.units import GIB, MIB, GuestAddress, format_size

from .clock import HostClock, VirtualClock
from .device.display.monitor import Monitor
from .gpu.device import PhysicalGpu
from .hypervisor.base import HypervisorPort, VirtualMachine
from .hypervisor.local import LocalMachine
from .hypervisor.registry import DEFAULT_HYPERVISOR, machine_of
from .isolation import GuardedMemory
from .mediator.host_path.device import HOST_WEIGHT, HostDevice
from .mediator.host_path.memory import HostPort, HostRam
from .mediator.mediator import Mediator
from .mediator.pv import Announcement
from .mediator.resources import ResourcePool, VgpuResources
from .mediator.saved.saving import read_saved, save_vgpu
from .mediator.scheduler.policy import Policy
from .mediator.scheduler.registry import DEFAULT_POLICY
from .mediator.scheduler.turn import PATIENCE_NS
from .mediator.scheduler.turns import DEFAULT_SWITCHING
from .mediator.types import DefaultMonitor, VgpuType, default_monitor, default_type, type_named, types_for
from .mediator.vgpu import Vgpu
from .memory import HostMemory

__all__ = ("DEFAULT_APERTURE", "DEFAULT_RAM", "Host", "PluggedHost", "PluggedVgpu", "TypeAvailability", "check_aperture")

DEFAULT_APERTURE: Final = 256 * MIB
DEFAULT_GGTT: Final = 4 * GIB
DEFAULT_RAM: Final = 64 * MIB


class PluggedVgpu(NamedTuple):
    """A vGPU in a virtual machine of this process: the host's end and the guest's."""

    vgpu: Vgpu
    machine: LocalMachine


class PluggedHost(NamedTuple):
    """The host's own machine: the device that its driver finds, and the machine."""

    device: HostDevice
    machine: LocalMachine


class TypeAvailability(NamedTuple):
    """A type, and how many more vGPUs of it fit."""

    type: VgpuType
    instances: int


def check_aperture(aperture_size: int, ggtt_size: int = DEFAULT_GGTT) -> None:
    """Raises: UsageError unless a GPU with such a table can have such an aperture."""
    if aperture_size < MIB or aperture_size & (aperture_size - 1) or aperture_size > ggtt_size:
        raise UsageError(
            f"an aperture of {format_size(aperture_size)}: it is a power of two, from 1 MiB up to the GGTT's {format_size(ggtt_size)}"
        )


@final
class Host:
    """A GVT-g host.

    ``clock`` is virtual unless another is given: time then moves only while a guest waits. ``scheduler`` says who has the GPU
    when: ``fair``, ``gvt``, ``round-robin``, one that an installed package brings, or a policy object made for this host alone;
    ``switching`` is ``gpu`` where all engines go from one vGPU to another together, and ``engine`` where each has turns and a
    policy of its own, which only a name can give; ``patience_ns`` is how long a vGPU's work may keep others waiting after its time
    is up, before its engine is reset. ``own_types`` are offered beside those of the kernel's mediator.

    Raises: UsageError for an unknown platform, scheduler or switching, or an aperture that is no power of two or leaves the GGTT;
    SetupError when a package's scheduler cannot be made.
    """

    def __init__(
        self,
        platform: str = DEFAULT_PLATFORM,
        *,
        aperture_size: int = DEFAULT_APERTURE,
        ggtt_size: int = DEFAULT_GGTT,
        clock: HostClock | None = None,
        golden: GoldenState | None = None,
        scheduler: str | Policy = DEFAULT_POLICY,
        switching: str = DEFAULT_SWITCHING,
        patience_ns: int = PATIENCE_NS,
        own_types: Sequence[VgpuType] = (),
    ) -> None:
        self.platform = platform_named(platform)
        check_aperture(aperture_size, ggtt_size)
        self.clock = clock if clock is not None else VirtualClock()
        self.memory = HostMemory()
        self.guard = GuardedMemory(self.memory)
        self.gpu = PhysicalGpu(self.platform, aperture_size, self.guard, self.clock, ggtt_size, engine_memory=self.guard.engine)
        self.pool = ResourcePool(aperture_size, ggtt_size)
        self._own_types = tuple(own_types)
        self.vgpus: dict[int, Vgpu] = {}
        self._own_shares: set[int] = set()
        """Numbers of the vGPUs whose share was taken when they were made."""
        self._machines: dict[int, VirtualMachine] = {}
        """The machines that were made here, by their vGPU's number."""
        self.own: HostDevice | None = None
        """The device of the host's own driver, once there is one."""
        self.mediator = Mediator(
            self.gpu, self.memory, self.guard, self.clock, golden, switching=switching, scheduler=scheduler, patience_ns=patience_ns
        )

    def types(self) -> tuple[TypeAvailability, ...]:
        """The types on offer, with how many more of each fit now."""
        offered = *types_for(self.platform, self.gpu.aperture_size), *self._own_types
        return tuple(TypeAvailability(offer, self.pool.instances(offer)) for offer in offered)

    def type_named(self, name: str | None) -> VgpuType:
        """The type called ``name``; None asks for the smallest. Raises: UsageError."""
        if name is None:
            return default_type(self.platform, self.gpu.aperture_size)
        return type_named(name, self.platform, self.gpu.aperture_size, self._own_types)

    def create_vgpu(
        self,
        vgpu_type: VgpuType | str | None,
        port: HypervisorPort,
        *,
        low_at: int | None = None,
        high_at: int | None = None,
        announcement: Announcement | None = None,
        resources: VgpuResources | None = None,
        monitor: Monitor | DefaultMonitor | None = DefaultMonitor.OF_TYPE,
    ) -> Vgpu:
        """A new vGPU whose guest is behind ``port``.

        ``low_at`` and ``high_at`` place its slices of graphics memory; by default the host chooses. ``resources`` is a share that was
        taken from the pool before, slices and fences: the vGPU uses it, and it is still taken when the vGPU has gone. ``monitor`` is
        what is plugged in: by default one of the type's resolution where the kernel's mediator plugs in its own, None for nothing.

        Raises: UsageError for an unknown type or placement, a share that is not taken, or a monitor at a connector that the platform
        has not; StateError for a share that another vGPU uses; ResourceExhausted naming what ran out.
        """
        if not isinstance(vgpu_type, VgpuType):
            vgpu_type = self.type_named(vgpu_type)
        if isinstance(monitor, DefaultMonitor):
            monitor = default_monitor(vgpu_type, self.platform)
        if monitor is not None:
            check_connector(monitor.connector, self.platform)
        number = next(number for number in range(1, len(self.vgpus) + 2) if number not in self.vgpus)
        if resources is not None:
            self._check_reserved(resources, placed=low_at is not None or high_at is not None)
            share = resources
        else:
            share = self.pool.take(vgpu_type, low_at=low_at, high_at=high_at, holder=f"vGPU {number}")
        try:
            vgpu = Vgpu(number, vgpu_type, share, self.mediator, port, announcement if announcement is not None else Announcement())
        except BaseException:
            if resources is None:
                self.pool.give_back(share)
            raise
        if resources is None:
            self._own_shares.add(number)
        self.vgpus[number] = vgpu
        if monitor is not None:
            vgpu.display.plug(monitor)
        return vgpu

    def _check_reserved(self, share: VgpuResources, *, placed: bool) -> None:
        if placed:
            raise UsageError("resources= says where the slices are: low_at= and high_at= are for a share that is yet to be taken")
        if not self.pool.holds(share):
            raise UsageError(f"resources= is a share of this host's that was taken before (ResourcePool.take), but {share.owned} is none")
        user = next((vgpu for vgpu in self.vgpus.values() if vgpu.resources == share), None)
        if user is not None:
            raise StateError(f"making a vGPU of {share.owned}", f"used by vGPU {user.number}", "reserved, and used by none")

    def destroy_vgpu(self, vgpu: Vgpu) -> None:
        """Take a vGPU away; its share of the GPU is free again, unless it had been taken before the vGPU was made."""
        vgpu.close()
        machine = self._machines.pop(vgpu.number, None)
        if machine is not None:
            machine.close()
        del self.vgpus[vgpu.number]
        if vgpu.number in self._own_shares:
            self._own_shares.remove(vgpu.number)
            self.pool.give_back(vgpu.resources)

    def save(self, vgpu: Vgpu, *, patience_ns: int = PATIENCE_NS) -> bytes:
        """A vGPU as bytes. What its guest has submitted is carried out first; then the vGPU stands still, until ``standstill.end()``
        lets it go on here, or it is destroyed because it goes on elsewhere. Its guest's memory is no part of the bytes, and must stand
        still from the call on.

        Raises: SaveRefused when work does not end within ``patience_ns``; the vGPU goes on then.
        """
        vgpu.standstill.begin(patience_ns)
        return save_vgpu(vgpu)

    def restore(self, saved: bytes, port: HypervisorPort) -> Vgpu:
        """The vGPU that was saved, here or on another host; its guest is behind ``port``, with the memory that it had. It stands
        still until ``standstill.end()``.

        Raises: RestoreRefused, with nothing made, when the bytes are not whole, or this host is another one for the guest or has
        no room where the guest's graphics memory was.
        """
        found = read_saved(saved)
        found.check_host(self.mediator)
        offered = {offer.type.name: offer.type for offer in self.types()}
        if (own := offered.get(found.type.name, found.type)) != found.type:
            raise RestoreRefused("type", f"the type {own.name}", found.type.description, own.description)
        try:
            vgpu = self.create_vgpu(found.type, port, low_at=found.low_at, high_at=found.high_at, announcement=found.announcement, monitor=None)
        except (ResourceExhausted, UsageError) as error:
            raise RestoreRefused("no-room", "the vGPU's share of the GPU", str(error), "free") from None
        try:
            found.put_into(vgpu)
        except ResourceExhausted as error:
            self.destroy_vgpu(vgpu)
            raise RestoreRefused("no-room", "what the vGPU needs of the host", str(error), "free") from None
        return vgpu

    def plug(
        self,
        vgpu_type: VgpuType | str | None = None,
        *,
        ram_size: int = DEFAULT_RAM,
        low_at: int | None = None,
        high_at: int | None = None,
        announcement: Announcement | None = None,
        monitor: Monitor | DefaultMonitor | None = DefaultMonitor.OF_TYPE,
        hypervisor: str = DEFAULT_HYPERVISOR,
    ) -> PluggedVgpu:
        """A new vGPU in a new virtual machine of this process.

        ``hypervisor`` is what the machine runs under: ``local``, ``kvm``, ``xen``, ``acrn``, or one that an installed package brings.

        Raises: as :meth:`create_vgpu`; UsageError for an unknown hypervisor, or when the host's clock is not virtual; SetupError when
        a package's hypervisor makes no machine.
        """
        machine = machine_of(hypervisor, ram_size, self.memory)
        return self._plug(
            machine, lambda port: self.create_vgpu(vgpu_type, port, low_at=low_at, high_at=high_at, announcement=announcement, monitor=monitor)
        )

    def plug_saved(self, saved: bytes, ram: bytes, *, hypervisor: str = DEFAULT_HYPERVISOR) -> PluggedVgpu:
        """The vGPU that was saved, in a new virtual machine of this process whose memory holds ``ram``; it stands still.

        Raises: as :meth:`restore` and, but for what they have in common, :meth:`plug`.
        """
        machine = machine_of(hypervisor, len(ram), self.memory)
        machine.memory.write(GuestAddress(0), ram)
        return self._plug(machine, lambda port: self.restore(saved, port))

    def _plug(self, machine: VirtualMachine, make: Callable[[HypervisorPort], Vgpu]) -> PluggedVgpu:
        """``machine`` with the vGPU that ``make`` makes; without it, the machine is closed."""
        try:
            if not isinstance(self.clock, VirtualClock):
                raise UsageError("a machine of this process runs on virtual time, but the host's clock is real")
            vgpu = make(machine.port)
        except Exception:
            machine.close()
            raise
        self._machines[vgpu.number] = machine
        return PluggedVgpu(vgpu, LocalMachine(machine.plug(vgpu), machine.memory, self.clock))

    def own_device(self, *, weight: int = HOST_WEIGHT, ram_size: int = DEFAULT_RAM) -> PluggedHost:
        """The device of the host's own driver, in a new machine of this process; ``weight`` is its share of the GPU's time, beside the
        vGPUs'. The physical display is its: monitors are plugged into ``gpu.display``. Its ``close`` gives everything back.

        Raises: UsageError when there is one, for a weight or a size of RAM that cannot be, or when the host's clock is not virtual;
        ResourceExhausted when the mediator has spread over all graphics memory that the host keeps.
        """
        self._check_first_driver()
        if not isinstance(self.clock, VirtualClock):
            raise UsageError("a machine of this process runs on virtual time, but the host's clock is real")
        memory = HostRam(ram_size, self.memory)
        try:
            device = self.create_own_device(memory, weight=weight)
        except Exception:
            memory.close()
            raise
        return PluggedHost(device, LocalMachine(device, memory.ram, self.clock))

    def create_own_device(self, port: HostPort, *, weight: int = HOST_WEIGHT) -> HostDevice:
        """The device of the host's own driver, whose machine's RAM is behind ``port``.

        Raises: as :meth:`own_device`, whatever the clock is; ``port`` is still the caller's then.
        """
        self._check_first_driver()
        self.own = HostDevice(self.mediator, port, weight)
        return self.own

    def _check_first_driver(self) -> None:
        if self.own is not None and self.own.is_open:
            raise UsageError("the host has its own device already: it has one driver; close the first")
