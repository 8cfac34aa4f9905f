"""What makes the host distrust its guest, what the guest then has, and the one way out."""

from __future__ import annotations

from collections.abc import Callable

from host_model.mediator.failsafe import FailsafeReason
from pvinfo.page import PVINFO_BASE, VGT_MAGIC, PvInfo
from pvinfo.register import masked_bits
from pvinfo.registers import EngineMode, EngineRegisters, FenceLow, FenceRegister, FrontEndChicken

from ..catalogue import scenario
from ..guest import Guest
from ..stage import Stage
from .acts import RESERVED_WORD, failsafe_reason, fence_value, hardware_fences_in_use, is_distrusted, probed

def _distrusted(stage: Stage, act: str, do: Callable[[Guest], None], reason: FailsafeReason) -> None:
    """``do`` loses the host's trust for ``reason``; a device reset gets it back."""
    guest = stage.guest
    stage.step("before")
    stage.host_view("why it distrusts the guest", failsafe_reason, None)

    stage.step(act)
    do(guest)
    stage.check("the guest's registers have become plain storage", is_distrusted(guest), True)
    stage.host_view("why it distrusts the guest", failsafe_reason, reason)
    stage.expect_finding("failsafe", times=1)

    stage.step("nothing reaches the GPU any more")
    beyond = guest.offer.fence_num
    FenceRegister(guest.mmio, f"FENCE{beyond}").lo = FenceLow.of(valid=1, start_page=0x10)
    stage.check("a fence beyond the last keeps what is written", fence_value(guest, beyond), FenceLow.of(valid=1, start_page=0x10))
    stage.host_view("hardware fences in use", hardware_fences_in_use, 0)

    stage.step("the machine resets the device")
    guest.machine.gpu.reset()
    stage.check("the guest's registers have become plain storage", is_distrusted(guest), False)
    stage.host_view("why it distrusts the guest", failsafe_reason, None)

    stage.step("a driver finds a host that trusts it")
    probed(stage)
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True)


def _still_trusted(stage: Stage) -> None:
    stage.check("the guest's registers have become plain storage", is_distrusted(stage.guest), False)
    stage.host_view("why it distrusts the guest", failsafe_reason, None)


def _write_mode(bits: int) -> Callable[[Guest], None]:
    def write(guest: Guest) -> None:
        guest.mmio.write32(EngineRegisters.mode.at("RCS0"), masked_bits(bits))

    return write


@scenario()
def failsafe_run_list_before_page(stage: Stage) -> None:
    """A driver that switches to run lists without ever having read the page does not know GVT-g."""
    _distrusted(
        stage, "the render engine is switched to run lists", _write_mode(EngineMode.run_list_enable.mask),
        FailsafeReason.UNSUPPORTED_GUEST,
    )  # fmt: skip


@scenario()
def failsafe_ppgtt_before_page(stage: Stage) -> None:
    """So does a driver that switches on per-process tables without having read the page."""
    _distrusted(
        stage, "per-process tables are switched on", _write_mode(EngineMode.ppgtt_enable.mask), FailsafeReason.UNSUPPORTED_GUEST
    )


@scenario()
def run_list_after_page(stage: Stage) -> None:
    """The same act by a guest that has read one word of the page is as it should be."""
    guest = stage.guest
    stage.step("one word of the page is read, then the render engine is switched to run lists")
    stage.check("lower half of the magic", guest.mmio.read32(PVINFO_BASE), VGT_MAGIC & 0xFFFF_FFFF)
    _write_mode(EngineMode.run_list_enable.mask)(guest)
    _still_trusted(stage)


@scenario()
def failsafe_fence_before_page(stage: Stage) -> None:
    """A driver that touches a fence beyond its share without having read the page thinks that it owns the GPU."""

    def touch(guest: Guest) -> None:
        FenceRegister(guest.mmio, f"FENCE{guest.offer.fence_num}").lo = FenceLow.of(valid=1, start_page=0x10)

    _distrusted(stage, "a fence beyond the last is written", touch, FailsafeReason.UNSUPPORTED_GUEST)
    stage.expect_finding("fence-not-owned")


@scenario()
def failsafe_ring_mode_bit_0(stage: Stage) -> None:
    """Bit 0 of an engine's mode register asks for what GVT-g never offers."""

    def ask(guest: Guest) -> None:
        guest.mmio.read32(PVINFO_BASE)
        _write_mode(1)(guest)

    _distrusted(stage, "bit 0 of the render engine's mode is set, by a guest that has read the page", ask, FailsafeReason.UNSUPPORTED_GUEST)


@scenario()
def failsafe_ring_mode_bit_1(stage: Stage) -> None:
    """Bit 1 of an engine's mode register costs the host's trust on Coffee Lake; on older parts it means nothing."""
    act = "bit 1 of the render engine's mode is set"
    if stage.platform.name == "cfl":
        _distrusted(stage, act, _write_mode(2), FailsafeReason.UNSUPPORTED_GUEST)
        return
    stage.step(act)
    _write_mode(2)(stage.guest)
    _still_trusted(stage)


@scenario()
def failsafe_preemption_control(stage: Stage) -> None:
    """A guest must not take preemption into its own hands: gen9 has chicken bits for it that are watched, gen8 has none."""
    guest = stage.guest
    bits = masked_bits(FrontEndChicken.unsupported_3.mask)

    def enable(guest: Guest) -> None:
        guest.mmio.read32(PVINFO_BASE)
        guest.mmio.write32(EngineRegisters.csfe_chicken1.at("RCS0"), bits)

    act = "a preemption bit of the render engine's front end is set"
    if stage.platform.graphics_version >= 9:
        _distrusted(stage, act, enable, FailsafeReason.UNSUPPORTED_GUEST)
        return
    stage.step(act)
    enable(guest)
    _still_trusted(stage)


@scenario()
def failsafe_reserved_word(stage: Stage) -> None:
    """By writing to a reserved word of the page a guest says that its share is not enough."""

    def complain(guest: Guest) -> None:
        guest.mmio.write32(RESERVED_WORD, 1)

    _distrusted(stage, "a reserved word of the page is written", complain, FailsafeReason.INSUFFICIENT_RESOURCE)


@scenario()
def page_is_the_hosts(stage: Stage) -> None:
    """The half of the page that the host fills cannot be written, and trying costs no trust."""
    guest = stage.guest
    page = PvInfo(guest.mmio)
    stage.step("the guest overwrites its own offer")
    page.mappable_size = 0x1000
    page.fence_num = 32
    stage.check("size of the mappable slice", page.mappable_size, guest.offer.mappable.size)
    stage.check("number of fences", page.fence_num, guest.offer.fence_num)
    stage.expect_finding("pvinfo-read-only")
    _still_trusted(stage)
