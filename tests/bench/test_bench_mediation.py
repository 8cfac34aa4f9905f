"""What mediation costs: the same work on the physical GPU and on a vGPU, in virtual time and in the host's; many vGPUs; idle ones."""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median

import pytest
from support.figures import Figure, Figures, side_by_side

from guest_driver import BufferObject, GuestDriver, Request
from guest_driver.batch import Batch
from host_model.bare_metal import bare_machine
from host_model.host import Host
from host_model.hypervisor.local import LocalMachine
from host_model.mediator.types import VgpuType
from pvinfo.platform import Engine
from pvinfo.units import GIB, MIB

pytestmark = pytest.mark.bench

PATIENCE_NS = 10_000_000_000
ROUNDS = 9
SMALL = VgpuType("small", 4 * MIB, 16 * MIB, 0, 1, "1024x768")
"""Of which 64 fit: fences, of which there are 32 in all, are what it goes without."""
NUMBERS = (1, 8, 64)
GROWTH_BAR = 1.25
IDLE_BAR = 8 * MIB
CASES = [
    ("frames: a screen filled, a window moved, its parts worked on by all engines", True),
    ("small batches: two stores each, by the dozen on each engine", False),
]


class Load:
    """Work of one guest: some frames, or batches that do next to nothing."""

    def __init__(self, machine: LocalMachine, *, frames: bool) -> None:
        self._clock = machine.clock
        self.driver = driver = GuestDriver(machine)
        driver.probe()
        self._step: Callable[[int], Sequence[Request]] = self._frame if frames else self._burst
        size = (1024, 768) if frames else (16, 16)
        self._screen = driver.create_surface(*size, name="screen")
        self._window = driver.create_surface(*size, name="window")
        self.result: BufferObject = driver.create_buffer(4096, "result")
        self._batches: list[tuple[Engine, Batch]] = []
        for number, engine in enumerate(driver.platform.engines):
            batch = Batch()
            for place in range(64 if frames else 2):
                batch.store_dword(self.result.gpu_address + 512 * number + 4 * place, number + 1)
            self._batches.append((engine, batch))

    def _frame(self, number: int) -> Sequence[Request]:
        driver = self.driver
        drawn = [driver.fill(self._screen, number), driver.copy(self._screen, self._window)]
        return drawn + [driver.submit(engine, batch) for engine, batch in self._batches]

    def _burst(self, number: int) -> Sequence[Request]:
        return [self.driver.submit(engine, batch) for _ in range(12) for engine, batch in self._batches]

    def do(self, steps: int) -> None:
        """So many steps, without a pause between them: how long somebody sleeps before he looks again is no part of it."""
        submitted = [request for number in range(steps) for request in self._step(number)]
        for request in submitted:
            request.wait(PATIENCE_NS)

    def virtual_ns(self, steps: int) -> float:
        """Nanoseconds of a step, in virtual time."""
        began = self._clock.now_ns()
        self.do(steps)
        return (self._clock.now_ns() - began) / steps


@pytest.mark.parametrize(("what", "frames"), CASES, ids=["frames", "small-batches"])
def test_the_same_work_on_the_gpu_and_on_a_vgpu(what: str, frames: bool, figures: Figures) -> None:
    """The ratio is the other way round than the published one: 95 % of native is a ratio of 1.05."""
    host = Host()
    plugged = host.plug()
    mediated, native = Load(plugged.machine, frames=frames), Load(bare_machine().machine, frames=frames)
    for load in (mediated, native):
        load.do(3)
    ours, least = mediated.virtual_ns(100), native.virtual_ns(100)
    figures.add(Figure(f"virtual time of {what}, on a vGPU", ours, "on the GPU itself", least, None))
    ours, least = side_by_side(mediated.do, native.do, 5, ROUNDS, time.thread_time_ns)
    figures.add(Figure(f"host time of {what}, on a vGPU", ours, "on the GPU itself", least, None))
    stored = [load.result.read(0, 4 * 512) for load in (mediated, native)]
    assert stored[0] == stored[1] and any(stored[0])
    assert host.guard.violations == 0 and not plugged.vgpu.findings.of_rule("host-exhausted")


class Guests:
    """A host with many vGPUs, and a driver at work on each."""

    def __init__(self, number: int) -> None:
        self.host = Host(aperture_size=GIB)
        self._guests: list[tuple[GuestDriver, Batch, BufferObject]] = []
        for _ in range(number):
            driver = GuestDriver(self.host.plug(SMALL).machine)
            driver.probe()
            target = driver.create_buffer(4096, "target")
            batch = Batch()
            batch.store_dword(target.gpu_address, 7)
            self._guests.append((driver, batch, target))

    def requests(self, operations: int, at_a_time: int) -> None:
        """All guests submit so many, and then all wait for theirs, and for the engine to rest: each time alike."""
        for _ in range(operations // (at_a_time * len(self._guests))):
            submitted = [driver.submit(Engine.BCS0, batch) for driver, batch, _ in self._guests for _ in range(at_a_time)]
            for request in submitted:
                request.wait(PATIENCE_NS)
            for driver, _, _ in self._guests:
                assert driver.wait_idle(PATIENCE_NS)

    def check(self) -> None:
        assert all(target.read_dword(0) == 7 for _, _, target in self._guests)
        assert self.host.guard.violations == 0


def test_a_request_costs_little_more_where_many_vgpus_are_at_work(figures: Figures) -> None:
    """Judged is a guest that has some requests on their way at a time. With one alone the GPU goes from guest to guest, there and
    back, at every request, and no two requests find anything in the processor's caches: that is shown beside it."""
    groups = {number: Guests(number) for number in NUMBERS}
    operations = 256
    for at_a_time, rounds, bar in ((4, 2 * ROUNDS, GROWTH_BAR), (1, 3, None)):
        times: dict[int, list[float]] = {number: [] for number in NUMBERS}
        for guests in groups.values():
            guests.requests(operations, at_a_time)
        gc.collect()
        gc.disable()
        try:
            for _ in range(rounds):
                for number, guests in groups.items():
                    began = time.thread_time_ns()
                    guests.requests(operations, at_a_time)
                    times[number].append((time.thread_time_ns() - began) / operations)
        finally:
            gc.enable()
        for number in NUMBERS[1:]:
            what = f"a request, {at_a_time} of a guest at a time, with {number} vGPUs at work"
            figure = figures.add(Figure(what, median(times[number]), "with one", median(times[1]), bar))
            assert bar is None or figure.ratio <= bar
    for guests in groups.values():
        guests.check()


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text("ascii").split()[1]) * 4096


@pytest.mark.parametrize("worked", [False, True], ids=["never-used", "after-a-driver-has-worked-and-gone"])
def test_an_idle_vgpu_takes_little_memory(worked: bool, figures: Figures) -> None:
    """All that the host keeps of it; what a guest has written into its own RAM is the guest's."""
    host = Host(aperture_size=GIB)

    def plug() -> object:
        plugged = host.plug(SMALL)
        if worked:
            driver = GuestDriver(plugged.machine)
            driver.probe()
            batch = Batch()
            batch.store_dword(driver.create_buffer(4096, "target").gpu_address, 7)
            for engine in driver.platform.engines:
                driver.submit(engine, batch).wait(PATIENCE_NS)
            driver.unload()
        return plugged

    kept = [plug()]
    gc.collect()
    before = resident()
    tracemalloc.start()
    kept += [plug() for _ in range(16)]
    gc.collect()
    allocated = tracemalloc.get_traced_memory()[0] / 16
    tracemalloc.stop()
    held = (resident() - before) / 16
    state = "whose driver has worked and gone" if worked else "just plugged in"
    for how, size in (("allocated", allocated), ("by which the process grew, its guest's RAM and the measuring included", held)):
        print(f"\nmemory of a vGPU {state}, {how}: {size / MIB:.2f} MiB (bar {IDLE_BAR // MIB} MiB)", flush=True)
    assert len(kept) == 17 and allocated < IDLE_BAR and held < 2 * IDLE_BAR
