"""What a submission costs, from the write that submits to the interrupt that tells of its end.

The engine takes a context up, executes its ring, saves it, and leaves two events and a breadcrumb. Held against it is the
same by hand: the register state of the image read into registers and back one by one, the ring stepped over, the stores done.
"""

from __future__ import annotations

import time

import pytest
from support.figures import Figure, Figures, side_by_side
from support.gpu_rig import GpuRig, RigContext

from guest_driver import GuestDriver
from guest_driver.batch import Batch
from host_model.bare_metal import bare_machine
from pvinfo.context_image import STATE_OFFSET
from pvinfo.execlist import Submission
from pvinfo.platform import Engine

pytestmark = pytest.mark.bench

ROUNDS = 15
STORE_BREADCRUMB, USER_INTERRUPT = 0x20 << 23 | 1 << 22 | 2, 0x02 << 23


class ByHand:
    """The least that Python can do for a submission, with no hardware in between."""

    def __init__(self, rig: GpuRig, context: RigContext) -> None:
        self._registers = rig.registers.dwords
        self._image = rig.ggtt.writable_dwords(context.image + STATE_OFFSET)
        self._ring = rig.ggtt.writable_dwords(context.ring)
        self._status = rig.ggtt.writable_dwords(rig.status_page)
        self._values = [(register.value_dword, rig.engine.base + register.offset >> 2) for register in context.layout.registers]
        self._told = 0

    def submit(self) -> None:
        registers, image, ring, status = self._registers, self._image, self._ring, self._status
        for dword, register in self._values:
            registers[register] = image[dword]
        at = 0
        for _ in range(3):
            header = ring[at]
            at += (header & 0xFF) + 2 if header >> 23 >= 0x10 else 1
        status[64] = at
        for entry in (0x10, 0x12, 0x1F):
            status[entry] = at
        for dword, register in self._values:
            image[dword] = registers[register]
        self._told += 1


@pytest.mark.parametrize("name", [Engine.RCS0, Engine.BCS0])
def test_a_submission_and_all_that_comes_of_it(name: Engine, figures: Figures) -> None:
    rig = GpuRig(name)
    contexts = [RigContext(rig, number) for number in (0x20, 0x40)]
    writes = [Submission.loading(context.descriptor()) for context in contexts]
    for context in contexts:
        context.write(STORE_BREADCRUMB, rig.status_page + 0x100, 0, 7, USER_INTERRUPT, 0)
    bare = ByHand(rig, contexts[0])
    begun = rig.engine.requests

    def submit(operations: int) -> None:
        for number in range(operations):
            contexts[number % 2].set("head", 0)
            for dword in writes[number % 2]:
                rig.engine.write_port(dword)
            rig.run(100_000)

    def by_hand(operations: int) -> None:
        for _ in range(operations):
            bare.submit()

    submit(10)
    assert rig.engine.requests - begun == 10 and sorted(rig.told[-2:]) == ["context_switch", "user"] and rig.done
    ours, least = side_by_side(submit, by_hand, 500, ROUNDS, time.thread_time_ns)
    figures.add(Figure(f"a submission to {name.value}, with its switch of contexts", ours, "the same stores by hand", least, None))


def test_a_request_of_the_driver(figures: Figures) -> None:
    """On the whole device, with rings, breadcrumbs and interrupts as the driver has them."""
    gpu, machine = bare_machine("skl")
    driver = GuestDriver(machine)
    driver.probe()
    target = driver.create_buffer(4096, "target")
    batch = Batch()
    batch.store_dword(target.gpu_address, 7)
    rig = GpuRig(Engine.BCS0)
    bare = ByHand(rig, RigContext(rig, 0x20))

    def request(operations: int) -> None:
        for _ in range(operations):
            driver.submit(Engine.BCS0, batch).wait(1_000_000)

    def by_hand(operations: int) -> None:
        for _ in range(operations):
            bare.submit()

    ours, least = side_by_side(request, by_hand, 200, ROUNDS, time.thread_time_ns)
    assert target.read_dword(0) == 7 and gpu.engines[Engine.BCS0].requests > 200 * ROUNDS
    figures.add(Figure("a request of the Python driver, submitted and waited for", ours, "an engine's stores by hand", least, None))
