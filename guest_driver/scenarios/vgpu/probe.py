"""Detection and negotiation: how driver and host find out about each other."""

from __future__ import annotations

from pvinfo.errors import NotVirtualized
from pvinfo.notify import Notification
from pvinfo.page import Capability
from pvinfo.registers.tracked import MMIO_SIZE

from ...state import DriverState
from ..access import AccessKind
from ..catalogue import scenario
from ..needs import EVERY_CAPABILITY, Announced, Needs
from ..stage import Stage
from .acts import check_no_ballooned_entry, failsafe_reason, field_path, page_story, probed

_DETECTION = [("magic", 64), ("version_major", 16), ("vgt_caps", 32)]
_RESOURCES = [
    ("avail_rs.fence_num", 32),
    ("avail_rs.mappable_gmadr.base", 32),
    ("avail_rs.mappable_gmadr.size", 32),
    ("avail_rs.nonmappable_gmadr.base", 32),
    ("avail_rs.nonmappable_gmadr.size", 32),
]


@scenario()
def probe(stage: Stage) -> None:
    """The driver finds the page, accepts the offer, keeps to its share and tells the host that its display is ready."""
    guest = stage.guest
    stage.step("the host has not heard of the guest yet")
    stage.host_view("the host knows that its guest reads the page", lambda vgpu: vgpu.pv.guest_is_aware, False)

    stage.step("the driver probes")
    driver = probed(stage)
    stage.check("its view of the capabilities", driver.interface.capabilities, guest.offer.capabilities)
    stage.check("its share of the aperture", driver.resources.mappable, guest.offer.mappable)
    stage.check("its share above the aperture", driver.resources.nonmappable, guest.offer.nonmappable)
    stage.check("its fences", driver.resources.fences, guest.offer.fence_num)
    complaints = [line.text for line in driver.log.complaints() if line.rule != "gt-wedged"]
    stage.check("what it complains of, other than of engines that execute nothing", complaints, [])

    stage.step("the page was read in the real driver's order and widths")
    stage.check("reads of the page", page_story(guest, AccessKind.REGISTER_READ), _DETECTION + _RESOURCES)
    first = next(guest.accesses_of(AccessKind.REGISTER_READ))
    stage.check("the first register read", field_path(first), "magic")

    stage.step("address spaces were announced with their root first")
    story = [(field_path(access), access.value) for access in guest.page_accesses() if access.kind is AccessKind.REGISTER_WRITE]
    notified = [index for index, (path, _) in enumerate(story) if path == "g2v_notify"]
    before = {tuple(path for path, _ in story[index - 2 : index]) for index in notified}
    stage.check("what is written just before each notification", before, {("pdp.0.lo", "pdp.0.hi")})
    created = sum(story[index][1] == Notification.PPGTT_L4_PAGE_TABLE_CREATE for index in notified)
    stage.check("display_ready was written", [value for path, value in story if path == "display_ready"], [1])
    stage.host_view(
        "address spaces created", lambda vgpu: vgpu.pv.notifications[Notification.PPGTT_L4_PAGE_TABLE_CREATE], created
    )

    stage.step("nothing was touched that is not there or not its own")
    strays = [hex(access.offset) for access in guest.accesses_of(AccessKind.REGISTER_READ, AccessKind.REGISTER_WRITE) if access.offset >= MMIO_SIZE]
    stage.check("register accesses above 2 MiB", strays, [])
    check_no_ballooned_entry(stage, guest)

    stage.step("the host knows its guest now")
    stage.host_view("the host knows that its guest reads the page", lambda vgpu: vgpu.pv.guest_is_aware, True)
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True)
    stage.host_view("why it distrusts the guest", failsafe_reason, None)
    entries = sum(1 for _ in guest.accesses_of(AccessKind.GGTT_WRITE))
    stage.host_view("table entries it was given", lambda vgpu: vgpu.ggtt.entry_writes, entries)


@scenario(needs=Needs(announced=Announced(magic=0)))
def native_fallback(stage: Stage) -> None:
    """Without the magic number there is no host: the driver takes the GPU for bare metal and touches nothing more."""
    guest = stage.guest
    stage.step("a driver that is for vGPUs only probes")
    driver = guest.driver(vgpu_required=True)
    stage.check_raises("the probe ends with", NotVirtualized, driver.probe)
    stage.check("the driver is", driver.state, DriverState.NATIVE)
    stage.check("accesses of the page", page_story(guest, AccessKind.REGISTER_READ), [("magic", 64)])
    stage.check("writes of registers", [hex(access.offset) for access in guest.accesses_of(AccessKind.REGISTER_WRITE)], [])
    stage.check("table entries written", guest.ggtt_pages_written(), [])
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, False)

    stage.step("the driver is unloaded")
    driver.unload()
    stage.check("the driver is", driver.state, DriverState.UNBOUND)


@scenario(needs=Needs(announced=Announced(version_major=7)))
def newer_version(stage: Stage) -> None:
    """Any major version from 1 on is accepted: a newer host serves an older guest."""
    stage.step("the driver probes")
    driver = probed(stage)
    stage.check("the version it met", driver.interface.version_major, 7)
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True)


@scenario(needs=Needs(announced=Announced(capabilities=Capability(0xFFFF_FFFF))))
def unknown_capabilities(stage: Stage) -> None:
    """Capabilities that the driver has never heard of do not disturb it."""
    stage.step("the driver probes")
    driver = probed(stage)
    stage.check("the capabilities it kept", int(driver.interface.capabilities), 0xFFFF_FFFF)
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True)


@scenario(needs=Needs(announced=Announced(capabilities=EVERY_CAPABILITY & ~Capability.HUGE_GTT)))
def small_pages_only(stage: Stage) -> None:
    """A host without large table entries is good enough: the driver then uses 4 KiB pages alone."""
    stage.step("the driver probes")
    driver = probed(stage)
    stage.check("it uses 64 KiB pages", driver.gt.large_pages, False)
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True)
