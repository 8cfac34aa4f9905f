"""In which order the driver hands requests to an engine: contexts keep theirs, dependencies count, priority is inherited."""

from __future__ import annotations

import pytest

from guest_driver import BufferObject, Client, GuestDriver, Request
from guest_driver.batch import Batch
from host_model.bare_metal import bare_machine
from pvinfo.platform import Engine

MOMENT_NS = 5_000_000
PATIENCE_NS = 1_000_000_000


class Bench:
    """A client with a batch that spins until it is told to end, and a place to store to."""

    def __init__(self) -> None:
        self.gpu, machine = bare_machine("skl")
        self.driver = GuestDriver(machine)
        self.driver.probe()
        self.client: Client = self.driver.open_client("bench")
        self.target: BufferObject = self.client.create_buffer(4096, "target")
        self._spinner: BufferObject = self.client.create_buffer(4096, "spinner")
        batch = Batch()
        batch.arb_check()
        batch.batch_start(self._spinner.gpu_address)
        self._spinner.write(0, batch.bytes)

    def spin(self, engine: Engine, priority: int = 0) -> Request:
        """On a context of its own."""
        request = self.client.submit(engine, self._spinner, context=self.client.create_context(engine, "spinner"), priority=priority)
        self.driver.wait(MOMENT_NS)
        return request

    def end_spinner(self) -> None:
        batch = Batch()
        batch.batch_end()
        self._spinner.write(0, batch.bytes)

    def store(self, value: int) -> Batch:
        """Each value to its own dword."""
        batch = Batch()
        batch.store_dword(self.target.gpu_address + 4 * value, value)
        return batch

    def stored(self) -> list[int]:
        return [self.target.read_dword(4 * value) for value in (1, 2)]


def test_what_comes_later_in_a_context_waits_for_what_came_earlier_and_waits_for_others() -> None:
    bench = Bench()
    spinner = bench.spin(Engine.RCS0)
    first = bench.client.submit(Engine.VECS0, bench.store(1), after=[spinner], priority=-1)
    second = bench.client.submit(Engine.VECS0, bench.store(2), priority=-1)
    bench.driver.wait(MOMENT_NS)
    assert (first.active, second.active, bench.stored()) == (False, False, [0, 0])
    bench.end_spinner()
    for request in (spinner, first, second):
        request.wait(PATIENCE_NS)
    assert bench.stored() == [1, 2]
    # Both became ready at one moment, and went to the engine as one.
    assert first.streamer.engine is Engine.VECS0
    assert bench.gpu.engines.requests["vecs0"] == 3 + 2


def test_a_request_that_is_more_urgent_takes_along_what_came_before_it_in_its_context() -> None:
    bench = Bench()
    spinner = bench.spin(Engine.VECS0, priority=5)
    first = bench.client.submit(Engine.VECS0, bench.store(1), priority=-5)
    bench.driver.wait(MOMENT_NS)
    assert bench.stored() == [0, 0]
    second = bench.client.submit(Engine.VECS0, bench.store(2), priority=10)
    assert first.priority == 10
    second.wait(PATIENCE_NS)
    assert first.complete and not spinner.complete
    assert bench.stored() == [1, 2]
    bench.end_spinner()
    spinner.wait(PATIENCE_NS)


@pytest.mark.parametrize(("priority", "polls"), [(0, True), (1, True), (-1, False)])
def test_only_who_has_at_least_normal_priority_may_occupy_an_engine_with_polling_for_another(priority: int, polls: bool) -> None:
    """Source: linux:drivers/gpu/drm/i915/gem/i915_gem_context.c"""
    bench = Bench()
    spinner = bench.spin(Engine.RCS0)
    waiting = bench.client.submit(Engine.VECS0, bench.store(1), after=[spinner], priority=priority)
    bench.driver.wait(MOMENT_NS)
    assert waiting.active is polls
    assert bench.stored() == [0, 0]
    bench.end_spinner()
    waiting.wait(PATIENCE_NS)
    assert bench.stored() == [1, 0]


def test_what_comes_after_work_of_its_engine_stays_behind_it_when_others_take_their_turns() -> None:
    bench = Bench()
    first = bench.spin(Engine.VECS0)
    after = bench.client.submit(Engine.VECS0, bench.store(1), context=bench.client.create_context(Engine.VECS0, "after"), after=[first])
    last = bench.client.submit(Engine.VECS0, bench.store(2), context=bench.client.create_context(Engine.VECS0, "last"))
    last.wait(PATIENCE_NS)
    assert (bench.stored(), after.complete) == ([0, 2], False)
    bench.driver.wait(10 * MOMENT_NS)
    assert (bench.stored(), after.complete) == ([0, 2], False)
    bench.end_spinner()
    after.wait(PATIENCE_NS)
    assert first.complete and bench.stored() == [1, 2]
