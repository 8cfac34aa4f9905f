"""Requests: from the first command to the report that it is done."""

from __future__ import annotations

from pvinfo.platform import Engine
from pvinfo.registers import InterruptGroup
from pvinfo.units import PAGE_SIZE

from ...batch import Batch
from ..catalogue import scenario
from ..stage import Stage
from . import NEEDS
from .acts import (
    PATIENCE_NS,
    Events,
    Gate,
    at_work,
    await_that,
    check_quiet_end,
    check_requests,
    come_to_rest,
    mix,
    mixed,
    user_interrupts,
    wait_for_all,
)


@scenario(needs=NEEDS, varies="the order of the engines and when each is let go on")
def first_request(stage: Stage) -> None:
    """Each engine executes a request, reports it in memory, says so with an interrupt, and becomes idle."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    come_to_rest(stage, driver)
    result = driver.create_buffer(PAGE_SIZE, "result")
    for number, engine in enumerate(stage.shuffled(driver.platform.engines)):
        stage.step(f"{engine.value} is given a request")
        value = stage.random.getrandbits(32)
        events, told = Events(driver, engine), user_interrupts(driver, engine)
        gate, batch = Gate(driver.client), Batch()
        gate.guard(batch)
        batch.store_dword(result.gpu_address + 64 * number, value)
        request = driver.submit(engine, batch)
        request.want_signal()
        await_that(stage, driver, "it has begun", lambda: gate.reached == 1)
        stage.dawdle()
        stage.check("what it has stored before it was let go on", result.read_dword(64 * number), 0)
        gate.open()
        request.wait(PATIENCE_NS)
        stage.check("what it has stored", result.read_dword(64 * number), value)
        stage.check("the number it reports", request.context.timeline.reported(), request.seqno)
        stage.check("why it failed", request.error, None)
        await_that(stage, driver, "an interrupt says so", lambda: user_interrupts(driver, engine) > told)
        stage.check("the engine comes to rest", driver.wait_idle(PATIENCE_NS), True)
        stage.check("the idle engine said that it took it up", events.of(idle_to_active=1) > 0, True)
        await_that(stage, driver, "it said as often that it was idle again", lambda: events.of(active_to_idle=1) == events.of(idle_to_active=1))

    stage.step("all is done")
    done = {engine.value: streamer.completed for engine, streamer in driver.gt.engines.items()}
    check_requests(stage, done)
    groups = [InterruptGroup(stage.guest.mmio, group) for group in ("GT0", "GT1", "GT3")]
    await_that(stage, driver, "no event is left that nobody has looked at", lambda: not any(int(group.iir) for group in groups))
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies="the order of the engines, how many requests there are and when they come")
def requests_in_order(stage: Stage) -> None:
    """Requests of one context are executed in the order of their submission, however many the ring holds."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    numbers = [stage.random.getrandbits(32) for _ in range(stage.random.randrange(20, 60))]
    result = driver.create_buffer(PAGE_SIZE, "result")
    for place, engine in enumerate(stage.shuffled(driver.platform.engines)):
        stage.step(f"{engine.value} is given {len(numbers)} requests, some at once: x becomes (x ^ n) + n")
        pauses = stage.random.sample(range(len(numbers)), 3)
        requests = []
        for turn, number in enumerate(numbers):
            if turn in pauses:
                stage.dawdle()
            requests.append(driver.submit(engine, mix(result.gpu_address + 64 * place, number)))
        wait_for_all(requests)
        stage.check("the last number reported", requests[-1].context.timeline.reported(), requests[-1].seqno)
        stage.check("x", result.read_dword(64 * place), mixed(numbers))
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS)
def ring_wraps(stage: Stage) -> None:
    """A ring is written round and round: requests beyond its length wait for room, and none is lost."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    engine = Engine.BCS0
    result = driver.create_buffer(PAGE_SIZE, "result")
    ring = driver.client.context(engine).ring

    stage.step("requests are submitted until the ring has been written three times")
    numbers: list[int] = []
    written, before = 0, ring.emit
    while written < 3 * ring.size:
        number = stage.random.getrandbits(32)
        numbers.append(number)
        driver.submit(engine, mix(result.gpu_address, number))
        written += (ring.emit - before) % ring.size
        before = ring.emit
    stage.check("the engine comes to rest", driver.wait_idle(PATIENCE_NS), True)
    stage.check("x", result.read_dword(0), mixed(numbers))
    check_quiet_end(stage, driver)
