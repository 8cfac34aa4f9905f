"""The aperture: the processor's window onto graphics memory, and the table behind it."""

from __future__ import annotations

from pvinfo.gtt_entry import GGTT_OFFSET, GgttEntry
from pvinfo.units import PAGE_SIZE, BusAddress, GraphicsAddress

from ..catalogue import scenario
from ..stage import Stage
from .acts import pinned_pages, probed


@scenario(varies="the places in the pages")
def aperture_reaches_memory(stage: Stage) -> None:
    """What the processor writes through the aperture lands in the page that the table's entry names, and the other way round."""
    guest = stage.guest
    stage.step("the driver binds two pages that do not adjoin in memory")
    driver = probed(stage)
    pages = [driver.create_buffer(1, f"page {number}") for number in range(3)]
    bindings = [driver.ggtt.bind(pages[number], mappable=True) for number in (2, 0)]
    pattern = [stage.random.getrandbits(32) for _ in range(4)]
    dwords, odd = 16 * stage.random.randrange(0x80), 2 * stage.random.randrange(0x7FF) + 1

    stage.step("writes through the aperture")
    for number, value in enumerate(pattern):
        guest.aperture.write32(bindings[0].address + dwords + 4 * number, value)
    guest.aperture.write(bindings[1].address + odd, 2, 0xBEEF)
    # Reading back through the same window makes sure that the writes have arrived.
    stage.check("the aperture reads", [guest.aperture.read32(bindings[0].address + dwords + 4 * number) for number in range(4)], pattern)
    stage.check("bytes in memory", pages[2].read(dwords, 16), b"".join(value.to_bytes(4, "little") for value in pattern))
    stage.check("a word at an odd address", (guest.aperture.read(bindings[1].address + odd, 2), pages[0].read(odd, 2)), (0xBEEF, b"\xef\xbe"))
    stage.check("the page between", pages[1].read(0, PAGE_SIZE), bytes(PAGE_SIZE))

    stage.step("memory is read through the aperture")
    pages[2].write(0x800, b"vGPU")
    stage.check("the aperture reads", guest.aperture.read32(bindings[0].address + 0x800), int.from_bytes(b"vGPU", "little"))
    stage.host_view(
        "the graphics address leads to the guest's page",
        lambda vgpu: vgpu.ggtt.translate(GraphicsAddress(bindings[0].address)), pages[2].address,
    )  # fmt: skip


@scenario()
def table_entries_read_back(stage: Stage) -> None:
    """An entry reads back as the guest wrote it, never with a host address; written by halves it works once both are there."""
    guest = stage.guest
    base = guest.offer.mappable.base
    entry = int(GgttEntry.pointing_to(BusAddress(0x20_0000)))
    place = GGTT_OFFSET + base // PAGE_SIZE * 8

    stage.step("an entry is written whole")
    guest.mmio.write(place, 8, entry)
    stage.check("it reads", guest.mmio.read(place, 8), entry)
    stage.host_view("the guest's own entry", lambda vgpu: vgpu.ggtt.entry(base // PAGE_SIZE), entry)
    stage.host_view(
        "the hardware's entry holds the guest's address", lambda vgpu: vgpu.gpu.ggtt.entries[base // PAGE_SIZE] == entry, False
    )

    stage.step("another by halves")
    place, page = place + 8, base // PAGE_SIZE + 1
    guest.mmio.write32(place, entry & 0xFFFF_FFFF)
    stage.host_view("guest pages pinned for the GPU", pinned_pages, 1)
    guest.mmio.write32(place + 4, entry >> 32)
    stage.check("it reads", guest.mmio.read(place, 8), entry)
    stage.host_view("the guest's own entry", lambda vgpu: vgpu.ggtt.entry(page), entry)

    stage.step("an entry that points at no memory")
    guest.mmio.write(place + 8, 8, int(GgttEntry.pointing_to(BusAddress(0x7F_FFFF_F000))))
    stage.check("it reads as written", guest.mmio.read(place + 8, 8), 0x7F_FFFF_F001)
    stage.expect_finding("ggtt-not-memory")
    stage.host_view("the GPU is shown a scratch page", lambda vgpu: vgpu.gpu.ggtt.entries[page + 1] & ~0xFFF == vgpu.scratch_page, True)


@scenario()
def table_outside_slices(stage: Stage) -> None:
    """Entries outside the slices read 0 and keep nothing, at both edges of each slice and at both ends of the table."""
    guest = stage.guest
    offer = guest.offer
    edges = {0, offer.ggtt_size - PAGE_SIZE}
    for part in (offer.mappable, offer.nonmappable):
        edges |= {part.base - PAGE_SIZE, part.base + part.size}
    foreign = sorted(edge for edge in edges if 0 <= edge < offer.ggtt_size and not offer.owns_page(edge // PAGE_SIZE))
    entry = int(GgttEntry.pointing_to(BusAddress(0x20_0000)))
    for address in foreign:
        stage.step(f"the entry of {address:#x} is written")
        place = GGTT_OFFSET + address // PAGE_SIZE * 8
        guest.mmio.write(place, 8, entry)
        stage.check("it reads", guest.mmio.read(place, 8), 0)
    stage.expect_finding("ggtt-outside-slice", times=len(foreign))
    stage.host_view("guest pages pinned for the GPU", pinned_pages, 0)
