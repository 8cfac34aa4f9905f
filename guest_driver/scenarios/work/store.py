"""Stores, copies, sums: what commands do to memory and registers."""

from __future__ import annotations

from pvinfo.commands.mi.memory import AtomicOpcode
from pvinfo.registers import EngineRegisters
from pvinfo.units import PAGE_SIZE

from ...batch import Batch
from ..catalogue import scenario
from ..stage import Stage
from . import NEEDS
from .acts import PATIENCE_NS, at_work, check_content, check_quiet_end, dwords_at, engines_with_registers, general_purpose, qword_at


@scenario(needs=NEEDS, varies="the order of the engines and the places")
def store_and_read_back(stage: Stage) -> None:
    """What each engine stores the processor reads, byte for byte, in memory and through the aperture, and nothing beside it."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    for engine in stage.shuffled(driver.platform.engines):
        stage.step(f"{engine.value} stores dwords and quadwords here and there")
        buffer = driver.create_buffer(2 * PAGE_SIZE, f"result of {engine.value}")
        expected = bytearray(stage.random.randbytes(buffer.size))
        buffer.write(0, expected)
        batch = Batch()
        for _ in range(24):
            value, place = stage.random.getrandbits(64), 8 * stage.random.randrange(buffer.size // 8)
            if stage.random.random() < 0.5:
                batch.store_qword(buffer.gpu_address + place, value)
                expected[place : place + 8] = value.to_bytes(8, "little")
            else:
                batch.store_dword(buffer.gpu_address + place + 4, value >> 32)
                expected[place + 4 : place + 8] = (value >> 32).to_bytes(4, "little")
        driver.submit(engine, batch).wait(PATIENCE_NS)
        check_content(stage, "memory", buffer.read(0, buffer.size), bytes(expected))
        with buffer.map_aperture() as view:
            check_content(stage, "the aperture", view.read(0, PAGE_SIZE), bytes(expected[:PAGE_SIZE]))
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS)
def copies_of_memory(stage: Stage) -> None:
    """An engine reads what the processor has written and copies it, directly and by way of a register."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    source, target = driver.create_buffer(PAGE_SIZE, "source"), driver.create_buffer(PAGE_SIZE, "target")
    for engine in driver.platform.engines:
        stage.step(f"{engine.value} reverses a row of dwords")
        values = [stage.random.getrandbits(32) for _ in range(32)]
        source.write_dwords(0, values)
        batch = Batch()
        low, _ = general_purpose(engine, 3)
        has_registers = engine in engines_with_registers(driver)
        for number in range(len(values)):
            there, here = target.gpu_address + 4 * (len(values) - 1 - number), source.gpu_address + 4 * number
            if number % 2 and has_registers:
                batch.load_register_mem(low, here)
                batch.store_register(low, there)
            else:
                batch.copy_dword(there, here)
        driver.submit(engine, batch).wait(PATIENCE_NS)
        stage.check("the target", dwords_at(target, 0, len(values)), values[::-1])
        stage.check("the source", dwords_at(source, 0, len(values)), values)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS)
def atomic_operations(stage: Stage) -> None:
    """Atomic operations leave in memory what arithmetic on 32 and 64 bits says, on each engine."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    buffer = driver.create_buffer(PAGE_SIZE, "operands")
    for engine in driver.platform.engines:
        stage.step(f"{engine.value} adds, subtracts, masks, compares")
        a, m = stage.random.getrandbits(32), stage.random.getrandbits(32)
        operations = {
            AtomicOpcode.ADD: m + a, AtomicOpcode.SUBTRACT: m - a, AtomicOpcode.AND: m & a, AtomicOpcode.OR: m | a, AtomicOpcode.XOR: m ^ a,
            AtomicOpcode.MOVE: a, AtomicOpcode.INCREMENT: m + 1, AtomicOpcode.UNSIGNED_MAX: max(m, a), AtomicOpcode.UNSIGNED_MIN: min(m, a),
        }  # fmt: skip
        buffer.write_dwords(0, [m] * 2 * len(operations))
        batch = Batch()
        for place, operation in enumerate(operations):
            batch.atomic(operation, buffer.gpu_address + 8 * place, a)
        driver.submit(engine, batch).wait(PATIENCE_NS)
        expected = [dword for result in operations.values() for dword in (result & 0xFFFF_FFFF, m)]
        stage.check("results, each before a dword that was left alone", dwords_at(buffer, 0, len(expected)), expected)
    check_quiet_end(stage, driver)


@scenario(needs=NEEDS)
def time_goes_on(stage: Stage) -> None:
    """Time stamps that an engine takes rise from request to request, by no more than the time that has passed."""
    stage.step("the driver starts the engines")
    driver = at_work(stage)
    buffer = driver.create_buffer(PAGE_SIZE, "time stamps")
    for engine in driver.platform.engines:
        stage.step(f"{engine.value} takes two time stamps, with a millisecond between")
        began = stage.guest.machine.clock.now_ns()
        for number in range(2):
            batch = Batch()
            batch.store_register(EngineRegisters.timestamp.at(engine.name), buffer.gpu_address + 8 * number)
            batch.store_register(EngineRegisters.timestamp_udw.at(engine.name), buffer.gpu_address + 8 * number + 4)
            driver.submit(engine, batch).wait(PATIENCE_NS)
            if not number:
                driver.wait(1_000_000)
        passed_ns = stage.guest.machine.clock.now_ns() - began
        ticks = qword_at(buffer, 8) - qword_at(buffer, 0)
        elapsed_ns = ticks * 1_000_000_000 // driver.info.timestamp_hz
        stage.check("at least a millisecond, and at most what has passed", 990_000 <= elapsed_ns <= passed_ns + 1_000, True)
    check_quiet_end(stage, driver)
