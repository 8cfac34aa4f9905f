"""Interrupts of engines: let through, held back by the engine's mask, held back by the group's."""

from __future__ import annotations

from pvinfo.platform import ENGINES
from pvinfo.registers import EngineInterrupt, EngineRegisters, InterruptGroup

from ...batch import Batch
from ..catalogue import scenario
from ..needs import DeviceKind
from ..stage import Stage
from . import NEEDS
from .acts import PATIENCE_NS, Gate, at_work, await_that, check_messages, check_quiet_end, come_to_rest, user_interrupts

_A_WHILE_NS = 200_000


@scenario(needs=NEEDS._replace(devices=(DeviceKind.PHYSICAL,)))
def interrupts_masked_and_unmasked(stage: Stage) -> None:
    """A user interrupt that its engine masks is lost, one that is unmasked arrives, and one that the group masks is lost again."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    guest = stage.guest
    for engine in driver.platform.engines:
        user = EngineInterrupt.user.mask << ENGINES[engine].interrupt_shift
        group = InterruptGroup(guest.mmio, f"GT{ENGINES[engine].interrupt_group}")
        gate, before = Gate(driver.client), user_interrupts(driver, engine)
        batch = Batch()
        for number in (1, 2, 3):
            batch.user_interrupt()
            gate.guard(batch, number)

        stage.step(f"a batch of {engine.value} raises one, and nobody waits for it")
        request = driver.submit(engine, batch, preemptible=False)
        await_that(stage, driver, "it has come to the first gate", lambda: gate.reached == 1)
        stage.check("the engine's mask holds it back", driver.uncore.read(EngineRegisters.imr, engine.name) & user, user)
        driver.wait(_A_WHILE_NS)
        stage.check("interrupts that told of it", user_interrupts(driver, engine) - before, 0)
        stage.check("it is in the identity register", int(group.iir) & user, 0)

        stage.step("somebody waits: the engine's mask lets the next one through")
        request.want_signal()
        driver.wait(_A_WHILE_NS)
        stage.check("the engine's mask holds it back", driver.uncore.read(EngineRegisters.imr, engine.name) & user, 0)
        stage.check("interrupts that told of the first", user_interrupts(driver, engine) - before, 0)
        gate.open(1)
        await_that(stage, driver, "it has come to the second gate", lambda: gate.reached == 2)
        await_that(stage, driver, "an interrupt told of the second", lambda: user_interrupts(driver, engine) == before + 1)
        stage.check("it is still in the identity register", int(group.iir) & user, 0)

        stage.step("the group's mask holds the third back")
        mask = int(group.imr)
        group.imr = mask | user
        gate.open(2)
        await_that(stage, driver, "it has come to the third gate", lambda: gate.reached == 3)
        driver.wait(_A_WHILE_NS)
        stage.check("interrupts that told of it", user_interrupts(driver, engine) - before, 1)
        stage.check("it is in the identity register", int(group.iir) & user, 0)
        group.imr = mask

        stage.step("the request ends, and says so")
        gate.open(3)
        request.wait(PATIENCE_NS)
        stage.check("interrupts", user_interrupts(driver, engine) - before, 2)
    check_messages(stage, driver)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS._replace(devices=(DeviceKind.VGPU,)))
def interrupts_at_the_end(stage: Stage) -> None:
    """Of the user interrupts of a piece of work a mediator tells once, at its end, unless the group masks them; engines' masks do not count."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    guest = stage.guest
    for engine in driver.platform.engines:
        user = EngineInterrupt.user.mask << ENGINES[engine].interrupt_shift
        group = InterruptGroup(guest.mmio, f"GT{ENGINES[engine].interrupt_group}")
        for masked in (False, True):
            stage.step(f"a batch of {engine.value} raises two, and nobody waits for it{', for the group masks them' if masked else ''}")
            come_to_rest(stage, driver)
            streamer, before = driver.gt.engines[engine], user_interrupts(driver, engine)
            gate, completed = Gate(driver.client), streamer.completed
            batch = Batch()
            for number in (1, 2):
                batch.user_interrupt()
                gate.guard(batch, number)
            mask = int(group.imr)
            group.imr = mask | user * masked
            request = driver.submit(engine, batch, preemptible=False)
            gate.open(1)
            await_that(stage, driver, "it has come to the second gate", lambda: gate.reached == 2)
            driver.wait(_A_WHILE_NS)
            stage.check("interrupts that told of it", user_interrupts(driver, engine) - before, 0)

            stage.step("the work is done")
            stage.check("the engine's mask would hold it back", driver.uncore.read(EngineRegisters.imr, engine.name) & user, user)
            gate.open(2)
            await_that(stage, driver, "the request is complete", lambda: request.complete)
            come_to_rest(stage, driver)
            told, done = user_interrupts(driver, engine) - before, streamer.completed - completed
            stage.check("interrupts: at least one, and no more than requests, one of which put the engine to rest", 0 < told <= done, not masked)
            stage.check("it is in the identity register", int(group.iir) & user, 0)
            group.imr = mask
    check_messages(stage, driver)
    check_quiet_end(stage, driver)
