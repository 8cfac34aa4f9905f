"""Partitioning of graphics memory and fences among vGPUs."""

from __future__ import annotations

import random
import re
from itertools import combinations

import pytest

from host_model.mediator.resources import FreeResources, ResourcePool, VgpuResources
from host_model.mediator.types import VgpuType, types_for
from pvinfo.errors import ResourceExhausted, UsageError
from pvinfo.platform import PLATFORMS
from pvinfo.units import GIB, MIB

V8, V4, V2, V1 = types_for(PLATFORMS["skl"], GIB)


def pool(aperture_mib: int = 512, ggtt_mib: int = 4096) -> ResourcePool:
    return ResourcePool(aperture_mib * MIB, ggtt_mib * MIB)


def sized(low_mib: int, high_mib: int, fences: int = 4) -> VgpuType:
    return V8._replace(low_size=low_mib * MIB, high_size=high_mib * MIB, fences=fences)


def overlap(one: range, other: range) -> bool:
    return one.start < other.stop and other.start < one.stop


def test_a_fresh_pool_has_all_but_the_hosts_own_share() -> None:
    assert pool(512).free == FreeResources((512 - 128) * MIB, (4096 - 512 - 384) * MIB, 28)


def test_the_host_keeps_the_bottom_of_both_parts_and_the_first_fences() -> None:
    first = pool(512).take(V8)
    assert first == VgpuResources(
        range(128 * MIB, 192 * MIB), range(4096 * MIB - 384 * MIB, 4096 * MIB), (4, 5, 6, 7)
    )


def test_the_aperture_is_handed_out_from_below_and_the_rest_from_the_top() -> None:
    shared = pool(512)
    first, second = shared.take(V8), shared.take(V4)
    assert second.low == range(first.low.stop, first.low.stop + 128 * MIB)
    assert second.high == range(first.high.start - 512 * MIB, first.high.start)
    assert second.fences == (8, 9, 10, 11)
    assert shared.free == FreeResources((384 - 64 - 128) * MIB, (3200 - 384 - 512) * MIB, 20)


def test_the_first_resource_to_run_out_is_named_with_what_was_wanted_and_is_left() -> None:
    shared = pool(256)
    shared.take(V8)
    with pytest.raises(ResourceExhausted) as refused:
        shared.take(V4)
    error = refused.value
    assert (error.resource, error.wanted, error.left, error.unit) == ("low graphics memory (aperture)", 128, 64, "MiB")
    assert str(error) == (
        "not enough low graphics memory (aperture): 128 MiB wanted, 64 MiB left (of 256 MiB; the host has 128, another vGPU has 64)"
    )


def test_high_graphics_memory_can_be_what_runs_out() -> None:
    shared = pool(2048)
    with pytest.raises(
        ResourceExhausted,
        match=re.escape("not enough high graphics memory: 2048 MiB wanted, 1664 MiB left (of 2 GiB; the host has 384)"),
    ):
        shared.take(V1)
    assert shared.free == pool(2048).free


def test_seven_vgpus_use_up_the_fences() -> None:
    shared = pool(1024)
    taken = [shared.take(V8) for _ in range(7)]
    assert sorted(fence for share in taken for fence in share.fences) == list(range(4, 32))
    assert shared.free.low == 448 * MIB
    with pytest.raises(ResourceExhausted, match=re.escape("not enough fences: 4 registers wanted, 0 registers left (of 32; another vGPU has 28, the host has 4)")):
        shared.take(V8)


def test_a_refused_vgpu_leaves_nothing_taken() -> None:
    shared = pool(512)
    before = shared.free
    for impossible in (sized(512, 64), sized(64, 4096), sized(64, 64, fences=29)):
        with pytest.raises(ResourceExhausted):
            shared.take(impossible)
        assert shared.free == before


def test_what_is_given_back_is_handed_out_again() -> None:
    shared = pool(512)
    first, second = shared.take(V8), shared.take(V8)
    shared.give_back(first)
    assert shared.take(V8) == first
    shared.give_back(second)
    assert shared.free.fences == 24


def test_memory_in_pieces_too_small_says_how_long_the_longest_is() -> None:
    shared = pool(512)
    shares = [shared.take(sized(64, 64)) for _ in range(6)]
    for share in shares[::2]:
        shared.give_back(share)
    assert shared.instances(V4) == 1, "the kernel counts bytes, not pieces"
    with pytest.raises(
        ResourceExhausted, match=re.escape("not enough low graphics memory (aperture): 128 MiB wanted, 64 MiB left (in one piece; 192 MiB in all; another vGPU has 192, the host has 128)")
    ):
        shared.take(V4)


def test_a_size_is_rounded_up_to_whole_pages() -> None:
    share = pool().take(V8._replace(low_size=4097, high_size=1))
    assert (len(share.low), len(share.high)) == (8192, 4096)


def test_slices_are_placed_where_they_are_wanted() -> None:
    share = pool(512).take(V8, low_at=192 * MIB, high_at=1024 * MIB)
    assert (share.low, share.high) == (range(192 * MIB, 256 * MIB), range(1024 * MIB, 1408 * MIB))


@pytest.mark.parametrize(
    ("low_at", "high_at", "text"),
    [
        (0, None, "low graphics memory (aperture) at 0x0: what lies below 0x8000000 (128 MiB) is the host's own"),
        (128 * MIB - 4096, None, "low graphics memory (aperture) at 0x7fff000: what lies below 0x8000000 (128 MiB) is the host's own"),
        (None, 512 * MIB, "high graphics memory at 0x20000000: what lies below 0x38000000 (384 MiB) is the host's own"),
    ],
)
def test_no_slice_is_placed_in_the_hosts_part_where_the_host_has_what_runs(low_at: int | None, high_at: int | None, text: str) -> None:
    shared = pool(512)
    before = shared.free
    with pytest.raises(UsageError, match=re.escape(text)):
        shared.take(V8, low_at=low_at, high_at=high_at)
    assert shared.free == before


def test_high_memory_is_never_handed_out_of_the_hosts_part() -> None:
    shared = pool(512, 512 + 384 + 384)
    assert shared.take(sized(64, 384)).high == range(896 * MIB, 1280 * MIB)
    with pytest.raises(ResourceExhausted, match="64 MiB wanted, 0 MiB left"):
        shared.take(sized(64, 64))


@pytest.mark.parametrize(
    ("low_at", "high_at", "text"),
    [
        (0x1234, None, "low graphics memory (aperture) at 0x1234: a slice starts on a 4096-byte page"),
        (480 * MIB, None, "low graphics memory (aperture) [0x1e000000, 0x22000000) (64 MiB) leaves [0x0, 0x20000000) (512 MiB)"),
        (-64 * MIB, None, "leaves [0x0, 0x20000000) (512 MiB)"),
        (None, 128 * MIB, "high graphics memory [0x8000000, 0x20000000) (384 MiB) leaves [0x20000000, 0x100000000) (3584 MiB)"),
    ],
)
def test_a_placement_outside_the_gpus_memory_is_refused(low_at: int | None, high_at: int | None, text: str) -> None:
    shared = pool(512)
    before = shared.free
    with pytest.raises(UsageError, match=re.escape(text)):
        shared.take(V8, low_at=low_at, high_at=high_at)
    assert shared.free == before


def test_a_placement_on_top_of_another_slice_names_that_slice() -> None:
    shared = pool(512)
    shared.take(V8, low_at=128 * MIB)
    with pytest.raises(ResourceExhausted, match=re.escape("at 0x9000000; [0x8000000, 0xc000000) (64 MiB) is taken")):
        shared.take(V8, low_at=144 * MIB)


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_taken_and_given_back_no_two_vgpus_share_anything(seed: int) -> None:
    rng = random.Random(seed)
    shared = pool(1024)
    fresh = shared.free
    held: list[VgpuResources] = []
    for _ in range(60):
        if held and rng.random() < 0.4:
            shared.give_back(held.pop(rng.randrange(len(held))))
            continue
        offer = rng.choice((V8, V4, V2, sized(rng.randrange(1, 96), rng.randrange(1, 512))))
        fits = shared.instances(offer)
        try:
            share = shared.take(offer)
        except ResourceExhausted as refused:
            assert fits == 0 or "in one piece" in str(refused)
            continue
        assert fits > 0
        held.append(share)
        assert share.low.start >= 128 * MIB
        assert share.high.start >= (1024 + 384) * MIB
        for one, other in combinations(held, 2):
            assert not overlap(one.low, other.low)
            assert not overlap(one.high, other.high)
            assert not set(one.fences) & set(other.fences)
    for share in held:
        shared.give_back(share)
    assert shared.free == fresh
