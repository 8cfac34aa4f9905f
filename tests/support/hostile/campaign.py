"""A campaign: a program run against a fresh device, and then the question whether the device is none the worse for it."""

from __future__ import annotations

import hashlib
import random
from collections import Counter
from typing import Final, NamedTuple

from host_model.gpu.engine import Activity
from pvinfo.execlist import Submission
from pvinfo.platform import ENGINES, PLATFORMS, Engine
from pvinfo.registers.engine import ContextStatus, EngineRegisters
from pvinfo.registers.gtt import GttRegisters

from ..blit_script import SURFACES
from .driver import ACT_BYTES, HostileDriver
from .ground import BATCHES
from .machine import WatchedGpu
from .memory import GuardedMemory

__all__ = ("Outcome", "Unhealthy", "campaign", "random_program", "story_of")

_PATIENCE: Final = 200
"""Instants that a legal submission may take."""
_SEQNO: Final = 0x5EC0
_DONE: Final = int(ContextStatus.of(context_complete=1, active_to_idle=1))


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
    driver = HostileDriver(device)
    driver.begin()
    driver.run(program)
    device.memory.check()
    _check_findings(device)
    gpu = device.gpu
    outcome = Outcome(driver.acts, device.slices, sum(gpu.engines.commands.values()), gpu.interrupts_sent, device.most_looks, device.digest())
    driver.end()
    if first % 2:
        device.write(0x941C, 4, 1)
    else:
        _reset_function(device)
    device.memory.check_let_go()
    _work_honestly(device, driver)
    device.memory.check()
    return outcome


def story_of(program: bytes, platform: str = "skl") -> str:
    """The acts in words, up to the one that fails."""
    words: list[str] = []
    device = WatchedGpu(PLATFORMS[platform], virtual=not program or program[0] % 4 != 3)
    driver = HostileDriver(device)
    driver.begin()
    driver = HostileDriver(device, words.append)
    try:
        driver.run(program)
    except Exception as failure:  # it is told elsewhere what it was
        words.append(f"here {type(failure).__name__} was raised")
    return "\n".join(words)


def _check_findings(device: WatchedGpu) -> None:
    log = device.gpu.findings
    places = Counter((finding.kind, finding.rule) for finding in log)
    for (kind, rule), count in places.items():
        if count > log.limit + 1:
            raise Unhealthy(f"{count} findings of rule {rule} ({kind.value}): there are at most {log.limit + 1}")


def _reset_function(device: WatchedGpu) -> None:
    """A function-level reset leaves registers and configuration space as they were when the device was new."""
    gpu = device.gpu
    gpu.reset()
    if bytes(gpu.config.bytes) != device.fresh_config:
        raise Unhealthy("configuration space is not what it was at power-on")
    if hashlib.sha256(gpu.registers.bytes).digest() != device.fresh_registers:
        raise Unhealthy("registers are not what they were at power-on")


def _poke(memory: GuardedMemory, bus: int, dwords: list[int]) -> None:
    memory.poke(bus, b"".join([dword.to_bytes(4, "little") for dword in dwords]))


def _work_honestly(device: WatchedGpu, driver: HostileDriver) -> None:
    """Every engine stores by way of a ring and a batch, the copy engine draws too, and all of them report it."""
    ground, memory = device.ground, device.memory
    driver.begin()
    for offset in range(0x10_0000, 0x10_0100, 4):
        device.write(offset, 4, 0)
    device.write(GttRegisters.ring_fault.offset, 4, 0)
    for number, engine in enumerate(ground.platform.engines):
        ring, image = ground.ring(engine, 0), ground.image(engine, 0)
        status, batch = ground.status_pages[engine], ground.batches[number]
        memory.poke(status.bus, bytes(0x1000))
        memory.poke(ground.near(64).bus, bytes(0x1000))
        commands = [0x10000002, SURFACES[0] + 0x40, 0, _SEQNO + number]
        if engine is Engine.BCS0:
            commands += [0x54300005, 0x03F0_0100, 0, 4 << 16 | 64, SURFACES[0] + 0x400, 0, 0xFACE]
        _poke(memory, batch.bus, [*commands, 0x05000000])
        work = [0x18800101, BATCHES + 0x1000 * number, 0, 0, 0x10400002, status.graphics + 0x200, 0, _SEQNO + number, 0x01000000, 0]
        _poke(memory, ring.bus, work)
        _poke(memory, image.bus + 0x1000 + 4 * 7, [4 * len(work)])
        interrupts = device.gpu.interrupts_sent
        for dword in Submission.loading(ground.descriptor(engine, 0)):
            device.write(EngineRegisters.elsp.at(engine.name), 4, dword)
        for _ in range(_PATIENCE):
            device.step()
            if device.gpu.engines[engine].activity is Activity.IDLE and device.gpu.interrupts_sent >= interrupts + 2:
                break
        context_id = int(ground.descriptor(engine, 0)) >> 32
        newest = device.read(ENGINES[engine].base + EngineRegisters.context_status_ptr.offset, 4) & 7
        seen = {
            "stored from the ring": memory.peek(status.bus + 0x200, 4),
            "stored from the batch": memory.peek(ground.near(64).bus + 0x40, 4),
            "the last event": memory.peek(status.bus + 0x40 + 8 * newest, 8),
            "its number": memory.peek(status.bus + 0x7C, 4),
        }
        expected = {
            "stored from the ring": (_SEQNO + number).to_bytes(4, "little"),
            "stored from the batch": (_SEQNO + number).to_bytes(4, "little"),
            "the last event": _DONE.to_bytes(4, "little") + context_id.to_bytes(4, "little"),
            "its number": newest.to_bytes(4, "little"),
        }
        if engine is Engine.BCS0:
            seen["drawn"] = memory.peek(ground.near(64).bus + 0x400, 0x400)
            expected["drawn"] = (0xFACE).to_bytes(4, "little") * 0x100
        if device.gpu.engines[engine].activity is not Activity.IDLE or seen != expected:
            raise Unhealthy(f"{engine.value} is {device.gpu.engines[engine].activity.value} after honest work: {seen}, and should be {expected}")
