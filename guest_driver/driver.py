"""The driver: what the i915 driver of Linux does with a GPU, its own or a GVT-g guest's, as an object."""

from __future__ import annotations

from collections.abc import Iterable
from typing import final

from pvinfo.bus import Machine
from pvinfo.errors import DriverError, HostRefused, NotVirtualized
from pvinfo.gtt_entry import PPGTT_LEVELS
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

from .batch import Rectangle
from .blit import copy, fill
from .buffer import BufferObject, make_buffer, surface_shape
from .client import Client, Submittable
from .device import Device
from .display import Display
from .gt import GtState
from .probe import PROBE_STEPS
from .request import Priority, Request
from .state import Act, DriverState
from .suspend import i915_drm_resume, i915_drm_suspend
from .tiling import Tiling
from .unload import i915_driver_release, i915_driver_remove

__all__ = ("GuestDriver",)


@final
class GuestDriver(Device):
    """A driver for the GPU in ``machine``: a vGPU where there is a PVINFO page, else a bare GPU.

    ::

        driver = GuestDriver(machine)
        driver.probe()
        buffer = driver.create_buffer(4096, "result")
        batch = Batch()
        batch.store_dword(buffer.gpu_address, 0x1234)
        driver.submit(Engine.RCS0, batch).wait(1_000_000_000)
        assert buffer.read_dword(0) == 0x1234
        driver.unload()

    It sees the machine only: configuration space, registers, memory, the clock. Its parts (``ggtt``, ``fences``,
    ``interrupts`` and so on) exist from the state on that each names; asking earlier raises StateError.

    It has no threads: what a kernel does by itself, it does in :meth:`wait`, in the waits of requests, and in whatever
    else it is asked for.
    """

    def __init__(self, machine: Machine, *, vgpu_required: bool = False) -> None:
        """``vgpu_required``: refuse a bare GPU."""
        super().__init__(machine, vgpu_required=vgpu_required)
        self._client: Client | None = None
        self._display: Display | None = None

    @property
    def gt_state(self) -> GtState:
        """What became of the engines."""
        return self.gt.state if "gt" in self.parts else GtState.UNINITIALISED

    # ---- coming and going ----

    def probe(self) -> None:
        """Find the device, negotiate with its host if there is one, take what is ours, and register: to state READY.

        Raises: NotVirtualized when there is no PVINFO page but a vGPU is required, in state NATIVE; HostRefused when
        what the host offers cannot be used, in state REFUSED; DriverError, WaitTimeout among them, when the device does
        not answer as it must or memory is used up, in state FAILED; StateError when a driver is loaded already.
        After any of the first three everything was undone but the placing of the base address registers.
        """
        self.states.check(PROBE_STEPS[0].act)
        try:
            for step in PROBE_STEPS:
                step.run(self)
                self.states.perform(step.completes(self))
        except NotVirtualized:
            self.states.perform(Act.FIND_NO_PAGE)
            raise
        except HostRefused as error:
            self.log.error(error.rule, str(error))
            self._take_back(Act.REFUSE)
            raise
        except DriverError as error:
            self.log.error("probe-failed", str(error))
            self._take_back(Act.FAIL)
            raise
        self.undo.clear()

    def _take_back(self, act: Act) -> None:
        while self.undo:
            self.undo.pop()()
        self.parts.clear()
        self.states.perform(act)

    def unload(self) -> None:
        """Give everything back: to state UNBOUND, from which the driver can be loaded again.

        Raises: StateError when no driver is loaded.
        """
        self.states.check(Act.UNLOAD)
        if self.state is DriverState.READY:
            if self._display is not None:
                self._display.shut_down()
            i915_driver_remove(self)
            i915_driver_release(self)
        self._client = self._display = None
        self.parts.clear()
        self.states.perform(Act.UNLOAD)

    def suspend(self) -> None:
        """Put the device to sleep, to state SUSPENDED: engines finish, or lose what they do not finish in half a second; screens go
        off. Buffers, contexts and clients stay.

        Raises: StateError unless the driver is READY.
        """
        self.states.check(Act.SUSPEND)
        if self._display is not None:
            self._display.shut_down()
        i915_drm_suspend(self)
        self.states.perform(Act.SUSPEND)

    def resume(self) -> None:
        """Wake the device up, whatever it has lost meanwhile, and go on: to state READY. Screens are lit by who wants them.

        Raises: StateError unless the driver is SUSPENDED.
        """
        self.states.check(Act.RESUME)
        i915_drm_resume(self)
        self.states.perform(Act.RESUME)

    # ---- pictures ----

    @property
    def display(self) -> Display:
        """Its monitors and what they show. Nothing of it is touched before it is asked for something.

        Raises: StateError unless the driver is READY.
        """
        self.states.require("use of the display", DriverState.READY)
        if self._display is None:
            self._display = Display(self)
        return self._display

    # ---- clients ----

    def open_client(self, name: str, *, levels: int = PPGTT_LEVELS) -> Client:
        """Open the device node; the new client has an address space of its own.

        Its addresses have 48 bits, or 32 with page tables of three ``levels``. (Linux makes four for these parts.)

        Raises: StateError unless the driver is READY; UsageError for other ``levels``; DriverError when memory is used up.
        """
        self.states.require("open a client", DriverState.READY)
        return Client(self, name, levels=levels)

    @property
    def client(self) -> Client:
        """The client that the methods below work for, opened when it is first needed. Raises: as :meth:`open_client`."""
        if self._client is None or not self._client.is_open:
            self._client = self.open_client("driver")
        return self._client

    # ---- memory ----

    def create_buffer(
        self, size: int, name: str = "buffer",
        *, tiling: Tiling = Tiling.LINEAR, pitch: int = 0, bits_per_pixel: int = 0,
        page_size: int = PAGE_SIZE, address: int | None = None, read_only: bool = False,
    ) -> BufferObject:  # fmt: skip
        """Memory of at least ``size`` bytes, zeroed. Engines find it at its ``gpu_address``, the processor reads and writes it
        directly or through the aperture.

        ``tiling`` and ``pitch`` are those of the surface it holds, if any. ``page_size`` is what one entry of the page table
        translates, ``address`` where it must be; ``read_only``: engines may not write it.

        Raises: StateError unless the driver is READY; UsageError for a size, page size or pitch that cannot be; DriverError
        when memory is used up.
        """
        self.states.require("create a buffer", DriverState.READY)
        return make_buffer(
            self, lambda: self.client, size, name, tiling=tiling, pitch=pitch, bits_per_pixel=bits_per_pixel,
            page_size=page_size, address=address, read_only=read_only,
        )  # fmt: skip

    def create_surface(self, width: int, height: int, bits_per_pixel: int = 32, tiling: Tiling = Tiling.LINEAR, name: str = "surface") -> BufferObject:
        """A buffer for ``height`` rows of ``width`` pixels. Raises: as :meth:`create_buffer`."""
        pitch, size = surface_shape(width, height, bits_per_pixel, tiling)
        return self.create_buffer(size, name, tiling=tiling, pitch=pitch, bits_per_pixel=bits_per_pixel)

    # ---- work ----

    def submit(
        self, engine: Engine, work: Submittable, *, offset: int = 0, after: Iterable[Request] = (),
        priority: int = Priority.NORMAL, preemptible: bool = True,
    ) -> Request:  # fmt: skip
        """Have ``engine`` execute ``work``: a batch, dwords, or a buffer that holds commands from byte ``offset`` on.

        It comes after the requests ``after``, wherever those are executed. Work of one engine is executed in the order of
        its ``priority``, then in that of its submission.

        Raises: StateError unless the driver is READY; GpuWedged when the GT was given up; RequestFailed when earlier work
        has hung the engine too often; UsageError for a priority that clients do not have; DriverError when memory is used up.
        """
        self.states.require("submit work", DriverState.READY)
        return self.client.submit(engine, work, offset=offset, after=after, priority=priority, preemptible=preemptible)

    def fill(self, target: BufferObject, value: int, rectangle: Rectangle | None = None, *, after: Iterable[Request] = ()) -> Request:
        """Have the copy engine fill ``rectangle`` of a surface, by default all of it, with pixels of ``value``.

        Raises: as :meth:`submit`, and UsageError for a rectangle outside the surface, or one the blitter cannot fill.
        """
        return self.submit(Engine.BCS0, fill(target, value, rectangle), after=after)

    def copy(
        self, target: BufferObject, source: BufferObject, rectangle: Rectangle | None = None, to: tuple[int, int] = (0, 0),
        *, after: Iterable[Request] = (),
    ) -> Request:  # fmt: skip
        """Have the copy engine copy ``rectangle`` of ``source``, by default all of it, to the place ``to`` of ``target``.

        Raises: as :meth:`submit`, and UsageError for a rectangle outside a surface, or surfaces the blitter cannot copy.
        """
        return self.submit(Engine.BCS0, copy(target, source, rectangle, to, fast=self.platform.graphics_version >= 9), after=after)

    # ---- time ----

    def wait(self, duration_ns: int) -> None:
        """Let time pass, and do what is due meanwhile: retire requests, put engines to rest, see whether they hang."""
        self.work.wait(duration_ns)

    def wait_idle(self, timeout_ns: int) -> bool:
        """Wait until every engine is done and at rest; False when that is not so in time. Raises: StateError unless READY."""
        self.states.require("wait for the engines", DriverState.READY)
        return self.gt.wait_for_idle(timeout_ns)
