"""Resets: what each takes away, and what survives it."""

from __future__ import annotations

from pvinfo.gtt_entry import GGTT_OFFSET
from pvinfo.page import PvInfo
from pvinfo.pci import CapabilityId, Command
from pvinfo.register import masked_bits
from pvinfo.registers import EngineMode, EngineRegisters, FenceTiling, InterruptGroup, ResetDomains, ResetRegisters
from pvinfo.units import PAGE_SIZE

from ...driver import GuestDriver
from ..catalogue import scenario
from ..stage import Stage
from .acts import failsafe_reason, fence_value, hardware_fence, is_distrusted, probed, render_ring

_RING_START = 0x7000


class _Belongings:
    """What a guest has of its device before a reset."""

    def __init__(self, stage: Stage, driver: GuestDriver) -> None:
        self.guest = stage.guest
        binding = driver.ggtt.bind(driver.create_buffer(4 * PAGE_SIZE, "surface"), mappable=True)
        fence = driver.fences.set_up(binding, FenceTiling.Y, 1024)
        self.fence = fence.high << 32 | fence.low
        self.entry_offset = GGTT_OFFSET + binding.address // PAGE_SIZE * 8
        self.entry = self.guest.mmio.read(self.entry_offset, 8)
        render_ring(self.guest).start = _RING_START
        self.enabled = int(InterruptGroup(self.guest.mmio, "GT0").ier)
        stage.check("the ring's start", int(render_ring(self.guest).start), _RING_START)
        stage.check("an interrupt is enabled", self.enabled != 0, True)

    def check(
        self, stage: Stage, *, ring: bool, page: bool, memory: bool, interrupts: bool
    ) -> None:
        """Which of it is left, by the guest's eyes and the host's."""
        guest = self.guest
        stage.check("the ring's start", int(render_ring(guest).start), _RING_START if ring else 0)
        stage.check("the page says that the display is ready", PvInfo(guest.mmio).display_ready, int(page))
        stage.check("the table entry", guest.mmio.read(self.entry_offset, 8), self.entry if memory else 0)
        stage.host_view(
            "the hardware fence behind fence 0", hardware_fence(0), self.fence if memory else 0,
            through_bus=lambda: fence_value(guest, 0),
        )  # fmt: skip
        stage.check("interrupts of the render and copy engines that are enabled", int(InterruptGroup(guest.mmio, "GT0").ier), self.enabled if interrupts else 0)
        stage.host_view("guest pages are pinned for the GPU", lambda vgpu: vgpu.port.mapped_pages > 0, memory)


@scenario()
def device_reset(stage: Stage) -> None:
    """A reset of the device takes everything: registers, table, fences, configuration, and what the host knew of its guest."""
    guest = stage.guest
    stage.step("a driver has made itself at home")
    belongings = _Belongings(stage, probed(stage))

    stage.step("the machine resets the device")
    guest.machine.gpu.reset()
    stage.host_view("the host knows that its guest reads the page", lambda vgpu: vgpu.pv.guest_is_aware, False)
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, False)
    belongings.check(stage, ring=False, page=False, memory=False, interrupts=False)
    stage.check("the command register", Command(guest.machine.gpu.config.read(4, 2)), Command(0))
    stage.host_view("the guest wants message-signalled interrupts", lambda vgpu: vgpu.config.msi_enabled, False)

    stage.step("the offer is what it was")
    page = PvInfo(guest.mmio)
    stage.check("the mappable slice", (page.mappable_base, page.mappable_size), tuple(guest.offer.mappable))
    stage.check("the nonmappable slice", (page.nonmappable_base, page.nonmappable_size), tuple(guest.offer.nonmappable))
    stage.check("fences", page.fence_num, guest.offer.fence_num)


@scenario()
def full_gt_reset(stage: Stage) -> None:
    """A reset of the whole GT takes the engines' registers and the page's messages; memory, fences and interrupts stay."""
    guest = stage.guest
    stage.step("a driver has made itself at home")
    belongings = _Belongings(stage, probed(stage))

    stage.step("the guest resets the whole GT")
    reset = ResetRegisters(guest.mmio)
    reset.gdrst = ResetDomains.of(full=1)
    stage.check("the request has cleared itself", int(reset.gdrst), 0)
    belongings.check(stage, ring=False, page=False, memory=True, interrupts=True)
    stage.host_view("the host knows that its guest reads the page", lambda vgpu: vgpu.pv.guest_is_aware, True)
    stage.host_view("device resets", lambda vgpu: vgpu.resets["device"], 0)


@scenario()
def engine_reset(stage: Stage) -> None:
    """A reset of single engines, even of all of them, keeps every register."""
    guest = stage.guest
    stage.step("a driver has made itself at home")
    belongings = _Belongings(stage, probed(stage))

    stage.step("the guest resets each engine, then all of them at once")
    reset = ResetRegisters(guest.mmio)
    for domains in (ResetDomains.of(render=1), ResetDomains.of(blt=1), ResetDomains.of(render=1, media=1, blt=1, vecs=1)):
        reset.gdrst = domains
        stage.check("the request has cleared itself", int(reset.gdrst), 0)
    belongings.check(stage, ring=True, page=True, memory=True, interrupts=True)
    stage.host_view("engine resets", lambda vgpu: vgpu.resets["engine"], 3)


@scenario()
def reset_while_asleep(stage: Stage) -> None:
    """A device that is reset while it sleeps is that of a guest which will wake up: its host does not forget it."""
    guest = stage.guest
    stage.step("a driver is loaded and puts the device to sleep (D3hot)")
    driver = probed(stage)
    power = driver.pci.capabilities[CapabilityId.POWER_MANAGEMENT]
    guest.machine.gpu.config.write(power + 4, 2, 3)
    stage.check("the power state", guest.machine.gpu.config.read(power + 4, 2) & 3, 3)

    stage.step("the machine resets the device")
    guest.machine.gpu.reset()
    stage.check("the power state", guest.machine.gpu.config.read(power + 4, 2) & 3, 0)
    stage.host_view("the host knows that its guest reads the page", lambda vgpu: vgpu.pv.guest_is_aware, True)

    stage.step("the guest goes on without reading the page again")
    guest.mmio.write32(EngineRegisters.mode.at("RCS0"), masked_bits(EngineMode.run_list_enable.mask))
    stage.check("the guest's registers have become plain storage", is_distrusted(guest), False)
    stage.host_view("why it distrusts the guest", failsafe_reason, None)
