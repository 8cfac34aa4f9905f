"""Hosts that a driver must refuse, and how it leaves them."""

from __future__ import annotations

from pvinfo.errors import HostRefused
from pvinfo.page import Capability
from pvinfo.registers import MasterInterrupt
from pvinfo.units import MIB, PAGE_SIZE

from ...refusal import Refusal
from ...state import DriverState
from ..access import AccessKind
from ..catalogue import scenario
from ..needs import EVERY_CAPABILITY, Announced, Needs, Slice
from ..stage import Stage
from .acts import failsafe_reason, page_story, pinned_pages


def _refused(stage: Stage, rule: Refusal, *, last_read: str | None, interrupts_seen: bool = False) -> None:
    """The driver refuses by ``rule``, having read the page up to ``last_read``, and leaves no trace."""
    guest = stage.guest
    stage.step("the driver probes")
    driver = guest.driver()
    refused = stage.check_raises("the probe ends with", HostRefused, driver.probe)
    stage.check("the rule it names", refused.rule, rule.value)
    stage.check("the driver is", driver.state, DriverState.REFUSED)
    read = [path for path, _ in page_story(guest, AccessKind.REGISTER_READ)]
    stage.check("the last field of the page it read", read[-1] if read else None, last_read)

    stage.step("nothing is left behind")
    stage.check("the page was written", page_story(guest, AccessKind.REGISTER_WRITE), [])
    stage.check("table entries written", guest.ggtt_pages_written(), [])
    if interrupts_seen:
        stage.check("the master interrupt register", int(MasterInterrupt(guest.mmio).control), 0)
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, False)
    stage.host_view("the guest wants message-signalled interrupts", lambda vgpu: vgpu.config.msi_enabled, False)
    stage.host_view("guest pages pinned for the GPU", pinned_pages, 0)
    stage.host_view("why it distrusts the guest", failsafe_reason, None)

    stage.step("the driver is unloaded")
    driver.unload()
    stage.check("the driver is", driver.state, DriverState.UNBOUND)


@scenario(needs=Needs(announced=Announced(version_major=0)))
def refuse_version_0(stage: Stage) -> None:
    """A page whose major version is 0 promises nothing, and the driver does not even ask for capabilities."""
    _refused(stage, Refusal.VERSION, last_read="version_major")


@scenario(needs=Needs(announced=Announced(capabilities=EVERY_CAPABILITY & ~Capability.FULL_PPGTT)))
def refuse_no_full_ppgtt(stage: Stage) -> None:
    """Without shadowed 4-level page tables clients cannot be kept apart, so the driver gives up."""
    _refused(stage, Refusal.NO_FULL_PPGTT, last_read="vgt_caps")


@scenario(needs=Needs(announced=Announced(capabilities=EVERY_CAPABILITY & ~Capability.HWSP_EMULATION)))
def refuse_no_hwsp_emulation(stage: Stage) -> None:
    """Without an emulated status page the driver would never learn that work is done, so it gives up."""
    _refused(stage, Refusal.NO_HWSP_EMULATION, last_read="vgt_caps")


@scenario(needs=Needs(announced=Announced(capabilities=Capability(0))))
def refuse_no_capabilities(stage: Stage) -> None:
    """Of two missing capabilities the driver names page tables, which it looks for first."""
    _refused(stage, Refusal.NO_FULL_PPGTT, last_read="vgt_caps")


@scenario(needs=Needs(announced=Announced(mappable=Slice(after=-PAGE_SIZE))))
def refuse_mappable_past_aperture(stage: Stage) -> None:
    """A mappable slice that ends one page behind the aperture cannot be reached by the processor."""
    _refused(stage, Refusal.MAPPABLE_PAST_APERTURE, last_read="avail_rs.nonmappable_gmadr.size", interrupts_seen=True)


@scenario(needs=Needs(announced=Announced(nonmappable=Slice(before=-PAGE_SIZE))))
def refuse_nonmappable_in_aperture(stage: Stage) -> None:
    """A nonmappable slice that begins one page below the aperture's end contradicts its name."""
    _refused(stage, Refusal.NONMAPPABLE_IN_APERTURE, last_read="avail_rs.nonmappable_gmadr.size", interrupts_seen=True)


@scenario(needs=Needs(announced=Announced(nonmappable=Slice(after=-PAGE_SIZE))))
def refuse_nonmappable_past_ggtt(stage: Stage) -> None:
    """A nonmappable slice that ends one page behind the translation table has no entries there."""
    _refused(stage, Refusal.NONMAPPABLE_PAST_GGTT, last_read="avail_rs.nonmappable_gmadr.size", interrupts_seen=True)


@scenario(needs=Needs(announced=Announced(mappable=Slice(before=MIB + 0x800))))
def refuse_unaligned_slice(stage: Stage) -> None:
    """A slice that begins inside a page would share that page's entry with a neighbour."""
    _refused(stage, Refusal.UNALIGNED_SLICE, last_read="avail_rs.nonmappable_gmadr.size", interrupts_seen=True)


@scenario(needs=Needs(announced=Announced(fence_num=33)))
def refuse_too_many_fences(stage: Stage) -> None:
    """A page that gives more fences than a GPU has would lead the driver past the last register."""
    _refused(stage, Refusal.TOO_MANY_FENCES, last_read="avail_rs.fence_num")


@scenario(needs=Needs(announced=Announced(aperture_bar=False)))
def refuse_no_aperture(stage: Stage) -> None:
    """Without base address register 2 there is no way for the processor to graphics memory."""
    _refused(stage, Refusal.NO_APERTURE, last_read="vgt_caps")
