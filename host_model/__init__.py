"""The host of a GVT-g guest: a physical GPU, the mediator that shares it out, and the ways to plug a guest in.

::

    host = Host("skl")
    vgpu, machine = host.plug("GVTg_V5_8")
    # hand `machine` to a guest driver; look at `vgpu.findings` afterwards
"""

from __future__ import annotations

from .host import Host, PluggedVgpu, TypeAvailability
from .mediator.pv import Announcement
from .mediator.types import VgpuType
from .mediator.vgpu import Vgpu
from .report import host_report, vgpu_report

__all__ = ("Announcement", "Host", "PluggedVgpu", "TypeAvailability", "Vgpu", "VgpuType", "host_report", "vgpu_report")
