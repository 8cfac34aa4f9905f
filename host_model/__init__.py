"""The host of a GVT-g guest: a physical GPU, the mediator that shares it out, and the ways to plug a guest in.

::

    host = Host("skl")
    vgpu, machine = host.plug("GVTg_V5_8")
    # hand `machine` to a guest driver; look at `vgpu.findings` afterwards
"""

from __future__ import annotations

from .host import Host, PluggedVgpu, TypeAvailability
from .mediator.pv import Announcement
from .mediator.scheduler.policy import Choice, Policy
from .mediator.scheduler.timeline import TurnTaken, draw_timeline
from .mediator.types import VgpuType
from .mediator.vgpu import Vgpu
from .report import host_report, vgpu_report

__all__ = (
    "Announcement",
    "Choice",
    "Host",
    "PluggedVgpu",
    "Policy",
    "TurnTaken",
    "TypeAvailability",
    "Vgpu",
    "VgpuType",
    "draw_timeline",
    "host_report",
    "vgpu_report",
)
