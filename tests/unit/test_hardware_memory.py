"""The host's part of graphics memory: buffers, the table's entries behind them, and what is left when they go."""

from __future__ import annotations

import random

import pytest
from support.hardware_bench import Bench

from host_model.clock import VirtualClock
from host_model.gpu.device import PhysicalGpu
from host_model.mediator.hardware.graphics_memory import GraphicsBuffer, GraphicsMemory
from host_model.mediator.types import HOST_HIGH, HOST_LOW
from host_model.memory import HostMemory
from pvinfo.errors import ResourceExhausted
from pvinfo.platform import PLATFORMS, Engine
from pvinfo.units import GIB, MIB, PAGE_SIZE, BusAddress

APERTURE = 256 * MIB


def made(aperture: int = APERTURE, ggtt: int = 4 * GIB) -> tuple[PhysicalGpu, HostMemory, GraphicsMemory]:
    memory = HostMemory()
    gpu = PhysicalGpu(PLATFORMS["skl"], aperture, memory, VirtualClock(), ggtt)
    return gpu, memory, GraphicsMemory(gpu, memory)


def in_hosts_part(buffer: GraphicsBuffer, aperture: int = APERTURE) -> bool:
    end = buffer.address + buffer.size
    return PAGE_SIZE <= buffer.address < end <= HOST_LOW or aperture <= buffer.address < end <= aperture + HOST_HIGH


def test_a_buffer_is_whole_zeroed_pages_that_the_gpu_reaches_at_its_address() -> None:
    gpu, memory, graphics = made()
    buffer = graphics.allocate(2 * PAGE_SIZE + 1, owner=3)
    assert (buffer.size, buffer.owner, len(buffer.dwords), set(buffer.bytes)) == (3 * PAGE_SIZE, 3, 3 * 1024, {0})
    assert in_hosts_part(buffer) and buffer.address % PAGE_SIZE == 0
    gpu.engines[Engine.RCS0].ggtt.write32(buffer.address + 0x2FFC, 0x1234)
    assert buffer.dwords[-1] == 0x1234
    buffer.bytes[:4] = b"\x78\x56\x34\x12"
    assert gpu.engines[Engine.RCS0].ggtt.read32(buffer.address) == 0x12345678 == buffer.dwords[0]
    entries = gpu.ggtt.entries[buffer.address >> 12 : (buffer.address >> 12) + 3].tolist()
    assert [entry & 0xFFF for entry in entries] == [1, 1, 1]
    assert [memory.owner_of(BusAddress(entry & ~0xFFF)) for entry in entries] == [3, 3, 3]


def test_a_released_buffer_leaves_a_scratch_page_behind_its_addresses() -> None:
    gpu, memory, graphics = made()
    buffers = [graphics.allocate(PAGE_SIZE, owner) for owner in (1, 2)]
    page = buffers[0].address >> 12
    buffers[0].bytes[:] = b"\x77" * PAGE_SIZE
    gpu.engines[Engine.RCS0].ggtt.read32(buffers[0].address)
    before = gpu.ggtt.entries[page]
    buffers[0].release()
    scratch = gpu.ggtt.entries[page]
    assert scratch != before and scratch & 1 and memory.owner_of(BusAddress(scratch & ~1)) == 0
    assert gpu.engines[Engine.RCS0].ggtt.read32(buffers[0].address) == 0
    assert memory.page(BusAddress(before & ~1)) is None
    buffers[1].release()
    assert gpu.ggtt.entries[buffers[1].address >> 12] == scratch
    buffers[1].release()  # nothing happens
    assert graphics.pages == 0
    again = [graphics.allocate(PAGE_SIZE, 2) for _ in range(2)]
    assert {buffer.address for buffer in again} == {buffer.address for buffer in buffers}
    assert {byte for buffer in again for byte in buffer.bytes} == {0}


def test_nothing_is_ever_put_at_address_zero_or_in_what_is_handed_out_to_vgpus() -> None:
    gpu, _, graphics = made()
    whole = graphics.allocate(HOST_LOW - PAGE_SIZE, 0)
    assert whole.address == PAGE_SIZE
    high = graphics.allocate(HOST_HIGH, 0)
    assert high.address == APERTURE
    with pytest.raises(ResourceExhausted, match=r"not enough graphics memory: 1 pages wanted, 0 pages left \(in one piece of the host's part; 0 in all; the host has 131071\)"):
        graphics.allocate(1, 0)
    assert gpu.ggtt.entries[0] == gpu.ggtt.entries[HOST_LOW >> 12] == gpu.ggtt.entries[APERTURE + HOST_HIGH >> 12] == 0
    whole.release()
    assert graphics.allocate(HOST_LOW - PAGE_SIZE, 0).address == PAGE_SIZE


def test_what_is_too_long_for_any_hole_is_refused_and_takes_nothing() -> None:
    _, memory, graphics = made()
    first = memory.allocate(1)
    memory.release(first)
    with pytest.raises(ResourceExhausted, match="not enough graphics memory: 98305 pages wanted, 98304 pages left"):
        graphics.allocate(HOST_HIGH + 1, 0)
    assert graphics.pages == 0
    assert memory.allocate(1).address == first.address


@pytest.mark.parametrize(("aperture", "ggtt"), [(64 * MIB, 4 * GIB), (256 * MIB, 1 * GIB), (1 * GIB, 1 * GIB), (1 * GIB, 4 * GIB)])
def test_the_hosts_part_never_leaves_the_table(aperture: int, ggtt: int) -> None:
    gpu, _, graphics = made(aperture, ggtt)
    buffers = []
    while True:
        try:
            buffers.append(graphics.allocate(MIB, 0))
        except ResourceExhausted:
            break
    low, high = min(HOST_LOW, aperture), min(HOST_HIGH, ggtt - aperture)
    assert sum(buffer.size for buffer in buffers) == low + high - MIB
    assert all(buffer.address + buffer.size <= ggtt for buffer in buffers)


def test_buffers_come_and_go_in_any_order_and_never_overlap() -> None:
    rng = random.Random(5)
    gpu, _, graphics = made(aperture=2 * MIB, ggtt=1 * GIB)
    graphics.keep_out(range(2 * MIB, 2 * MIB + HOST_HIGH - 2 * MIB))
    room = 2 * MIB - PAGE_SIZE + 2 * MIB
    live: dict[GraphicsBuffer, int] = {}
    refused = 0
    for stamp in range(1, 3000):
        if live and rng.random() < 0.45:
            buffer = rng.choice(list(live))
            assert buffer.dwords[0] == buffer.dwords[-1] == live.pop(buffer)
            buffer.release()
            continue
        size = rng.choice((1, PAGE_SIZE, 5 * PAGE_SIZE, 64 * PAGE_SIZE))
        try:
            buffer = graphics.allocate(size, rng.choice((0, 1, 2)))
        except ResourceExhausted as error:
            refused += 1
            assert error.left < error.wanted
            continue
        assert not any(buffer.dwords)
        buffer.dwords[0] = buffer.dwords[-1] = stamp
        live[buffer] = stamp
        gpu.engines[Engine.RCS0].ggtt.refresh()  # as an engine does before each slice
        assert graphics.pages * PAGE_SIZE == sum(other.size for other in live) <= room
        for other, mark in live.items():
            assert gpu.engines[Engine.RCS0].ggtt.read32(other.address) == mark
    assert refused > 20
    for buffer in live:
        buffer.release()
    assert graphics.pages == 0
    assert graphics.allocate(2 * MIB - PAGE_SIZE, 0).address == PAGE_SIZE, "all holes have joined"


# ---- slices that a test places in the host's part ----


def test_a_slice_in_the_hosts_part_is_kept_out_of_until_it_is_let_in_again() -> None:
    bench = Bench()
    memory = bench.hardware.memory
    slices = range(0, 64 * MIB), range(APERTURE, APERTURE + 384 * MIB)
    for placed in slices:
        memory.keep_out(placed)
    rest = memory.allocate(64 * MIB - 4 * PAGE_SIZE, 0)
    assert rest.address == 64 * MIB, "four status pages stand at the end"
    with pytest.raises(ResourceExhausted):
        memory.allocate(1, 0)
    for placed in slices:
        memory.let_in(placed)
    assert memory.allocate(384 * MIB, 0).address == APERTURE


def test_a_slice_over_the_hosts_own_buffers_is_refused_whole() -> None:
    bench = Bench()
    memory = bench.hardware.memory
    with pytest.raises(ResourceExhausted, match=r"not enough graphics memory: 32767 pages wanted, 0 pages left \(at \[0x0, 0x10000000\)"):
        memory.keep_out(range(0, APERTURE))
    buffer = memory.allocate(HOST_HIGH, 0)
    with pytest.raises(ResourceExhausted):
        memory.keep_out(range(64 * MIB, APERTURE + PAGE_SIZE))
    buffer.release()
    memory.keep_out(range(64 * MIB, 100 * MIB))
    memory.let_in(range(64 * MIB, 100 * MIB))
    memory.keep_out(range(APERTURE - PAGE_SIZE, APERTURE + PAGE_SIZE))
    assert memory.allocate(HOST_HIGH - PAGE_SIZE, 0).address == APERTURE + PAGE_SIZE
