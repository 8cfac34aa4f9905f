"""The guest's side: a faithful model of what the i915 driver of Linux does, with a bare GPU or as a guest of Intel GVT-g.

::

    from guest_driver import Batch, GuestDriver
    from pvinfo.platform import Engine

    driver = GuestDriver(machine)       # any pvinfo.bus.Machine: in process, or behind a socket
    driver.probe()                      # detect, negotiate, balloon, bind, start the engines, register
    print(driver.resources, driver.gt_state)

    buffer = driver.create_buffer(4096)
    batch = Batch()
    batch.store_dword(buffer.gpu_address, 0x1234)
    driver.submit(Engine.RCS0, batch).wait(1_000_000_000)
    print(buffer.read_dword(0))

    screen = driver.display.set_mode()  # the first monitor, as it likes it best
    screen.flip(driver.display.create_framebuffer(1920, 1200)).wait()

    driver.unload()

It sees the :mod:`pvinfo.bus` Protocols only. What it does to the device equals what the real driver does, access
by access where the PVINFO page, the global table, the fences and the ports of engines are concerned.

Here are the driver, what it is asked with and answers with, and the types of the parts that it lets be looked at. What these
are made of has no name here, but one in its module.
"""

from __future__ import annotations

from .balloon import Balloon, BalloonSlot
from .batch import Batch, BlitSurface, PipelineChoice, Rectangle, alu
from .buffer import ApertureView, BufferObject
from .client import Client, Submittable
from .context import Context
from .detect import VgpuInterface
from .device import Resources
from .device_info import DeviceInfo, Topology
from .display import Display, Flip, Framebuffer, Output, Screen
from .driver import GuestDriver
from .fence import Fence, Fences
from .ggtt import Binding, Ggtt
from .gt import Gt, GtState
from .heartbeat import HEARTBEAT_NS
from .interrupts import Interrupts
from .log import DriverLog, LogLine, Severity
from .memory import Buffer, GuestPages
from .pci import PciFunction
from .probe import PROBE_STEPS, ProbeStep
from .recovery import EngineState
from .refusal import REFUSAL_DOC, Refusal
from .request import Priority, Request
from .state import TRANSITIONS, Act, DriverState, Transition, draw_svg, draw_text
from .streamer import Streamer
from .tiling import Tiling, tiled_offset
from .uncore import Uncore

__all__ = (
    "HEARTBEAT_NS",
    "PROBE_STEPS",
    "REFUSAL_DOC",
    "TRANSITIONS",
    "Act",
    "ApertureView",
    "Balloon",
    "BalloonSlot",
    "Batch",
    "Binding",
    "BlitSurface",
    "Buffer",
    "BufferObject",
    "Client",
    "Context",
    "DeviceInfo",
    "Display",
    "DriverLog",
    "DriverState",
    "EngineState",
    "Fence",
    "Fences",
    "Flip",
    "Framebuffer",
    "Ggtt",
    "Gt",
    "GtState",
    "GuestDriver",
    "GuestPages",
    "Interrupts",
    "LogLine",
    "Output",
    "PciFunction",
    "PipelineChoice",
    "Priority",
    "ProbeStep",
    "Rectangle",
    "Refusal",
    "Request",
    "Resources",
    "Screen",
    "Severity",
    "Streamer",
    "Submittable",
    "Tiling",
    "Topology",
    "Transition",
    "Uncore",
    "VgpuInterface",
    "alu",
    "draw_svg",
    "draw_text",
    "tiled_offset",
)
