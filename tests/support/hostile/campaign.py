"""A campaign: a program run against a fresh device, and then the question whether the device is none the worse for it."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from collections.abc import Callable
from typing import Final, NamedTuple

from host_model.gpu.engine import Activity
from pvinfo.platform import ENGINES, PLATFORMS, Engine
from pvinfo.registers.engine import EngineRegisters
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.registers.gtt import GttRegisters

from .driver import ACT_BYTES, HostileDriver, HostileHostDriver
from .honest import HonestWork
from .machine import WatchedDevice, WatchedGpu

__all__ = ("Outcome", "Unhealthy", "campaign", "random_program", "story_of", "work_honestly")

_PATIENCE: Final = 200
"""Instants that a legal submission may take."""


class Unhealthy(AssertionError):
    """The device was reset, and yet is not as it was."""


class Outcome(NamedTuple):
    """What a campaign came to."""

    acts: int
    slices: int
    commands: int
    interrupts: int
    most_looks: int
    digest: str
    """Of everything that can be told apart, before the reset."""


def random_program(seed: int, acts: int) -> bytes:
    return random.Random(seed).randbytes(acts * ACT_BYTES)


def campaign(program: bytes, platform: str = "skl") -> Outcome:
    """Run ``program``, check memory, reset the device, and let it do honest work.

    The first byte of the program decides whether engines take virtual time, and how the device is reset in the end.
    Raises: AssertionError where a rule is broken; whatever escapes the device, which is a defect, too.
    """
    first = program[0] if program else 0
    device = WatchedGpu(PLATFORMS[platform], virtual=first % 4 != 3)
    driver = HostileHostDriver(device)
    driver.begin()
    driver.run(program)
    device.memory.check()
    _check_findings(device)
    gpu = device.physical
    outcome = Outcome(driver.acts, device.slices, sum(gpu.engines.commands.values()), gpu.interrupts_sent, device.most_looks, device.digest())
    driver.end()
    if first % 2:
        device.write(0x941C, 4, 1)
    else:
        _reset_function(device)
    device.memory.check_let_go()
    work_honestly(device, driver, lambda engine: gpu.engines[engine].activity is Activity.IDLE)
    device.memory.check()
    return outcome


def story_of(program: bytes, platform: str = "skl") -> str:
    """The acts in words, up to the one that fails."""
    words: list[str] = []
    device = WatchedGpu(PLATFORMS[platform], virtual=not program or program[0] % 4 != 3)
    driver = HostileHostDriver(device)
    driver.begin()
    driver = HostileHostDriver(device, words.append)
    try:
        driver.run(program)
    except Exception as failure:  # it is told elsewhere what it was
        words.append(f"here {type(failure).__name__} was raised")
    return "\n".join(words)


def _check_findings(device: WatchedGpu) -> None:
    log = device.physical.findings
    places = Counter((finding.kind, finding.rule) for finding in log)
    for (kind, rule), count in places.items():
        if count > log.limit + 1:
            raise Unhealthy(f"{count} findings of rule {rule} ({kind.value}): there are at most {log.limit + 1}")


def _reset_function(device: WatchedGpu) -> None:
    """A function-level reset leaves registers and configuration space as they were when the device was new."""
    gpu = device.physical
    gpu.reset()
    if bytes(gpu.config.bytes) != device.fresh_config:
        raise Unhealthy("configuration space is not what it was at power-on")
    if hashlib.sha256(gpu.registers.bytes).digest() != device.fresh_registers:
        raise Unhealthy("registers are not what they were at power-on")


def work_honestly(device: WatchedDevice, driver: HostileDriver, idle: Callable[[Engine], bool]) -> None:
    """Set everything up anew and have every engine do a piece of work. Raises: Unhealthy."""
    driver.begin()
    for offset in range(FENCE_BASE, FENCE_BASE + 0x100, 4):
        device.write(offset, 4, 0)
    device.write(GttRegisters.ring_fault.offset, 4, 0)
    for number, engine in enumerate(device.ground.platform.engines):
        device.ground.memory.poke(device.ground.status_pages[engine].bus, bytes(0x1000))
        work = HonestWork(device.ground, engine, number)
        work.submit(device.write)
        pointer = ENGINES[engine].base + EngineRegisters.context_status_ptr.offset
        seen, expected = {"": b""}, {"": b" "}
        for _ in range(_PATIENCE):
            device.step()
            newest = device.read(pointer, 4) & 7
            seen, expected = work.seen(newest), work.expected(newest)
            if idle(engine) and seen == expected:
                break
        else:
            raise Unhealthy(f"{engine.value} is {'idle' if idle(engine) else 'busy'} after honest work: {seen}, and should be {expected}")
