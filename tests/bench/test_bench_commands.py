"""What the streamer's commands cost: a batch executed by an engine, against a loop that only steps over its commands' lengths."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest
from support.figures import Figure, Figures, side_by_side
from support.gpu_rig import GpuRig, RigContext

from pvinfo.platform import Engine

pytestmark = pytest.mark.bench

COMMANDS = 20_000
ROUNDS = 11
REPEATED = 6
BAR = 8.0
DATA, BATCH = 0x10_0000, 0x20_0000
GPR, PREDICATE_SOURCE = 0x2600, 0x2400

Kind = Callable[[random.Random], list[int]]


def _place(rng: random.Random) -> list[int]:
    return [DATA + 8 * rng.randrange(500), 0]


def _gpr(rng: random.Random) -> int:
    return GPR + 4 * rng.randrange(32)


def noop(rng: random.Random) -> list[int]:
    return [0]


def arb_check(rng: random.Random) -> list[int]:
    return [0x05 << 23]


def store_data_imm(rng: random.Random) -> list[int]:
    return [0x20 << 23 | 2, *_place(rng), rng.getrandbits(32)]


def store_qword_imm(rng: random.Random) -> list[int]:
    return [0x20 << 23 | 1 << 21 | 3, *_place(rng), rng.getrandbits(32), rng.getrandbits(32)]


def load_register_imm(rng: random.Random) -> list[int]:
    return [0x22 << 23 | 1, _gpr(rng), rng.getrandbits(32)]


def load_registers_imm(rng: random.Random) -> list[int]:
    return [0x22 << 23 | 15, *(dword for _ in range(8) for dword in (_gpr(rng), rng.getrandbits(32)))]


def load_predicate_imm(rng: random.Random) -> list[int]:
    return [0x22 << 23 | 1, PREDICATE_SOURCE + 4 * rng.randrange(4), rng.getrandbits(32)]


def store_register_mem(rng: random.Random) -> list[int]:
    return [0x24 << 23 | 2, _gpr(rng), *_place(rng)]


def store_timestamp(rng: random.Random) -> list[int]:
    return [0x24 << 23 | 2, 0x2358, *_place(rng)]


def load_register_mem(rng: random.Random) -> list[int]:
    return [0x29 << 23 | 2, _gpr(rng), *_place(rng)]


def load_register_reg(rng: random.Random) -> list[int]:
    return [0x2A << 23 | 1, _gpr(rng), _gpr(rng)]


def copy_mem_mem(rng: random.Random) -> list[int]:
    return [0x2E << 23 | 3, *_place(rng), *_place(rng)]


def math_add(rng: random.Random) -> list[int]:
    """A sum of two registers, four steps."""
    return [0x1A << 23 | 3, 0x080 << 20 | 0x20 << 10 | rng.randrange(16), 0x080 << 20 | 0x21 << 10 | rng.randrange(16), 0x100 << 20, 0x180 << 20 | rng.randrange(16) << 10 | 0x31]


def flush_dw(rng: random.Random) -> list[int]:
    return [0x26 << 23 | 1 << 14 | 2, *_place(rng), rng.getrandbits(32)]


def pipe_control(rng: random.Random) -> list[int]:
    return [3 << 29 | 3 << 27 | 2 << 24 | 4, 1 << 14 | 1 << 20 | 1 << 12, *_place(rng), rng.getrandbits(32), 0]


def pipeline_state(rng: random.Random) -> list[int]:
    """A state command of the 3D pipeline, which is passed over."""
    return [3 << 29 | 3 << 27 | 0x10 << 16 | 2, *(rng.getrandbits(32) for _ in range(3))]


def semaphore_wait(rng: random.Random) -> list[int]:
    """For memory to be anything but what it never is."""
    return [0x1C << 23 | 1 << 15 | 5 << 12 | 2, 0xFFFFFFFE, DATA + 0xFF8, 0]


MIX: tuple[Kind, ...] = (
    noop, arb_check, store_data_imm, store_qword_imm, load_register_imm, store_register_mem, load_register_mem, load_register_reg,
    copy_mem_mem, flush_dw, semaphore_wait,
)  # fmt: skip
"""The commands that the streamer itself executes, each as often as every other."""
HEAVY: tuple[Kind, ...] = (load_registers_imm, load_predicate_imm, store_timestamp, math_add, pipe_control, pipeline_state)
"""Commands of many parts, and those that go through the register bus or are another unit's."""


def stream(seed: int, kinds: tuple[Kind, ...]) -> list[int]:
    rng = random.Random(seed)
    return [dword for _ in range(COMMANDS) for dword in rng.choice(kinds)(rng)]


def request(breadcrumb: int, seqno: int) -> list[int]:
    """What i915 writes to the ring of an engine without a 3D pipeline, with a batch of one store.

    Source: linux:drivers/gpu/drm/i915/gt/gen8_engine_cs.c
    """
    return [
        0x26 << 23 | 1 << 18 | 1 << 14 | 2, breadcrumb + 0x800 | 1 << 2, 0, 0,  # flush with invalidation
        0x20 << 23 | 1 << 22 | 2, breadcrumb, 0, seqno, 0x05 << 23, 0,  # the request has begun
        0x08 << 23 | 1, 0x31 << 23 | 1 << 8 | 1, BATCH, 0, 0x08 << 23, 0,  # its batch, arbitration on and off around it
        0x26 << 23 | 1 << 14 | 2, breadcrumb + 0x800 | 1 << 2, 0, 0,  # flush
        0x20 << 23 | 1 << 22 | 2, breadcrumb + 8, 0, seqno, 0x02 << 23, 0,  # it is complete: the user interrupt
        0x08 << 23 | 1, 0x05 << 23,
    ]  # fmt: skip


def step_over(dwords: memoryview) -> int:
    """What is left of executing when nothing is executed."""
    at = commands = 0
    end = len(dwords)
    while at < end:
        header = dwords[at]
        if header >> 29 or header >> 23 >= 0x10:
            at += (header & 0xFF) + 2
        else:
            at += 1
        commands += 1
    return commands


def as_dwords(stream: list[int]) -> memoryview:
    return memoryview(bytearray(b"".join(dword.to_bytes(4, "little") for dword in stream))).cast("I")


def against_stepping(what: str, execute: Callable[[], None], stepped: list[int], bar: float | None, figures: Figures) -> None:
    """Both sides by command. The loop steps over the same commands again and again, to take about as long."""
    dwords = as_dwords(stepped)
    commands = step_over(dwords)

    def repeated(operations: int) -> None:
        for _ in range(operations):
            execute()

    def step(operations: int) -> None:
        for _ in range(operations * REPEATED):
            assert step_over(dwords) == commands

    ours, least = side_by_side(repeated, step, 1, ROUNDS, time.thread_time_ns)
    figure = figures.add(Figure(what, ours / commands, "a loop that steps over the lengths", least / REPEATED / commands, bar))
    assert bar is None or figure.ratio <= bar


def batch_execution(batch: list[int]) -> Callable[[], None]:
    rig = GpuRig()
    context = RigContext(rig, 0x20)
    context.map(DATA)
    context.batch(BATCH, *batch, 0x0A << 23)

    def execute() -> None:
        context.write(0x31 << 23 | 1 << 8 | 1, BATCH, 0)
        rig.submit(context)
        rig.run(100_000_000)
        assert rig.done and all(finding.rule == "pipeline-state" for finding in rig.findings)

    return execute


@pytest.mark.parametrize("kind", MIX + HEAVY, ids=lambda kind: kind.__name__)
def test_a_batch_of_one_kind_of_command(kind: Kind, figures: Figures) -> None:
    batch = stream(1, (kind,))
    against_stepping(f"a batch of {kind.__name__}", batch_execution(batch), batch, None, figures)


def test_a_batch_of_the_streamers_commands(figures: Figures) -> None:
    batch = stream(2, MIX)
    against_stepping("a batch of the streamer's commands", batch_execution(batch), batch, BAR, figures)


def test_requests_as_the_kernel_writes_them(figures: Figures) -> None:
    """A ring of requests whose batches store a value each, commands of ring and batches counted together."""
    requests = 900
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20, ring_pages=32)
    context.map(DATA)
    stored = [0x20 << 23 | 2, DATA + 0x40, 0, 7, 0x0A << 23]
    context.batch(BATCH, *stored)
    breadcrumb = rig.allocate(1)
    ring = [request(breadcrumb, number) for number in range(requests)]
    context.write(*(dword for commands in ring for dword in commands))

    def execute() -> None:
        context.set("head", 0)
        rig.submit(context)
        rig.run(100_000_000)
        assert rig.done and rig.ggtt.read32(breadcrumb + 8) == requests - 1 and not list(rig.findings)

    against_stepping("a ring of the kernel's requests", execute, [dword for commands in ring for dword in [*commands, *stored]], None, figures)
