"""The two ports of an engine: what follows without a pause, and what joins while the engine is at it."""

from __future__ import annotations

from functools import partial

from pvinfo.commands.mi.memory import AtomicOpcode
from pvinfo.platform import Engine
from pvinfo.registers import EngineRegisters
from pvinfo.units import PAGE_SIZE

from ...batch import Batch
from ...driver import GuestDriver
from ...request import Request
from ..catalogue import scenario
from ..needs import DeviceKind
from ..stage import Stage
from . import NEEDS
from .acts import Events, Gate, at_work, await_that, check_quiet_end, come_to_rest, mix, mixed, wait_for_all

_A_WHILE_NS = 200_000


def _wait_at_gate(stage: Stage, driver: GuestDriver, engine: Engine) -> tuple[Gate, list[Request]]:
    """A gate, and a request of the engine that has come to it."""
    gate, batch = Gate(driver.client), Batch()
    gate.guard(batch)
    requests = [driver.submit(engine, batch)]
    await_that(stage, driver, "it has come to the gate", lambda: gate.reached == 1)
    return gate, requests


def _open_and_check(stage: Stage, driver: GuestDriver, gate: Gate, requests: list[Request]) -> None:
    """Let them go on: all are done, and the engine comes to rest."""
    stage.step("the gate is opened")
    gate.open()
    wait_for_all(requests)
    stage.check("the engine comes to rest", driver.wait_idle(1_000_000_000), True)


@scenario(needs=NEEDS, varies="the order of the engines and when the second client comes")
def two_ports(stage: Stage) -> None:
    """A context in the second port follows the first one without a new submission, and the engine tells of the change.

    A mediator carries out one context after the other, and takes a submission up when it comes to it.
    """
    stage.step("the driver starts the engines, and two clients come")
    driver = at_work(stage)
    one, other = driver.open_client("one"), driver.open_client("other")
    result = one.create_buffer(PAGE_SIZE, "result")
    shared = other.create_buffer(PAGE_SIZE, "result of the other")
    for number, engine in enumerate(stage.shuffled(driver.platform.engines)):
        stage.step(f"{engine.value} is at work for one client, and the other one submits")
        gate, events = Gate(one), Events(driver, engine)
        batch = Batch()
        gate.guard(batch)
        batch.store_dword(result.gpu_address + 64 * number, number + 1)
        first = one.submit(engine, batch, preemptible=False)
        await_that(stage, driver, "the first has come to its gate", lambda: gate.reached == 1)
        stage.dawdle()
        batch = Batch()
        batch.store_dword(shared.gpu_address + 64 * number, number + 1)
        second = other.submit(engine, batch)
        ports = driver.gt.engines[engine].execlists
        if stage.mediated:
            driver.wait(_A_WHILE_NS)
            stage.check("what the mediator has taken up, and what it has not", (ports.inflight, ports.pending), ([first], [first, second]))
        else:
            await_that(stage, driver, "the engine has taken both", lambda: not ports.pending and len(ports.inflight) == 2)
            stage.check("what the ports hold", ports.inflight, [first, second])
        stage.check("the second is done", second.complete, False)

        stage.step("the first goes on")
        gate.open()
        wait_for_all((first, second))
        stage.check("what both have stored", (result.read_dword(64 * number), shared.read_dword(64 * number)), (number + 1, number + 1))
        await_that(stage, driver, "the engine has gone on to its second port", partial(events.of, element_switch=1, context_complete=1))
        stage.check("the engine comes to rest", driver.wait_idle(1_000_000_000), True)
    one.close()
    other.close()
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS._replace(devices=(DeviceKind.PHYSICAL,)), varies="the order of the engines, how many requests join and when")
def lite_restore(stage: Stage) -> None:
    """Requests that join the running context are reached by a new tail alone: the context is not loaded anew."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    result = driver.create_buffer(PAGE_SIZE, "result")
    for place, engine in enumerate(stage.shuffled(driver.platform.engines)):
        stage.step(f"a request of {engine.value} waits, and more of its context join")
        come_to_rest(stage, driver)
        events, execlists = Events(driver, engine), driver.gt.engines[engine].execlists
        gate, requests = _wait_at_gate(stage, driver, engine)
        numbers = [stage.random.getrandbits(32) for _ in range(stage.random.randrange(1, 6))]
        for number in numbers:
            stage.dawdle()
            requests.append(driver.submit(engine, mix(result.gpu_address + 64 * place, number)))
            await_that(stage, driver, "the engine has read its tail again", lambda: not execlists.pending)
        stage.check("times only the tail was read again", events.of(preempted=1, lite_restore=1), len(numbers))
        stage.check("times a context was complete", events.of(context_complete=1), 0)
        stage.check(
            "the context that the engine says it has",
            driver.uncore.read(EngineRegisters.execlist_status_hi, engine.name), requests[0].context.ccid,
        )  # fmt: skip

        _open_and_check(stage, driver, gate, requests)
        stage.check("what they leave, in their order", result.read_dword(64 * place), mixed(numbers))
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS._replace(devices=(DeviceKind.VGPU,)), varies="the order of the engines, how many requests join and when")
def requests_that_join(stage: Stage) -> None:
    """Requests that join a context while its engine is mediated come next, in their order, as if its tail had been read again."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    result = driver.create_buffer(PAGE_SIZE, "result")
    for place, engine in enumerate(stage.shuffled(driver.platform.engines)):
        stage.step(f"a request of {engine.value} waits, and more of its context join")
        come_to_rest(stage, driver)
        events, execlists = Events(driver, engine), driver.gt.engines[engine].execlists
        gate, requests = _wait_at_gate(stage, driver, engine)
        stage.dawdle()
        numbers = [stage.random.getrandbits(32) for _ in range(stage.random.randrange(2, 6))]
        requests += [driver.submit(engine, mix(result.gpu_address + 64 * place, number)) for number in numbers]
        driver.wait(_A_WHILE_NS)
        stage.check("the submission that has not been taken up ends with", execlists.pending, requests[1:2])
        stage.check("events of any kind but that work was begun", events.of() - events.of(idle_to_active=1), 0)
        stage.check(
            "the context that runs, by the engine's register",
            driver.uncore.read(EngineRegisters.execlist_status_hi, engine.name), requests[0].context.ccid,
        )  # fmt: skip

        _open_and_check(stage, driver, gate, requests)
        stage.check("what they leave, in their order", result.read_dword(64 * place), mixed(numbers))
        stage.check("the tail was read again", events.of(preempted=1, lite_restore=1) > 0, True)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS, varies="the engine, and how urgent each client's work is")
def priorities(stage: Stage) -> None:
    """What is in the second port already comes next; of other work the most urgent does, and of equally urgent what came first."""
    stage.step("the driver starts the engines; five clients find an engine busy")
    driver = at_work(stage)
    clients = [driver.open_client(name) for name in ("busy", "next", "one", "two", "three", "four")]
    engine = stage.random.choice(driver.platform.engines)
    log = [client.create_buffer(PAGE_SIZE, f"turn of {client.name}") for client in clients]
    counter = driver.memory.allocate(1, "counter")
    place = 0x7_0000_0000
    for client in clients:
        client.vm.map(counter, address=place)
    gate = Gate(clients[0])
    batch = Batch()
    gate.guard(batch)
    requests = [clients[0].submit(engine, batch, preemptible=False)]
    await_that(stage, driver, "the first has come to its gate", lambda: gate.reached == 1)

    stage.step("each submits work that takes the next number")
    priorities = [0, *(stage.random.choice((-100, 0, 0, 100)) for _ in clients[2:])]
    for client, buffer, priority in zip(clients[1:], log[1:], priorities, strict=True):
        batch = Batch()
        batch.atomic(AtomicOpcode.INCREMENT, place, 0)
        batch.copy_dword(buffer.gpu_address, place)
        requests.append(client.submit(engine, batch, priority=priority))
    stage.dawdle()
    gate.open()
    wait_for_all(requests)
    turns = {client.name: buffer.read_dword(0) for client, buffer in zip(clients[1:], log[1:], strict=True)}
    urgency = dict(zip((client.name for client in clients[1:]), priorities, strict=True))
    others = sorted((name for name in urgency if name != "next"), key=lambda name: -urgency[name])
    stage.check("their numbers", turns, {name: turn for turn, name in enumerate(("next", *others), 1)})
    check_quiet_end(stage, driver)
