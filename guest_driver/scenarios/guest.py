"""One virtual machine on the stage, with its GPU watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import final

from pvinfo.bus import Machine, Region
from pvinfo.errors import SetupError
from pvinfo.units import PAGE_SIZE

from ..driver import GuestDriver
from .access import Access, AccessKind
from .outcome import DriverRecord, GuestRecord, Offer
from .recording import Recorder, RecordingMachine

__all__ = ("Guest",)


def _requests_done(driver: GuestDriver) -> dict[str, int]:
    """By engine; empty before there are engines, and after they were given up at the probe."""
    if "gt" not in driver.parts:
        return {}
    return {engine.value: streamer.completed for engine, streamer in driver.gt.engines.items()}


@final
class Guest:
    """A machine for a scenario to play on: by a driver, or by hand through ``mmio`` and ``aperture``."""

    def __init__(self, name: str, machine: Machine, offer: Offer, *, has_slices: bool = True) -> None:
        self.name = name
        self.offer = offer
        """What its page says, as the guest will read it."""
        self.has_slices = has_slices
        """False: the slices that its page speaks of are not those that its host has given it."""
        self._recorder = Recorder(machine.clock)
        self.machine: Machine = RecordingMachine(machine, self._recorder)
        self._drivers: list[GuestDriver] = []
        self._entered: list[list[int]] = []
        self._recorder.on_access = self._note_states

    # ---- the device ----

    def driver(self, *, vgpu_required: bool = False) -> GuestDriver:
        """A new driver for the GPU, not yet probed. What it does is part of the report. ``vgpu_required``: it refuses a bare GPU."""
        driver = GuestDriver(self.machine, vgpu_required=vgpu_required)
        self._drivers.append(driver)
        self._entered.append([])
        return driver

    def _note_states(self, accesses: int) -> None:
        """Which access each driver's latest states come after; a state without one has its successor's number."""
        for driver, entered in zip(self._drivers, self._entered, strict=True):
            while len(entered) < len(driver.states.history):
                entered.append(accesses)

    def _bar(self, index: int) -> Region:
        region = self.machine.gpu.bar(index)
        if region is None:
            raise SetupError(f"{self.name}: base address register {index} has no window, which this scenario plays on")
        return region

    @property
    def mmio(self) -> Region:
        """BAR0: registers, and the table's entries from 8 MiB on."""
        return self._bar(0)

    @property
    def aperture(self) -> Region:
        """BAR2: the mappable part of graphics memory."""
        return self._bar(2)

    def listen(self) -> Callable[[], int]:
        """Count the device's interrupts from now on; the result gives their number so far."""
        count = 0

        def interrupted() -> None:
            nonlocal count
            count += 1

        self.machine.gpu.on_interrupt(interrupted)
        return lambda: count

    def wait(self, duration_ns: int) -> None:
        """Let time pass."""
        self.machine.clock.wait_ns(duration_ns)

    # ---- what it has done ----

    @property
    def accesses(self) -> list[Access]:
        """Everything so far, oldest first."""
        return self._recorder.accesses

    def since(self, mark: int) -> list[Access]:
        """What came after the first ``mark`` accesses."""
        return self._recorder.accesses[mark:]

    def accesses_of(self, *kinds: AccessKind) -> Iterator[Access]:
        """Those of some kinds."""
        return (access for access in self._recorder.accesses if access.kind in kinds)

    def page_accesses(self) -> list[Access]:
        """Those of the PVINFO page."""
        return [access for access in self._recorder.accesses if access.in_page]

    def ggtt_pages_written(self) -> list[int]:
        """Addresses of the graphics pages whose entries were written, in order, each once."""
        written = {access.offset // 8: None for access in self.accesses_of(AccessKind.GGTT_WRITE)}
        return [index * PAGE_SIZE for index in written]

    def entries_written_outside(self) -> list[int]:
        """Addresses of the graphics pages outside the offered slices whose entries were written."""
        return [address for address in self.ggtt_pages_written() if not self.offer.owns_page(address // PAGE_SIZE)]

    def record(self) -> GuestRecord:
        """The account for the report."""
        self._note_states(len(self.accesses))
        drivers = tuple(
            DriverRecord(
                tuple(state.value for state in driver.states.history),
                tuple(entered),
                tuple(f"{line.severity.name.lower()}: {line.text}" for line in driver.log),
                _requests_done(driver),
            )
            for driver, entered in zip(self._drivers, self._entered, strict=True)
        )
        return GuestRecord(self.name, self.offer, tuple(self._recorder.accesses), drivers)
