"""The guest driver: what the i915 driver of Linux does as a guest of GVT-g, as an object."""

from __future__ import annotations

from typing import final

from pvinfo.bus import Machine
from pvinfo.errors import DriverError, HostRefused, NotVirtualized

from .client import Client
from .device import Device
from .memory import Buffer
from .probe import PROBE_STEPS
from .state import Act, DriverState
from .submission import GtState, NoSubmission, Submission
from .unload import i915_driver_release, i915_driver_remove

__all__ = ("GuestDriver",)


@final
class GuestDriver(Device):
    """A driver for the GPU in ``machine``.

    ::

        driver = GuestDriver(machine)
        driver.probe()
        driver.resources.mappable      # what the host gives us
        with driver.open_client("test"):
            ...
        driver.unload()

    It sees the machine only: configuration space, registers, memory, the clock. Its parts (``ggtt``, ``fences``,
    ``interrupts`` and so on) exist from the state on that each names; asking earlier raises StateError.
    """

    def __init__(self, machine: Machine, *, submission: Submission | None = None, vgpu_required: bool = False) -> None:
        """``submission`` is how work is handed to the engines; without one, none is. ``vgpu_required``: refuse a bare GPU."""
        super().__init__(machine, submission if submission is not None else NoSubmission(), vgpu_required=vgpu_required)

    @property
    def gt_state(self) -> GtState:
        """What became of the engines."""
        return self.gt.state if "gt" in self.parts else GtState.UNINITIALISED

    def probe(self) -> None:
        """Find the device, negotiate with its host, take what is ours, and register: to state READY.

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
            i915_driver_remove(self)
            i915_driver_release(self)
        self.parts.clear()
        self.states.perform(Act.UNLOAD)

    def open_client(self, name: str) -> Client:
        """Open the device node; the new client has an address space of its own.

        Raises: StateError unless the driver is READY; DriverError when memory is used up.
        """
        self.states.require("open a client", DriverState.READY)
        return Client(self.gt, name, self.clients)

    def create_buffer(self, pages: int, name: str = "buffer") -> Buffer:
        """Memory of the guest, ``pages`` pages of zeroes, bound nowhere yet.

        Raises: StateError unless the driver is READY; DriverError when memory is used up.
        """
        self.states.require("create a buffer", DriverState.READY)
        return self.memory.allocate(pages, name)
