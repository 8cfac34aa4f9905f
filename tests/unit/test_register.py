"""Registers as descriptors: specification on the class, typed access on the instance."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

import pvinfo.register
import pvinfo.registers
from pvinfo.bits import Bits, flag, uint
from pvinfo.errors import LayoutError
from pvinfo.register import Access, Register, RegisterArray, RegisterBlock, declared_blocks, masked_bits


class Control(Bits):
    enabled = flag(0, "on")
    length = uint(12, 9, "how long")


class Ring(RegisterBlock, bases={"RCS0": 0x2000, "BCS0": 0x22000}, source="test:ring"):
    tail = Register(0x30, int, "next free byte", unit="bytes")
    control = Register(0x3C, Control, "enable and size", Access.MASKED, kernel_name="RING_CTL")
    status = RegisterArray(0x370, 12, int, "status pairs", Access.READ_ONLY)
    nonpriv = RegisterArray(0x4D0, 3, Control, "spread out", stride=16, source="test:elsewhere")


pvinfo.register._BLOCKS.remove(Ring)


@pytest.fixture(autouse=True)
def _undeclared() -> Iterator[None]:
    """What is declared here is none of the kit's registers: whoever looks an offset up must not find it."""
    before = list(pvinfo.register._BLOCKS)
    yield
    pvinfo.register._BLOCKS[:] = before


class Bus:
    """A bus that notes what passes over it."""

    def __init__(self) -> None:
        self.dwords: dict[int, int] = {}
        self.acts: list[tuple[str, int]] = []

    def read32(self, offset: int, /) -> int:
        self.acts.append(("read", offset))
        return self.dwords.get(offset, 0)

    def write32(self, offset: int, value: int, /) -> None:
        self.acts.append(("write", offset))
        self.dwords[offset] = value


def test_the_class_gives_the_specification_and_its_place_in_each_instance() -> None:
    assert Ring.control.at("RCS0") == 0x203C
    assert Ring.control.at("BCS0") == 0x2203C
    assert Ring.control.at(0x1A000) == 0x1A03C
    assert (Ring.control.title, Ring.control.kernel_name, Ring.tail.kernel_name) == ("Ring.control", "RING_CTL", "RING_TAIL")
    assert (Ring.tail.source, Ring.nonpriv.source) == ("test:ring", "test:elsewhere")
    assert list(Ring.control.offsets()) == [0x203C, 0x2203C]
    assert list(Ring.nonpriv.offsets()) == [0x24D0, 0x24E0, 0x24F0, 0x224D0, 0x224E0, 0x224F0]


def test_an_instance_reads_and_writes_its_bus_once_and_typed() -> None:
    bus = Bus()
    ring = Ring(bus, "BCS0")
    ring.control = Control.of(enabled=True, length=3)
    assert bus.dwords == {0x2203C: 0x3001}
    assert type(ring.control) is Control
    assert ring.control.length == 3
    assert bus.acts == [("write", 0x2203C), ("read", 0x2203C), ("read", 0x2203C)]


def test_an_array_is_indexed_within_its_bounds() -> None:
    bus = Bus()
    ring = Ring(bus, "RCS0")
    ring.nonpriv[2] = Control(5)
    assert bus.dwords == {0x24F0: 5}
    assert ring.nonpriv[2].enabled is True
    assert (len(ring.status), ring.status[11]) == (12, 0)
    assert bus.acts[-1] == ("read", 0x2000 + 0x370 + 44)
    for index in (3, -1):
        with pytest.raises(IndexError, match=re.escape(f"Ring.nonpriv[{index}]: it has 3 elements")):
            ring.nonpriv[index]


def test_an_unknown_instance_is_answered_with_the_known_ones() -> None:
    with pytest.raises(LayoutError, match="^Ring has no instance 'VCS0'; it has RCS0, BCS0$"):
        Ring(Bus(), "VCS0")


def test_a_block_without_bases_carries_absolute_offsets() -> None:
    class Lone(RegisterBlock, source="test:lone"):
        reset = Register(0x941C, int, "engine reset")

    assert Lone.reset.at() == 0x941C
    assert list(Lone.reset.offsets()) == [0x941C]
    assert Lone in declared_blocks()


def test_registers_on_top_of_each_other_are_refused() -> None:
    with pytest.raises(LayoutError, match="^Twice: (one and two|two and one) both stand at 0x14$"):

        class Twice(RegisterBlock, source="test:twice"):
            one = RegisterArray(0x10, 2, int, "two dwords")
            two = Register(0x14, int, "the second again")


def test_instances_on_top_of_each_other_are_refused() -> None:
    with pytest.raises(LayoutError, match="^Close: .* both stand at 0x104$"):

        class Close(RegisterBlock, bases={"A": 0x100, "B": 0x104}, source="test:close"):
            one = Register(0, int, "at the base")
            two = Register(4, int, "one further: the other's base")


def test_a_register_needs_a_source() -> None:
    with pytest.raises(LayoutError, match="^Hearsay.one: neither the register nor its block names a source$"):

        class Hearsay(RegisterBlock):
            one = Register(0, int, "said to exist")


@pytest.mark.parametrize(("offset", "doc", "text"), [(2, "odd", "register at 0x2: registers are aligned dwords"), (4, "", "register at 0x4: a register says what it is")])
def test_a_register_is_an_aligned_dword_with_a_meaning(offset: int, doc: str, text: str) -> None:
    with pytest.raises(LayoutError, match=f"^{re.escape(text)}$"):
        Register(offset, int, doc)


@pytest.mark.parametrize(("count", "stride"), [(1, 4), (4, 2), (4, 6), (4, 0)])
def test_an_array_has_elements_and_an_aligned_stride(count: int, stride: int) -> None:
    with pytest.raises(LayoutError, match="^register array at 0x10: at least two elements, an aligned stride$"):
        RegisterArray(0x10, count, int, "wrong", stride=stride)


def test_a_masked_write_names_exactly_the_bits_it_changes() -> None:
    assert masked_bits(0x9) == 0x0009_0009
    assert masked_bits(0x9, enable=False) == 0x0009_0000


def test_every_declared_register_can_hold_any_32_bits() -> None:
    """A guest may write anything, and a typed value must never refuse it."""
    rng = random.Random(2)
    samples = [0, 1, 0xFFFFFFFF, 0x80000000, *(rng.getrandbits(32) for _ in range(8))]
    blocks = declared_blocks()
    assert any(block.__module__.startswith(pvinfo.registers.__name__) for block in blocks)
    for block in blocks:
        for register in block.registers:
            for sample in samples:
                assert register.value_type(sample) == sample, register.title
