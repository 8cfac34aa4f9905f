"""The guest's side: a faithful model of what the i915 driver of Linux does, with a bare GPU or as a guest of Intel GVT-g.

::

    from guest_driver import Batch, GuestDriver

    driver = GuestDriver(machine)       # any pvinfo.bus.Machine: in process, or behind a socket
    driver.probe()                      # detect, negotiate, balloon, bind, start the engines, register
    print(driver.resources, driver.gt_state)

    buffer = driver.create_buffer(4096)
    batch = Batch()
    batch.store_dword(buffer.gpu_address, 0x1234)
    driver.submit(Engine.RCS0, batch).wait(1_000_000_000)
    print(buffer.read_dword(0))

    driver.unload()

It sees the :mod:`pvinfo.bus` Protocols only. What it does to the device equals what the real driver does, access
by access where the PVINFO page, the global table, the fences and the ports of engines are concerned.
"""

from __future__ import annotations

from .address_space import AddressSpace, Node, Placement
from .balloon import Balloon, BalloonSlot
from .batch import Batch, BlitSurface, PipelineChoice, Rectangle, alu
from .breadcrumbs import Breadcrumbs
from .buffer import ApertureView, BufferObject
from .client import Client, Submittable
from .context import Context
from .defaults import DefaultState
from .detect import VgpuInterface
from .device import Device, Part, Resources
from .device_info import DeviceInfo, Topology
from .driver import GuestDriver
from .emission import Emission
from .execlists import ExeclistError, Execlists
from .fence import Fence, Fences, fence_value
from .frequency import Frequency, FrequencyRange
from .ggtt import Binding, Ggtt
from .gt import Gt, GtState
from .heartbeat import HEARTBEAT_NS, Heartbeat
from .interrupts import Interrupts
from .log import DriverLog, LogLine, Severity
from .memory import Buffer, GuestPages
from .pci import Bar, PciFunction
from .power_domains import Domain, PowerDomains, WakingRegion, domains_of
from .ppgtt import Mapping, Ppgtt, ScratchTables
from .probe import PROBE_STEPS, ProbeStep
from .queue import RequestQueue
from .rc6 import Rc6
from .recovery import EngineState
from .refusal import REFUSAL_DOC, Refusal
from .request import Priority, Request
from .ring import Ring
from .state import TRANSITIONS, Act, DriverState, StateMachine, Transition, draw_svg, draw_text
from .status_buffer import ImpossibleEvent, StatusBuffer
from .streamer import Streamer
from .tiling import Tiling, tiled_offset
from .timeline import Timeline
from .uncore import Uncore
from .wait import wait_for
from .work import Work

__all__ = (
    "HEARTBEAT_NS",
    "PROBE_STEPS",
    "REFUSAL_DOC",
    "TRANSITIONS",
    "Act",
    "AddressSpace",
    "ApertureView",
    "Balloon",
    "BalloonSlot",
    "Bar",
    "Batch",
    "Binding",
    "BlitSurface",
    "Breadcrumbs",
    "Buffer",
    "BufferObject",
    "Client",
    "Context",
    "DefaultState",
    "Device",
    "DeviceInfo",
    "Domain",
    "DriverLog",
    "DriverState",
    "Emission",
    "EngineState",
    "ExeclistError",
    "Execlists",
    "Fence",
    "Fences",
    "Frequency",
    "FrequencyRange",
    "Ggtt",
    "Gt",
    "GtState",
    "GuestDriver",
    "GuestPages",
    "Heartbeat",
    "ImpossibleEvent",
    "Interrupts",
    "LogLine",
    "Mapping",
    "Node",
    "Part",
    "PciFunction",
    "PipelineChoice",
    "Placement",
    "PowerDomains",
    "Ppgtt",
    "Priority",
    "ProbeStep",
    "Rc6",
    "Rectangle",
    "Refusal",
    "Request",
    "RequestQueue",
    "Resources",
    "Ring",
    "ScratchTables",
    "Severity",
    "StateMachine",
    "StatusBuffer",
    "Streamer",
    "Submittable",
    "Tiling",
    "Timeline",
    "Topology",
    "Transition",
    "Uncore",
    "VgpuInterface",
    "WakingRegion",
    "Work",
    "alu",
    "domains_of",
    "draw_svg",
    "draw_text",
    "fence_value",
    "tiled_offset",
    "wait_for",
)
