"""What the command audit costs: rings as real drivers fill them, against a walk that only steps from command to command."""

from __future__ import annotations

import time
from array import array

import pytest
from support.audit_rig import AuditRig
from support.figures import Figure, Figures, side_by_side

from pvinfo.commands import length_table
from pvinfo.platform import ENGINES, Engine

pytestmark = pytest.mark.bench

BAR = 3.0
REQUESTS = 20
ROUNDS = 31
PIPE_CONTROL = 0x7A000004


def render_request(seqno_at: int, *, gen9: bool) -> list[int]:
    """Invalidation, first breadcrumb, registers, a batch, flush, breadcrumb and interrupt. Source: linux:drivers/gpu/drm/i915/gt/gen8_engine_cs.c"""
    return [
        *([PIPE_CONTROL, 0, 0, 0, 0, 0] if gen9 else []), PIPE_CONTROL, 0x00344C1C, 0xD0, 0, 0, 0,
        0x10400002, seqno_at, 0, 1, 0, 0x02800000,
        0x11000003, 0x7014, 0x00010001, 0xE194, 0x80008000, 0,
        0x04000001, 0x18800101, 0x00123000, 0, 0x04000000, 0,
        PIPE_CONTROL, 0x00141021, 0, 0, 0, 0, PIPE_CONTROL, 0x01104080, seqno_at, 0, 2, 0,
        0x01000000, 0x04000001, 0x02800000, 0,
    ]  # fmt: skip


def other_request(seqno_at: int) -> list[int]:
    """The same for an engine without a 3D pipeline."""
    return [
        0x13244002, 0xD0, 0, 0, 0x10400002, seqno_at, 0, 1, 0, 0x02800000, 0x04000001, 0x18800101, 0x00123000, 0, 0x04000000, 0,
        0x13004002, seqno_at | 4, 0, 2, 0x01000000, 0x04000001, 0x02800000, 0,
    ]  # fmt: skip


def context_request(rig: AuditRig, seqno_at: int) -> list[int]:
    """The first request of a context: all its work-arounds in one load, between barriers."""
    loads = [word for register in (0x7014, 0x7000, 0x7004, 0x7300, 0x7304, 0xE180, 0xE184, 0xE188, 0xE194, 0xE4F0, 0x2580) for word in (register, 0x10001)]
    barrier = [PIPE_CONTROL, 0, 0, 0, 0, 0, PIPE_CONTROL, 0x00345CBD, 0xD0, 0, 0, 0]
    return [*barrier, 0x11000000 | len(loads) - 1, *loads, 0, *barrier, *render_request(seqno_at, gen9=True)]


@pytest.mark.parametrize(
    ("what", "platform", "engine"),
    [
        ("render engine, gen9", "skl", Engine.RCS0), ("render engine, gen8", "bdw", Engine.RCS0), ("copy engine", "skl", Engine.BCS0),
        ("first request of a context", "kbl", Engine.RCS0),
    ],
)  # fmt: skip
def test_the_audit_of_a_ring_costs_three_walks_at_most(what: str, platform: str, engine: Engine, figures: Figures) -> None:
    rig = AuditRig(platform)
    seqno_at = rig.low.start + 0x1040
    gen9 = rig.vgpu.platform.graphics_version == 9
    if "first" in what:
        request = context_request(rig, seqno_at)
    else:
        request = render_request(seqno_at, gen9=gen9) if engine is Engine.RCS0 else other_request(seqno_at)
    source = memoryview(array("I", request * REQUESTS))
    ring = memoryview(array("I", request * REQUESTS))
    table = length_table(engine, rig.vgpu.platform.graphics_version)
    end = len(source)

    def walk(operations: int) -> None:
        for _ in range(operations):
            at = 0
            while at < end:
                header = source[at]
                mask, added = table[header >> 16]
                at += (header & mask) + added

    def audit(operations: int) -> None:
        for _ in range(operations):
            ring[:] = source
            rig.audit.ring(engine, ring, lambda index: 4 * index, rig.space, inhibit=False)

    ours, least = side_by_side(audit, walk, 20, ROUNDS, time.thread_time_ns)
    figure = figures.add(
        Figure(f"audit of a request ({what}), {len(request)} dwords", ours / REQUESTS, "a walk over its commands by length alone", least / REQUESTS, BAR)
    )
    assert figure.ratio <= BAR


def test_the_audit_of_privileged_batches_and_of_images(figures: Figures) -> None:
    rig = AuditRig("skl")
    dwords = 1000
    address = rig.place(rig.low.start + 0x10000, [*[0x61040000, 0] * (dwords // 2), 0x05000000])
    start = array("I", (0x18800001, address, 0))
    image = memoryview(bytearray(4096 * 21)).cast("I")
    image[0x51] = 0x11000000 | 2 * 44 - 1
    for number in range(44):
        image[0x52 + 2 * number] = ENGINES[Engine.RCS0].base + 0x600 + 4 * (number % 32)
    walked = memoryview(array("I", [0x61040000, 0] * (dwords // 2)))
    table = length_table(Engine.RCS0, 9)

    def batch(operations: int) -> None:
        for _ in range(operations):
            rig.give_back(rig.audit.ring(Engine.RCS0, memoryview(start[:]), lambda index: index, rig.space, inhibit=False))

    def images(operations: int) -> None:
        for _ in range(operations):
            rig.audit.image(Engine.RCS0, image, inhibit=False)

    def walk(operations: int) -> None:
        for _ in range(operations):
            at = 0
            while at < dwords:
                header = walked[at]
                mask, added = table[header >> 16]
                at += (header & mask) + added

    against = f"a walk over {dwords // 2} commands of 2 dwords"
    for what, measured in ((f"a privileged batch of {dwords // 2} commands, copied and audited", batch), ("a context image of 21 pages, nearly empty", images)):
        ours, least = side_by_side(measured, walk, 10, 11, time.thread_time_ns)
        figures.add(Figure(what, ours, against, least, None))
