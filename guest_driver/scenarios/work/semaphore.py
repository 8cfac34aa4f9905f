"""Engines that wait for each other."""

from __future__ import annotations

from itertools import cycle

from pvinfo.commands.mi.batch import SemaphoreCompare
from pvinfo.units import PAGE_SIZE

from ...batch import Batch
from ...request import Request
from ..catalogue import scenario
from ..stage import Stage
from . import NEEDS
from .acts import Gate, at_work, await_that, check_quiet_end, dwords_at, mix, mixed, wait_for_all


@scenario(needs=NEEDS, varies="who plays with whom, how often, and how long the second waits")
def engines_take_turns(stage: Stage) -> None:
    """Two engines that run at the same time pass a number to and fro through memory, each waiting for the other's turn to end."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    engines = stage.shuffled(driver.platform.engines)
    for players in (engines[:2], engines[2:]):
        names = " and ".join(engine.value for engine in players)
        stage.step(f"{names} play; the one whose turn comes second begins to wait")
        ball = driver.create_buffer(PAGE_SIZE, f"ball of {names}")
        turns = stage.random.randrange(6, 16)
        marks = [stage.random.getrandbits(32) for _ in range(turns)]
        batches = {engine: Batch() for engine in players}
        for turn, engine in zip(range(turns), cycle(players), strict=False):
            batch = batches[engine]
            batch.semaphore_wait(ball.gpu_address, turn, SemaphoreCompare.EQUAL)
            batch.store_dword(ball.gpu_address + 256 + 4 * turn, marks[turn])
            batch.copy_dword(ball.gpu_address + 512 + 4 * turn, ball.gpu_address)
            batch.store_dword(ball.gpu_address, turn + 1)
        requests = []
        for engine in reversed(players):
            requests.append(driver.submit(engine, batches[engine], preemptible=False))
            stage.dawdle()
        wait_for_all(requests)
        stage.check("turns", ball.read_dword(0), turns)
        stage.check("what each turn has left", dwords_at(ball, 256, turns), marks)
        stage.check("the number that each turn has found", dwords_at(ball, 512, turns), list(range(turns)))
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS)
def semaphore_comparisons(stage: Stage) -> None:
    """Each comparison of a semaphore lets through what it should, and holds up the rest until memory changes."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    value = 1000
    cases = {
        SemaphoreCompare.GREATER: (value + 1, value), SemaphoreCompare.GREATER_OR_EQUAL: (value, value - 1), SemaphoreCompare.LESS: (value - 1, value),
        SemaphoreCompare.LESS_OR_EQUAL: (value, value + 1), SemaphoreCompare.EQUAL: (value, value + 1), SemaphoreCompare.NOT_EQUAL: (value + 1, value),
    }  # fmt: skip
    place = driver.create_buffer(PAGE_SIZE, "semaphore")
    for compare, (passing, blocking) in cases.items():
        stage.step(f"{compare.name.lower().replace('_', ' ')} {value}")
        for engine in driver.platform.engines:
            place.write_dword(0, blocking)
            batch = Batch()
            batch.semaphore_wait(place.gpu_address, value, compare)
            request = driver.submit(engine, batch, preemptible=False)
            driver.wait(50_000)
            stage.check(f"{engine.value} passes {blocking}", request.complete, False)
            place.write_dword(0, passing)
            wait_for_all((request,))
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies="the chain's length and the engine of each of its links")
def requests_after_requests(stage: Stage) -> None:
    """Requests that come after others, wherever those are executed, find what those have left: a chain across all engines."""
    stage.step("the driver starts the engines; the first of a chain waits")
    driver = at_work(stage)
    result = driver.create_buffer(PAGE_SIZE, "result")
    gate = Gate(driver.client)
    batch = Batch()
    gate.guard(batch)
    engines = driver.platform.engines
    chain: list[Request] = [driver.submit(stage.random.choice(engines), batch, preemptible=False)]
    await_that(stage, driver, "it has come to the gate", lambda: gate.reached == 1)

    stage.step("others are submitted, for one engine or another, each after the one before")
    numbers = [stage.random.getrandbits(32) for _ in range(stage.random.randrange(8, 20))]
    for number in numbers:
        chain.append(driver.submit(stage.random.choice(engines), mix(result.gpu_address, number), after=chain[-1:]))
    stage.dawdle()
    driver.wait(200_000)
    stage.check("those that are done", [request for request in chain if request.complete], [])
    stage.check("what they have left", result.read_dword(0), 0)

    stage.step("the first goes on")
    gate.open()
    wait_for_all(chain)
    stage.check("what all have left, in their order", result.read_dword(0), mixed(numbers))
    check_quiet_end(stage, driver)
