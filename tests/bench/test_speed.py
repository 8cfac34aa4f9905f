"""What the core costs, in this process: ratios to the least that Python could do."""

from __future__ import annotations

import timeit
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import pytest
from support.figures import Figure, Figures, side_by_side

from host_model.host import Host, PluggedVgpu
from pvinfo.page import VGT_IF, VGT_MAGIC
from pvinfo.units import MIB
from pvinfo.vfio_user import HEADER
from pvinfo.wire import Codec

pytestmark = pytest.mark.bench

STORED = 0x2030
"""A register of plain storage: RING_TAIL."""
BLOCK = 0x140000
"""A block of plain storage."""
RULED = 0x2120
"""A masked register."""

R = TypeVar("R", bound=tuple[object, ...])


class Bare:
    """A memoryview behind one method: what a register read cannot be cheaper than."""

    def __init__(self) -> None:
        self._dwords = memoryview(bytearray(2 * MIB)).cast("I")

    def read32(self, offset: int, /) -> int:
        return self._dwords[offset >> 2]

    def write32(self, offset: int, value: int, /) -> None:
        self._dwords[offset >> 2] = value


def repeated(statement: str, **names: object) -> Callable[[int], object]:
    """``statement``, as many times as asked, without the cost of a call around it."""
    timer = timeit.Timer(statement, globals=names)
    return lambda operations: timer.timeit(operations)


@pytest.fixture
def plugged() -> PluggedVgpu:
    return Host().plug(ram_size=16 * MIB)


def bus(plugged: PluggedVgpu) -> object:
    window = plugged.machine.gpu.bar(0)
    assert window is not None
    return window


def test_a_read_of_a_stored_register_costs_little_more_than_the_load(plugged: PluggedVgpu, figures: Figures) -> None:
    ours, least = side_by_side(
        repeated(f"bus.read32({STORED:#x})", bus=bus(plugged)), repeated(f"bus.read32({STORED:#x})", bus=Bare()), 200_000, 21
    )
    figure = figures.add(Figure("read of a stored register through the guest's bus", ours, "a memoryview load behind one method", least, 3.0))
    assert figure.ratio <= 3.0


def test_an_access_of_the_aperture_costs_little_beside_its_message(plugged: PluggedVgpu, figures: Figures) -> None:
    """A text console writes each of its words through here: translated once a page, not once a word."""
    low = plugged.vgpu.resources.low.start
    aperture = plugged.machine.gpu.bar(2)
    plugged.vgpu.mmio.write(0x800000 + (low >> 12) * 8, 8, 0x1001)
    bare = repeated(f"bus.write32({STORED:#x}, 7)", bus=Bare())
    for what, statement in (("8-byte write", f"bus.write({low + 8:#x}, 8, 7)"), ("4-byte read", f"bus.read32({low + 8:#x})")):
        ours, least = side_by_side(repeated(statement, bus=aperture), bare, 50_000, 9)
        figures.add(Figure(f"{what} of the aperture", ours, "a memoryview store behind one method", least, None))


def test_other_accesses_of_the_guests_bus(plugged: PluggedVgpu, figures: Figures) -> None:
    low = plugged.vgpu.resources.low.start
    entry = 0x800000 + (low >> 12) * 8
    bare = repeated(f"bus.write32({STORED:#x}, 7)", bus=Bare())
    for what, statement in (
        ("write of a stored register", f"bus.write32({STORED:#x}, 7)"),
        ("write of a masked register", f"bus.write32({RULED:#x}, 0x10001)"),
        ("write of a whole table entry", f"bus.write({entry:#x}, 8, 0x1001)"),
        ("read of half a table entry", f"bus.read32({entry:#x})"),
        ("read of the PVINFO page's magic", "bus.read(0x78000, 8)"),
    ):
        ours, least = side_by_side(repeated(statement, bus=bus(plugged)), bare, 50_000, 9)
        figures.add(Figure(what, ours, "a memoryview store behind one method", least, None))


def test_a_million_accesses_with_a_trace_and_without(plugged: PluggedVgpu, figures: Figures, tmp_path: Path) -> None:
    """200,000 accesses a round, five rounds: a million each way, one in five a write."""
    window = plugged.vgpu.mmio
    mix = [(BLOCK + 4 * number, number % 5 == 0) for number in range(100)]

    def accesses(operations: int) -> None:
        for _ in range(operations // len(mix)):
            for offset, written in mix:
                if written:
                    window.write32(offset, offset)
                else:
                    window.read32(offset)

    def traced(operations: int) -> None:
        plugged.vgpu.trace_to(tmp_path / "trace.tsv")
        accesses(operations)
        plugged.vgpu.end_trace()

    on, off = side_by_side(traced, accesses, 200_000, 5)
    figures.add(Figure("one of a million accesses to stored registers, traced to a file", on, "the same without a trace", off, None))


@pytest.mark.parametrize(
    ("what", "codec", "data"),
    [
        ("the PVINFO page, 4096 bytes", VGT_IF, VGT_MAGIC.to_bytes(8, "little") + bytes(4088)),
        ("a vfio-user header, 16 bytes", HEADER, bytes(16)),
    ],
)
def test_a_record_parsed_by_construct_and_by_one_flat_struct(what: str, codec: Codec[R], data: bytes, figures: Figures) -> None:
    strict, flat = side_by_side(
        repeated("codec.parse(data)", codec=codec, data=data), repeated("codec.unpack_from(data)", codec=codec, data=data), 2_000, 9
    )
    figures.add(Figure(f"{what}, parsed by construct", strict, "one flat struct", flat, None))
