"""What the firmware of a vGPU's guest is told of the vGPU's display: the OpRegion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pvinfo.connector import Connector, default_connector
from pvinfo.opregion import opregion

if TYPE_CHECKING:
    from .vgpu import Vgpu

__all__ = ("declared_connectors", "opregion_of")


def declared_connectors(vgpu: Vgpu) -> tuple[Connector, ...]:
    """The connectors that the guest's driver is to make: the one with the monitor, or where one would be.

    A guest looks when its driver starts; a monitor that is plugged in elsewhere later finds no connector there.
    """
    monitor = vgpu.display.monitor
    return (default_connector(vgpu.platform) if monitor is None else monitor.connector,)


def opregion_of(vgpu: Vgpu) -> bytes:
    """The OpRegion for the guest of ``vgpu``, 8192 bytes."""
    return opregion(declared_connectors(vgpu), vgpu.platform)
