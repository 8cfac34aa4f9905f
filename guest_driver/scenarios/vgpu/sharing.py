"""Two vGPUs of one GPU: what each may touch, and what it cannot."""

from __future__ import annotations

from pvinfo.gtt_entry import GGTT_OFFSET, GgttEntry
from pvinfo.page import GraphicsRange, PvInfo
from pvinfo.registers import FenceTiling
from pvinfo.units import PAGE_SIZE, BusAddress

from ..catalogue import scenario
from ..needs import Needs
from ..outcome import Offer
from ..stage import Stage
from .acts import (
    RESERVED_WORD,
    check_no_ballooned_entry,
    failsafe_reason,
    fence_value,
    hardware_fence,
    hardware_fences_in_use,
    is_distrusted,
    pinned_pages,
    probed,
    render_ring,
)

_TWO = Needs(vgpus=2)


def _slices(offer: Offer) -> tuple[GraphicsRange, GraphicsRange]:
    return offer.mappable, offer.nonmappable


def _overlap(one: GraphicsRange, other: GraphicsRange) -> int:
    """Bytes that two slices have in common."""
    return max(0, min(one.base + one.size, other.base + other.size) - max(one.base, other.base))


@scenario(needs=_TWO)
def second_vgpu_probe(stage: Stage) -> None:
    """Two drivers on one GPU get slices that do not overlap, and each balloons the other's out."""
    one, other = stage.guests
    stage.step("the offers")
    common = sum(_overlap(mine, foreign) for mine in _slices(one.offer) for foreign in _slices(other.offer))
    stage.check("bytes that both are offered", common, 0)
    stage.check("both have the same number", one.offer.vgt_id == other.offer.vgt_id, False)

    stage.step("both drivers probe, one after the other")
    drivers = [probed(stage, guest) for guest in stage.guests]
    for guest, driver, foreign in ((one, drivers[0], other), (other, drivers[1], one)):
        covered = sum(
            _overlap(GraphicsRange(balloon.start, balloon.size), part)
            for balloon in driver.balloon.slots.values() for part in _slices(foreign.offer)
        )  # fmt: skip
        stage.check(f"bytes of {foreign.name}'s slices under balloons of {guest.name}", covered, sum(part.size for part in _slices(foreign.offer)))
        check_no_ballooned_entry(stage, guest)
    stage.host_view("the first guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True)
    stage.host_view("the second guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True, guest=1)


@scenario(needs=_TWO, varies="the pages")
def second_vgpu_table(stage: Stage) -> None:
    """A guest that writes entries of the other's slices changes nothing there and reads back 0."""
    one, other = stage.guests
    stage.step("the second guest maps pages of its own")
    theirs = int(GgttEntry.pointing_to(BusAddress(0x30_0000)))
    ours = int(GgttEntry.pointing_to(BusAddress(0x40_0000)))
    addresses = [
        part.base + PAGE_SIZE * stage.random.randrange(part.size // PAGE_SIZE) for part in _slices(other.offer) for _ in range(3)
    ]
    for address in addresses:
        other.mmio.write(GGTT_OFFSET + address // PAGE_SIZE * 8, 8, theirs)
    stage.check("it reads them back", {other.mmio.read(GGTT_OFFSET + address // PAGE_SIZE * 8, 8) for address in addresses}, {theirs})
    stage.host_view("pages pinned for the second guest", pinned_pages, 1, guest=1)

    stage.step("the first guest writes the same entries")
    for address in addresses:
        one.mmio.write(GGTT_OFFSET + address // PAGE_SIZE * 8, 8, ours)
    stage.check("the first guest reads", {one.mmio.read(GGTT_OFFSET + address // PAGE_SIZE * 8, 8) for address in addresses}, {0})
    stage.check("the second guest reads", {other.mmio.read(GGTT_OFFSET + address // PAGE_SIZE * 8, 8) for address in addresses}, {theirs})
    stage.expect_finding("ggtt-outside-slice")
    stage.host_view("pages pinned for the first guest", pinned_pages, 0)
    stage.host_view("pages pinned for the second guest", pinned_pages, 1, guest=1)


@scenario(needs=_TWO, varies="the place in the page, and what is written to it")
def second_vgpu_aperture(stage: Stage) -> None:
    """A guest reads all ones from the other's part of the aperture, and what it writes there is lost."""
    one, other = stage.guests
    stage.step("both drivers probe, and the second puts a page into its slice")
    probed(stage, one)
    driver = probed(stage, other)
    page = driver.create_buffer(1, "secret")
    binding = driver.ggtt.bind(page, mappable=True)
    secret, place = stage.random.getrandbits(32) & 0x7FFF_FFFF, 4 * stage.random.randrange(PAGE_SIZE // 4)
    address = binding.address + place
    other.aperture.write32(address, secret)
    stage.check("the second guest reads its own", other.aperture.read32(address), secret)

    stage.step("the first guest tries the same address")
    stage.check("it reads", one.aperture.read32(address), 0xFFFF_FFFF)
    one.aperture.write32(address, 0)
    stage.check("after its write it still reads", one.aperture.read32(address), 0xFFFF_FFFF)
    stage.check("the second guest's memory holds", int.from_bytes(page.read(place, 4), "little"), secret)
    stage.check("the second guest reads", other.aperture.read32(address), secret)
    stage.expect_finding("aperture-outside-slice", times=3)


@scenario(needs=_TWO)
def second_vgpu_fences(stage: Stage) -> None:
    """Fence 0 of one guest and fence 0 of the other are different fences."""
    one, other = stage.guests
    stage.step("both drivers probe and use a fence each")
    values = []
    for number, guest in enumerate(stage.guests):
        driver = probed(stage, guest)
        binding = driver.ggtt.bind(driver.create_buffer(4 * PAGE_SIZE, "surface"), mappable=True)
        fence = driver.fences.set_up(binding, FenceTiling(number), 512 << number)
        stage.check(f"the fence that {guest.name} took", fence.number, 0)
        values.append(fence.high << 32 | fence.low)
    stage.check("the first guest reads", fence_value(one, 0), values[0])
    stage.check("the second guest reads", fence_value(other, 0), values[1])
    for number, value in enumerate(values):
        stage.host_view("the hardware fence behind it", hardware_fence(0), value, guest=number)
    stage.host_view("hardware fences in use", hardware_fences_in_use, 2)


@scenario(needs=_TWO)
def second_vgpu_reset(stage: Stage) -> None:
    """One guest's device reset takes nothing from the other."""
    one, other = stage.guests
    stage.step("both drivers probe; the second uses a page, a fence and a register")
    probed(stage, one)
    driver = probed(stage, other)
    binding = driver.ggtt.bind(driver.create_buffer(4 * PAGE_SIZE, "surface"), mappable=True)
    fence = driver.fences.set_up(binding, FenceTiling.X, 512)
    value = fence.high << 32 | fence.low
    render_ring(other).start = 0x5000
    other.aperture.write32(binding.address, 0x1234_5678)
    entry = other.mmio.read(GGTT_OFFSET + binding.address // PAGE_SIZE * 8, 8)

    stage.step("the first guest's machine resets its device")
    one.machine.gpu.reset()
    stage.check("the first guest's page says that its display is ready", PvInfo(one.mmio).display_ready, 0)
    stage.check("the second guest's page says that its display is ready", PvInfo(other.mmio).display_ready, 1)
    stage.check("the second guest's fence", fence_value(other, fence.number), value)
    stage.check("the second guest's table entry", other.mmio.read(GGTT_OFFSET + binding.address // PAGE_SIZE * 8, 8), entry)
    stage.check("the second guest's ring start", int(render_ring(other).start), 0x5000)
    stage.check("the second guest's aperture", other.aperture.read32(binding.address), 0x1234_5678)
    stage.host_view("hardware fences in use", hardware_fences_in_use, 1)
    stage.host_view("pages pinned for the first guest", pinned_pages, 0)


@scenario(needs=_TWO)
def second_vgpu_failsafe(stage: Stage) -> None:
    """A guest that has lost its host's trust does not cost its neighbour a thing."""
    one, other = stage.guests
    stage.step("the first guest is distrusted")
    one.mmio.write32(RESERVED_WORD, 1)
    stage.check("the first guest's registers have become plain storage", is_distrusted(one), True)
    stage.expect_finding("failsafe")

    stage.step("the second driver probes")
    driver = probed(stage, other)
    stage.check("its share of the aperture", driver.resources.mappable, other.offer.mappable)
    stage.check("its registers have become plain storage", is_distrusted(other), False)
    stage.host_view("why the host distrusts the second guest", failsafe_reason, None, guest=1)
