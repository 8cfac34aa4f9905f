"""The guest's side: a faithful model of what the i915 driver of Linux does as a guest of Intel GVT-g.

::

    from guest_driver import GuestDriver

    driver = GuestDriver(machine)       # any pvinfo.bus.Machine: in process, or behind a socket
    driver.probe()                      # detect, negotiate, balloon, bind, register
    print(driver.resources, driver.gt_state)
    driver.unload()

It sees the :mod:`pvinfo.bus` Protocols only. What it does to the device equals what the real driver does, access
by access where the PVINFO page, the global table and the fences are concerned.
"""

from __future__ import annotations

from .address_space import AddressSpace, Node, Placement
from .balloon import Balloon, BalloonSlot
from .client import Client
from .detect import VgpuInterface
from .device import Device, Part, Resources
from .device_info import DeviceInfo, Topology
from .driver import GuestDriver
from .fence import Fence, Fences, fence_value
from .frequency import Frequency, FrequencyRange
from .ggtt import Binding, Ggtt
from .gt import Gt, GtState
from .interrupts import Interrupts
from .log import DriverLog, LogLine, Severity
from .memory import Buffer, GuestPages
from .pci import Bar, PciFunction
from .power_domains import Domain, PowerDomains, WakingRegion, domains_of
from .ppgtt import Ppgtt, ScratchTables
from .probe import PROBE_STEPS, ProbeStep
from .rc6 import Rc6
from .refusal import REFUSAL_DOC, Refusal
from .state import TRANSITIONS, Act, DriverState, StateMachine, Transition, draw_svg, draw_text
from .uncore import Uncore
from .wait import wait_for

__all__ = (
    "PROBE_STEPS",
    "REFUSAL_DOC",
    "TRANSITIONS",
    "Act",
    "AddressSpace",
    "Balloon",
    "BalloonSlot",
    "Bar",
    "Binding",
    "Buffer",
    "Client",
    "Device",
    "DeviceInfo",
    "Domain",
    "DriverLog",
    "DriverState",
    "Fence",
    "Fences",
    "Frequency",
    "FrequencyRange",
    "Ggtt",
    "Gt",
    "GtState",
    "GuestDriver",
    "GuestPages",
    "Interrupts",
    "LogLine",
    "Node",
    "Part",
    "PciFunction",
    "Placement",
    "PowerDomains",
    "Ppgtt",
    "ProbeStep",
    "Rc6",
    "Refusal",
    "Resources",
    "ScratchTables",
    "Severity",
    "StateMachine",
    "Topology",
    "Transition",
    "Uncore",
    "VgpuInterface",
    "WakingRegion",
    "domains_of",
    "draw_svg",
    "draw_text",
    "fence_value",
    "wait_for",
)
