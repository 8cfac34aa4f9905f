"""The driver on a physical GPU of this process, where both must agree on what the other is at."""

from __future__ import annotations

from guest_driver import Batch, GuestDriver
from host_model.bare_metal import bare_machine
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE


def test_work_that_may_not_be_preempted_keeps_others_waiting_beyond_its_time_slice() -> None:
    _, machine = bare_machine("skl")
    driver = GuestDriver(machine)
    driver.probe()
    first, others = driver.open_client("first"), [driver.open_client(f"other {number}") for number in range(3)]
    gate = first.create_buffer(PAGE_SIZE, "gate")
    batch = Batch()
    batch.semaphore_wait(gate.gpu_address, 1)
    waiting = first.submit(Engine.BCS0, batch, preemptible=False)
    driver.wait(100_000)
    behind = [other.submit(Engine.BCS0, (0,)) for other in others]
    driver.wait(5_000_000)
    assert [request.complete for request in (waiting, *behind)] == [False] * 4
    gate.write_dword(0, 1)
    for request in (waiting, *behind):
        request.wait(1_000_000)
    assert driver.gt.engines[Engine.BCS0].resets == 0
    assert driver.log.complaints() == ()
