"""Work that does not end, or that no engine knows: who loses by it, and who does not."""

from __future__ import annotations

from functools import partial

from pvinfo.errors import RequestFailed
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

from ...batch import Batch
from ...gt import GtState
from ..catalogue import scenario
from ..stage import Stage
from . import NEEDS
from .acts import PATIENCE_NS, SPINS, at_work, await_spin, check_quiet_end, make_spinner, mix, mixed, wait_for_all

_UNKNOWN_COMMAND = 0x7F << 23
"""A command of the memory interface with an opcode that none has."""


@scenario(needs=NEEDS, varies="the order of the engines, how many wait and when they come")
def spinning_batch(stage: Stage) -> None:
    """A batch that never ends is ended by a reset of its engine: its request fails, and what waited behind it is executed."""
    stage.step("the driver starts the engines, and two clients come")
    driver = at_work(stage)
    guilty, innocent = driver.open_client("guilty"), driver.open_client("innocent")
    result = innocent.create_buffer(PAGE_SIZE, "result")
    for place, engine in enumerate(stage.shuffled(driver.platform.engines)):
        stage.step(f"a batch spins on {engine.value}, and others wait behind it")
        streamer, spinner = driver.gt.engines[engine], make_spinner(guilty)
        resets = streamer.resets
        spinning = guilty.submit(engine, spinner)
        await_spin(stage, driver, spinner)
        stage.dawdle()
        numbers = [stage.random.getrandbits(32) for _ in range(stage.random.randrange(1, 8))]
        waiting = [innocent.submit(engine, mix(result.gpu_address + 64 * place, number)) for number in numbers]
        error = stage.check_raises("the wait for it ends with", RequestFailed, partial(spinning.wait, PATIENCE_NS))
        stage.check("whose request failed", error.context, spinning.context.owner)
        stage.check("resets of the engine", streamer.resets - resets, 1)
        wait_for_all(waiting)
        stage.check("what the others leave, in their order", result.read_dword(64 * place), mixed(numbers))

        stage.step("the guilty context is used again")
        batch = Batch()
        batch.store_dword(spinner.gpu_address + SPINS, 2)
        guilty.submit(engine, batch).wait(PATIENCE_NS)
        stage.check("what it stores", spinner.read_dword(SPINS), 2)
    stage.check("resets of the whole", driver.gt.resets, 0)
    stage.check("the GT is", driver.gt_state, GtState.RUNNING)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies="which engine spins, and the order of the others")
def others_go_on(stage: Stage) -> None:
    """While one engine spins the others work, and the interrupts and registers of all answer."""
    stage.step("the driver starts the engines; one begins to spin")
    driver = at_work(stage)
    guilty = driver.open_client("guilty")
    result = driver.create_buffer(PAGE_SIZE, "result")
    spinning_engine, *others = stage.shuffled(driver.platform.engines)
    spinner = make_spinner(guilty)
    spinning = guilty.submit(spinning_engine, spinner)
    await_spin(stage, driver, spinner)

    for place, engine in enumerate(others):
        stage.step(f"{engine.value} works")
        stage.dawdle()
        numbers = [stage.random.getrandbits(32) for _ in range(10)]
        wait_for_all([driver.submit(engine, mix(result.gpu_address + 64 * place, number)) for number in numbers])
        stage.check("what it leaves", result.read_dword(64 * place), mixed(numbers))
        stage.check("the spinning one is done", spinning.complete, False)
    stage.check("resets so far", [streamer.resets for streamer in driver.gt.engines.values()], [0] * len(driver.gt.engines))

    stage.step("somebody wants the spinning engine, and the driver ends what it was at")
    driver.submit(spinning_engine, mix(result.gpu_address + PAGE_SIZE - 4, 9)).wait(PATIENCE_NS)
    stage.check("what it leaves", result.read_dword(PAGE_SIZE - 4), mixed([9]))
    stage.check("resets", {engine.value: streamer.resets for engine, streamer in driver.gt.engines.items() if streamer.resets}, {spinning_engine.value: 1})
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS)
def guilty_context_banned(stage: Stage) -> None:
    """A context that hangs its engine again and again is banned: its work fails unexecuted, and nobody else's does."""
    stage.step("the driver starts the engines, and two clients come")
    driver = at_work(stage)
    guilty, innocent = driver.open_client("guilty"), driver.open_client("innocent")
    engine = Engine.BCS0
    result = innocent.create_buffer(PAGE_SIZE, "result")
    banned_after = 3
    for attempt in range(banned_after):
        stage.step(f"hang number {attempt + 1}")
        request = guilty.submit(engine, make_spinner(guilty))
        behind = innocent.submit(engine, mix(result.gpu_address + 64, attempt))
        stage.check_raises("the wait for it ends with", RequestFailed, partial(request.wait, PATIENCE_NS))
        stage.check("its context is banned", request.context.banned, attempt == banned_after - 1)
        behind.wait(PATIENCE_NS)

    stage.step("the banned context submits once more")
    mine = guilty.create_buffer(PAGE_SIZE, "never written")
    batch = Batch()
    batch.store_dword(mine.gpu_address, 1)
    stage.check_raises("the submission ends with", RequestFailed, lambda: guilty.submit(engine, batch))
    stage.check("what it has stored", mine.read_dword(0), 0)

    stage.step("the same client on another engine, and another client on the same one")
    guilty.submit(Engine.VECS0, batch).wait(PATIENCE_NS)
    stage.check("what the client has stored", mine.read_dword(0), 1)
    innocent.submit(engine, mix(result.gpu_address, 77)).wait(PATIENCE_NS)
    stage.check("what the other has left", result.read_dword(0), mixed([77]))
    stage.check("what has come behind the hangs", result.read_dword(64), mixed(range(banned_after)))
    stage.check("resets of the engine", driver.gt.engines[engine].resets, banned_after)
    stage.check("resets of the whole", driver.gt.resets, 0)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies="the order of the engines and when others come")
def unknown_command(stage: Stage) -> None:
    """A command that the engine does not know stops it at once; its request fails, what came before it was done, and others go on."""
    stage.step("the driver starts the engines, and two clients come")
    driver = at_work(stage)
    guilty, innocent = driver.open_client("guilty"), driver.open_client("innocent")
    result, theirs = innocent.create_buffer(PAGE_SIZE, "result"), guilty.create_buffer(PAGE_SIZE, "result of the guilty")
    for place, engine in enumerate(stage.shuffled(driver.platform.engines)):
        stage.dawdle()
        stage.step(f"{engine.value} is given an unknown command between two stores")
        batch = Batch()
        batch.store_dword(theirs.gpu_address + 64 * place, 1)
        batch.raw((_UNKNOWN_COMMAND,))
        batch.store_dword(theirs.gpu_address + 64 * place + 4, 2)
        failing = guilty.submit(engine, batch)
        waiting = innocent.submit(engine, mix(result.gpu_address + 64 * place, 5 + place))
        stage.check_raises("the wait for it ends with", RequestFailed, partial(failing.wait, PATIENCE_NS))
        stage.check("what was stored", (theirs.read_dword(64 * place), theirs.read_dword(64 * place + 4)), (1, 0))
        waiting.wait(PATIENCE_NS)
        stage.check("what the other has left", result.read_dword(64 * place), mixed([5 + place]))
        stage.check("resets of the engine", driver.gt.engines[engine].resets, 1)
    stage.expect_finding("illegal-command")
    stage.check("the engines come to rest", driver.wait_idle(PATIENCE_NS), True)
    complaints = [line.rule for line in driver.log.complaints()]
    stage.check("what the driver complains of", complaints, ["engine-error"] * len(driver.platform.engines))
