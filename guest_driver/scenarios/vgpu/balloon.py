"""Ballooning: the driver keeps away from everything that belongs to others, wherever its slices lie."""

from __future__ import annotations

from pvinfo.page import GraphicsRange
from pvinfo.units import GIB, MIB, PAGE_SIZE

from ...driver import GuestDriver
from ..access import AccessKind
from ..catalogue import scenario
from ..needs import Needs, Slice
from ..outcome import Offer
from ..stage import Stage
from .acts import check_no_ballooned_entry, probed

Balloons = list[tuple[int, int, int]]
"""Slot, first address, end; in the order in which they are blown up."""


def expected_balloons(offer: Offer) -> Balloons:
    """What the algorithm of the real driver reserves for this offer.

    Source: linux:drivers/gpu/drm/i915/i915_vgpu.c (intel_vgt_balloon)
    """
    low, high = offer.mappable, offer.nonmappable
    candidates = [
        (2, offer.aperture_size, high.base),
        (3, high.base + high.size, offer.ggtt_size),
        (0, 0, low.base),
        (1, low.base + low.size, offer.aperture_size),
    ]
    return [(slot, start, end) for slot, start, end in candidates if start < end]


def _balloons(driver: GuestDriver) -> Balloons:
    return [(int(slot), node.start, node.end) for slot, node in driver.balloon.slots.items()]


def _ballooned(stage: Stage, *, slots: list[int] | None = None, noticed: tuple[str, ...] = ()) -> GuestDriver:
    """The driver probes and reserves exactly what is not its own.

    Where it is only told of such slices, as of those in the host's own part, which no vGPU has, its host has noticed by the end
    that it writes entries that are not its own, and ``noticed``.
    """
    guest = stage.guest
    stage.step("the driver probes")
    driver = probed(stage)
    expected = expected_balloons(guest.offer)
    stage.check("balloons by slot, in the order of the real driver", _balloons(driver), expected)
    if slots is not None:
        stage.check("slots used", [slot for slot, _, _ in _balloons(driver)], slots)
    owned = guest.offer.mappable.size + guest.offer.nonmappable.size
    stage.check("bytes kept from the allocator", driver.balloon.reserved, guest.offer.ggtt_size - owned)

    stage.step("what the driver allocates is its own")
    balloons = list(driver.balloon.slots.values())
    strays = [
        repr(node) for node in driver.ggtt.space.nodes
        if node not in balloons and not (guest.offer.owns_page(node.start // PAGE_SIZE) and guest.offer.owns_page(node.end // PAGE_SIZE - 1))
    ]  # fmt: skip
    stage.check("allocations outside the slices", strays, [])
    check_no_ballooned_entry(stage, guest)
    first = [access.offset // 8 * PAGE_SIZE for access in guest.accesses_of(AccessKind.GGTT_WRITE)][:2]
    lowest = guest.offer.mappable.base
    stage.check("the first table entries written, for error capture", first, [lowest, lowest + PAGE_SIZE])

    if not guest.has_slices:
        stage.step("the host gave something else, and holds its guest to that")
        for rule in ("ggtt-outside-slice", *noticed):
            stage.expect_finding(rule)
        return driver
    stage.step("the host gave exactly that")
    low, high = guest.offer.mappable, guest.offer.nonmappable
    stage.host_view(
        "the vGPU's slices",
        lambda vgpu: [GraphicsRange(part.start, len(part)) for part in (vgpu.resources.low, vgpu.resources.high)],
        [low, high],
    )
    stage.host_view("writes of entries outside them", lambda vgpu: len(vgpu.findings.of_rule("ggtt-outside-slice")), 0)
    return driver


@scenario(needs=Needs(type_suffix="8"))
def balloon_type_8(stage: Stage) -> None:
    """An eighth of the GPU: 64 MiB of aperture and 384 MiB above it."""
    stage.step("the offer")
    stage.check("slice sizes", (stage.guest.offer.mappable.size, stage.guest.offer.nonmappable.size), (64 * MIB, 384 * MIB))
    _ballooned(stage)


@scenario(needs=Needs(type_suffix="4"))
def balloon_type_4(stage: Stage) -> None:
    """A quarter of the GPU: 128 MiB of aperture and 512 MiB above it."""
    stage.step("the offer")
    stage.check("slice sizes", (stage.guest.offer.mappable.size, stage.guest.offer.nonmappable.size), (128 * MIB, 512 * MIB))
    _ballooned(stage)


@scenario(needs=Needs(type_suffix="2"))
def balloon_type_2(stage: Stage) -> None:
    """Half of the GPU: 256 MiB of aperture and 1 GiB above it."""
    stage.step("the offer")
    stage.check("slice sizes", (stage.guest.offer.mappable.size, stage.guest.offer.nonmappable.size), (256 * MIB, GIB))
    _ballooned(stage)


@scenario(needs=Needs(type_suffix="1"))
def balloon_type_1(stage: Stage) -> None:
    """All that the host does not keep for itself: 512 MiB of aperture and 2 GiB above it."""
    stage.step("the offer")
    stage.check("slice sizes", (stage.guest.offer.mappable.size, stage.guest.offer.nonmappable.size), (512 * MIB, 2 * GIB))
    _ballooned(stage)


@scenario(needs=Needs(type_suffix="8", mappable=Slice(before=0), nonmappable=Slice(before=0)))
def balloon_at_the_bottom(stage: Stage) -> None:
    """Slices at the very beginning of both parts leave nothing below to balloon: slots 3 and 1 alone are used."""
    _ballooned(stage, slots=[3, 1], noticed=("status-page-outside-slice", "context-unreachable"))
    stage.check("address 0 is the guest's own", stage.guest.offer.mappable.base, 0)


@scenario(needs=Needs(mappable=Slice(after=0), nonmappable=Slice(after=0)))
def balloon_at_the_top(stage: Stage) -> None:
    """Slices at the very end of both parts, the last page of the table among them: slots 2 and 0 alone are used."""
    _ballooned(stage, slots=[2, 0])


@scenario(needs=Needs(mappable=Slice(before=128 * MIB), nonmappable=Slice(before=GIB)))
def balloon_in_the_middle(stage: Stage) -> None:
    """Slices with neighbours below; what is above the mappable one depends on its type."""
    driver = _ballooned(stage)
    stage.check("slots used below", {0, 2} <= {int(slot) for slot in driver.balloon.slots}, True)


@scenario(needs=Needs(mappable=Slice(before=0, after=0), nonmappable=Slice(before=0, after=0)))
def balloon_nothing(stage: Stage) -> None:
    """A vGPU that owns all of graphics memory has nothing to balloon."""
    driver = _ballooned(stage, slots=[])
    stage.check("bytes kept from the allocator", driver.balloon.reserved, 0)


@scenario(
    needs=Needs(
        mappable=Slice(before=PAGE_SIZE, after=PAGE_SIZE), nonmappable=Slice(before=PAGE_SIZE, after=PAGE_SIZE)
    )
)
def balloon_single_pages(stage: Stage) -> None:
    """One foreign page on each side of each slice: four balloons of 4 KiB, and no entry of theirs is touched."""
    driver = _ballooned(stage, slots=[2, 3, 0, 1])
    stage.check("size of each balloon", {node.size for node in driver.balloon.slots.values()}, {PAGE_SIZE})


@scenario(needs=Needs(mappable=Slice(before=PAGE_SIZE), nonmappable=Slice(after=PAGE_SIZE)))
def balloon_first_and_last_page(stage: Stage) -> None:
    """Only the first page of graphics memory and the last belong to others beside the slices."""
    guest = stage.guest
    driver = _ballooned(stage)
    balloons = _balloons(driver)
    stage.check("the balloon over the first page", (0, 0, PAGE_SIZE) in balloons, True)
    stage.check("the balloon over the last page", (3, guest.offer.ggtt_size - PAGE_SIZE, guest.offer.ggtt_size) in balloons, True)
