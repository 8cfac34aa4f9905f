"""vGPUs to act upon, as a guest sees them through BAR0."""

from __future__ import annotations

from host_model.device.display.monitor import Monitor
from host_model.host import Host
from host_model.mediator.vgpu import Vgpu
from pvinfo.page import PVINFO_BASE
from pvinfo.pci import COMMAND, Command, MsiControl

__all__ = ("make_vgpu", "send_messages_to")


def make_vgpu(platform: str = "skl", *, aware: bool = True, monitor: Monitor | None = None) -> Vgpu:
    """The smallest vGPU of a new host, with nothing plugged in unless a ``monitor`` is given; ``aware``: its guest has read the PVINFO page."""
    vgpu = Host(platform).plug(monitor=monitor).vgpu
    if aware:
        vgpu.mmio.read(PVINFO_BASE, 8)
    return vgpu


def send_messages_to(vgpu: Vgpu, received: list[int]) -> None:
    """Set the vGPU up to send interrupts; each appends what the master register holds at that moment."""
    msi = vgpu.config.msi_capability
    assert msi is not None
    vgpu.config.write(COMMAND, 2, Command.of(memory=True, master=True))
    vgpu.config.write(msi + 2, 2, MsiControl.of(enable=True))
    vgpu.on_interrupt(lambda: received.append(vgpu.mmio.read32(0x44200)))
