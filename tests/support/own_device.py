"""A host whose own driver works beside guests: drivers on the host's device and on vGPUs, with work for them."""

from __future__ import annotations

from guest_driver import Batch, BufferObject, GuestDriver, Request
from host_model.host import Host
from host_model.mediator.host_path.device import HostDevice
from host_model.mediator.scheduler.turns import DEFAULT_SWITCHING
from host_model.mediator.vgpu import Vgpu
from pvinfo.platform import Engine
from pvinfo.units import MIB, PAGE_SIZE

__all__ = ("PATIENCE_NS", "Busy", "Household", "probed", "stores")

PATIENCE_NS = 3_000_000_000
_DRAW = (0x7B000005, 0, 0, 0, 0, 0, 0)
"""3DPRIMITIVE, which takes twenty microseconds."""


def probed(machine_driver: GuestDriver) -> GuestDriver:
    machine_driver.probe()
    return machine_driver


class Household:
    """The host with its device, and ``guests`` vGPUs; a driver for each is probed already, the host's first."""

    def __init__(
        self, platform: str = "skl", *, guests: int = 2, weight: int = 8, vgpu_type: str | None = None, aperture_mib: int = 512,
        switching: str = DEFAULT_SWITCHING,
    ) -> None:  # fmt: skip
        self.host = Host(platform, aperture_size=aperture_mib * MIB, switching=switching)
        self.own = self.host.own_device(weight=weight)
        self.plugged = [self.host.plug(vgpu_type) for _ in range(guests)]
        self.driver = probed(GuestDriver(self.own.machine))
        self.guests = [probed(GuestDriver(plugged.machine)) for plugged in self.plugged]

    @property
    def device(self) -> HostDevice:
        return self.own.device

    @property
    def drivers(self) -> list[GuestDriver]:
        return [self.driver, *self.guests]

    def complaints(self) -> list[str]:
        """What anybody has to say against anybody."""
        logs = [line.text for driver in self.drivers for line in driver.log.complaints()]
        devices: list[HostDevice | Vgpu] = [self.device, *(plugged.vgpu for plugged in self.plugged)]
        return logs + [finding.text for device in devices for finding in device.findings]



def stores(driver: GuestDriver, engine: Engine, value: int) -> tuple[BufferObject, Request]:
    """Have an engine store ``value`` in a new buffer."""
    target = driver.create_buffer(PAGE_SIZE, "target")
    batch = Batch()
    batch.store_dword(target.gpu_address, value)
    return target, driver.submit(engine, batch)


class Busy:
    """A driver that draws all the time, in two contexts by turns."""

    def __init__(self, driver: GuestDriver, draws: int) -> None:
        self.driver = driver
        self._client = driver.open_client("busy")
        self._contexts = [self._client.create_context(Engine.RCS0, f"context {number}") for number in range(2)]
        self._batch = self._client.create_buffer((len(_DRAW) * draws * 4 + PAGE_SIZE) & ~(PAGE_SIZE - 1), "batch")
        self._batch.write(0, b"".join(dword.to_bytes(4, "little") for dword in (*(_DRAW * draws), 0x05000000, 0)))
        self._pending: list[Request] = []
        self.completed = 0

    def go_on(self) -> None:
        """Take note of what is done, and submit more."""
        self.driver.wait(0)
        while self._pending and self._pending[0].complete:
            self._pending.pop(0)
            self.completed += 1
        while len(self._pending) < 8:
            number = self.completed + len(self._pending)
            self._pending.append(self._client.submit(Engine.RCS0, self._batch, context=self._contexts[number % 2]))
