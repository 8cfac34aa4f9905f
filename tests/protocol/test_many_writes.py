"""Writes that come by the hundred, held against the same writes one by one: a guest that draws its text console."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from host_model.device.mmio.window import GTT_OFFSET
from host_model.host import Host, PluggedVgpu
from host_model.vfio.user.regions import DeviceRegions
from pvinfo.registers.fence import FENCE_BASE
from pvinfo.trace import Op, read_trace
from pvinfo.units import MIB, PAGE_SIZE, GuestAddress
from pvinfo.vfio_user import HEADER, WRITE_MULTI_ENTRY, Command, RegionIndex
from pvinfo.vfio_user.access import WriteMultiEntry as Entry
from support.vfio_wire import NO_REPLY, region_write

RAM = 4 * MIB
PAGES = 4
Write = tuple[int, int, bytes]


def plugged() -> PluggedVgpu:
    return Host("skl", aperture_size=256 * MIB).plug(ram_size=RAM)


def some_writes(rng: random.Random, low: int) -> list[Write]:
    """Runs of words in a few pages, and now and then whatever changes where they go."""
    writes: list[Write] = []
    while len(writes) < 400:
        kind = rng.randrange(12)
        if kind == 0:
            entry = 0x10_0000 + PAGE_SIZE * rng.randrange(8) | 1
            writes.append((RegionIndex.BAR0, GTT_OFFSET + 8 * ((low >> 12) + rng.randrange(PAGES)), entry.to_bytes(8, "little")))
        elif kind == 1:
            fence = (low + PAGE_SIZE) << 32 | 7 << 32 | low | 1 if rng.randrange(2) else 0
            writes.append((RegionIndex.BAR0, FENCE_BASE, fence.to_bytes(8, "little")))
        elif kind == 2:
            size = rng.choice((1, 2, 3, 4, 8))
            writes.append((RegionIndex.BAR2, low + rng.randrange(PAGES * PAGE_SIZE), rng.randbytes(size)))
        else:
            size = rng.choice((4, 8))
            at = low + rng.randrange(PAGES * PAGE_SIZE // size) * size
            writes += [(RegionIndex.BAR2, at + index * size, rng.randbytes(size)) for index in range(rng.randrange(1, 40))]
    return writes


def seen(gpu: PluggedVgpu) -> tuple[bytes, int, int, list[str]]:
    vgpu = gpu.vgpu
    return gpu.machine.memory.read(GuestAddress(0), RAM), vgpu.aperture.writes, vgpu.ggtt.entry_writes, [finding.rule for finding in vgpu.findings]


def entry(write: Write) -> bytes:
    region, offset, data = write
    return WRITE_MULTI_ENTRY.pack(Entry(offset, region, len(data), data.ljust(8, b"\0")))


@pytest.mark.parametrize("seed", range(6))
def test_many_writes_do_what_each_of_them_does(seed: int) -> None:
    alone, posted, multi = plugged(), plugged(), plugged()
    writes = some_writes(random.Random(seed), alone.vgpu.resources.low.start)
    regions = DeviceRegions(alone.vgpu)
    for region, offset, data in writes:
        regions.write(region, offset, data)

    regions = DeviceRegions(posted.vgpu)
    stream, at = b"".join(region_write(region, offset, data, flags=NO_REPLY) for region, offset, data in writes), 0
    while at < len(stream):
        at = regions.store_posted(stream, at)
        if at < len(stream):  # one of another kind
            size = HEADER.unpack_from(stream[at : at + HEADER.size]).size
            assert HEADER.unpack_from(stream[at : at + HEADER.size]).command == Command.REGION_WRITE
            regions.write(int.from_bytes(stream[at + 24 : at + 28], "little"), int.from_bytes(stream[at + 16 : at + 24], "little"), stream[at + 32 : at + size])
            at += size

    done, error = DeviceRegions(multi.vgpu).write_multi(b"".join(map(entry, writes)))
    assert (done, error) == (len(writes), None)
    assert seen(posted) == seen(multi) == seen(alone)


def test_a_traced_guest_is_traced_word_by_word(tmp_path: Path) -> None:
    gpu = plugged()
    low, vgpu = gpu.vgpu.resources.low.start, gpu.vgpu
    vgpu.mmio.write(GTT_OFFSET + 8 * (low >> 12), 8, 0x1001)
    words: list[Write] = [(RegionIndex.BAR2, low + 4 * index, index.to_bytes(4, "little")) for index in range(20)]
    vgpu.trace_to(tmp_path / "trace.tsv")
    assert DeviceRegions(vgpu).write_multi(b"".join(map(entry, words))) == (20, None)
    vgpu.end_trace()
    traced = [(row.offset, row.value) for row in read_trace(tmp_path / "trace.tsv") if row.op is Op.APERTURE_WRITE]
    assert traced == [(low + 4 * index, index) for index in range(20)]
