"""Contexts: what an engine keeps for each while others have it."""

from __future__ import annotations

from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

from ...batch import Batch
from ...buffer import BufferObject
from ..catalogue import scenario
from ..needs import DeviceKind
from ..stage import Stage
from . import NEEDS
from .acts import (
    PATIENCE_NS,
    Gate,
    at_work,
    await_that,
    check_quiet_end,
    engines_with_registers,
    general_purpose,
    qword_at,
)

_COUNT = 16


def _load(batch: Batch, engine: Engine, values: list[int]) -> None:
    """Load every general purpose register."""
    for number, value in enumerate(values):
        low, high = general_purpose(engine, number)
        batch.load_register_imm((low, value & 0xFFFF_FFFF), (high, value >> 32))


def _store(batch: Batch, engine: Engine, buffer: BufferObject) -> None:
    """Store them all, one after the other."""
    for number in range(_COUNT):
        for half, register in enumerate(general_purpose(engine, number)):
            batch.store_register(register, buffer.gpu_address + 8 * number + 4 * half)


def _stored(buffer: BufferObject) -> list[int]:
    return [qword_at(buffer, 8 * number) for number in range(_COUNT)]


@scenario(needs=NEEDS, varies="the order of the engines, and that of the contexts in each turn")
def context_keeps_registers(stage: Stage) -> None:
    """Three contexts take turns on an engine, and each finds its registers as it left them; a new one finds nobody's."""
    stage.step("the driver starts the engines, and clients come")
    driver = at_work(stage)
    clients = [driver.open_client(name) for name in ("one", "two", "three")]
    results = [client.create_buffer(PAGE_SIZE, f"registers of {client.name}") for client in clients]
    for engine in stage.shuffled(engines_with_registers(driver)):
        stage.step(f"each loads the registers of {engine.value}")
        loaded = [[stage.random.getrandbits(64) for _ in range(_COUNT)] for _ in clients]
        for client, values in zip(clients, loaded, strict=True):
            batch = Batch()
            _load(batch, engine, values)
            client.submit(engine, batch).wait(PATIENCE_NS)
        stage.step("each stores them, twice, in turn")
        for _ in range(2):
            for client, result, values in stage.shuffled(zip(clients, results, loaded, strict=True)):
                stage.dawdle()
                result.write(0, bytes(PAGE_SIZE))
                batch = Batch()
                _store(batch, engine, result)
                client.submit(engine, batch).wait(PATIENCE_NS)
                stage.check(f"registers of {client.name}", _stored(result), values)
        stage.step("a new context stores what it finds")
        fresh = clients[0].create_context(engine, "fresh")
        batch = Batch()
        _store(batch, engine, results[0])
        clients[0].submit(engine, batch, context=fresh).wait(PATIENCE_NS)
        others = {value for values in loaded for value in values}
        stage.check("values of others among them", [value for value in _stored(results[0]) if value in others], [])
    for client in clients:
        client.close()
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS._replace(devices=(DeviceKind.PHYSICAL,)))
def context_interrupted(stage: Stage) -> None:
    """A batch that is preempted in its middle goes on where it was, with its registers, though another has used them meanwhile.

    It is told of devices that preempt alone: others would leave the second context waiting for ever.
    """
    stage.step("the driver starts the engines, and clients come")
    driver = at_work(stage)
    one, other = driver.open_client("one"), driver.open_client("other")
    results = [client.create_buffer(PAGE_SIZE, f"registers of {client.name}") for client in (one, other)]
    for engine in engines_with_registers(driver):
        if not driver.gt.engines[engine].has_preemption:
            stage.remark(f"{engine.value} of {stage.platform.title} is not preempted by this driver, and left out")
            continue
        stage.step(f"a batch of {engine.value} loads registers, and waits")
        gate = Gate(one)
        loaded = [[stage.random.getrandbits(64) for _ in range(_COUNT)] for _ in results]
        batch = Batch()
        _load(batch, engine, loaded[0])
        gate.guard(batch)
        _store(batch, engine, results[0])
        waiting = one.submit(engine, batch)
        await_that(stage, driver, "it has come to the gate", lambda: gate.reached == 1)

        stage.step("the other context takes the engine")
        batch = Batch()
        _load(batch, engine, loaded[1])
        _store(batch, engine, results[1])
        other.submit(engine, batch).wait(PATIENCE_NS)
        stage.check("registers of the other", _stored(results[1]), loaded[1])
        stage.check("the first is done", waiting.complete, False)

        stage.step("the first goes on")
        gate.open()
        waiting.wait(PATIENCE_NS)
        stage.check("its registers", _stored(results[0]), loaded[0])
    one.close()
    other.close()
    check_quiet_end(stage, driver)
