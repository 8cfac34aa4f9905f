"""Power of the display engine: wells, low-power states, and the buffer that planes share.

A well is requested in one register of four, each with its own requester; the hardware answers in a state bit
beside the request, and software waits for it (1 ms). The mediator grants every request at once.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag
from ..register import Access, Register, RegisterBlock

__all__ = (
    "DbufControl",
    "DcState",
    "DcStateDebug",
    "DisplayPower",
    "FuseStatus",
    "LowPowerDepth",
    "PowerWellControl",
    "PowerWellDebug",
    "ResetWarning",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"


class PowerWellControl(Bits):
    """Requests of one requester, and the state of the wells. On Broadwell only pw2 is there: the one well outside pipe A."""

    misc_io_state = flag(0, "miscellaneous I/O has power")
    misc_io_request = flag(1, "this requester wants miscellaneous I/O")
    ddi_a_e_state = flag(2, "the buffers of ports A and E have power")
    ddi_a_e_request = flag(3, "this requester wants the buffers of ports A and E")
    ddi_b_state = flag(4, "the buffer of port B has power")
    ddi_b_request = flag(5, "this requester wants the buffer of port B")
    ddi_c_state = flag(6, "the buffer of port C has power")
    ddi_c_request = flag(7, "this requester wants the buffer of port C")
    ddi_d_state = flag(8, "the buffer of port D has power")
    ddi_d_request = flag(9, "this requester wants the buffer of port D")
    pw1_state = flag(28, "power well 1 has power: pipe A and what all pipes share")
    pw1_request = flag(29, "this requester wants power well 1")
    pw2_state = flag(30, "power well 2 has power: pipes B and C, transcoders, audio, VGA")
    pw2_request = flag(31, "this requester wants power well 2")


class PowerWellDebug(Bits):
    """How the wells are switched (Broadwell)."""

    force_on = flag(19, "the well is on whatever is requested")
    power_gate_override = flag(20, "the gates ignore the requests")
    single_step = flag(31, "switch step by step")


class FuseStatus(Bits):
    """Which fuses have reached the display engine (gen9). Each power group must have its own before its wells work."""

    pg2_distribution = flag(25, "power group 2 has its fuses; awaited after power well 2 was switched on")
    pg1_distribution = flag(26, "power group 1 has its fuses; awaited after power well 1 was switched on")
    pg0_distribution = flag(27, "power group 0 has its fuses; awaited before power well 1 is switched on")
    download = flag(31, "all fuses have been read")


class LowPowerDepth(IntEnum):
    """Low-power states that can be entered while a screen is on."""

    NONE = 0
    DC5 = 1
    DC6 = 2


class DcState(Bits):
    """Low-power states of the idle display (gen9). The driver writes 0 at load and reads until that sticks."""

    enable_up_to = choice(0, 2, LowPowerDepth, "deepest state that may be entered while a screen is on")
    enable_dc9 = flag(3, "DC9, with the display off (Broxton)")


class DcStateDebug(Bits):
    """What the decision for a low-power state leaves out of account (gen9)."""

    mask_cores = flag(0, "activity of the processor's cores")
    mask_memory_up = flag(1, "memory being awake")


class DbufControl(Bits):
    """Power of the buffer between memory and planes (gen9)."""

    power_state = flag(30, "the buffer has power; expected 10 us after the request")
    power_request = flag(31, "the buffer is wanted")


class ResetWarning(Bits):
    """What the display engine does when the platform resets."""

    pch_handshake = flag(4, "tell the platform controller hub first")


class DisplayPower(RegisterBlock, source=SOURCE):
    """Power of the display engine."""

    fuse_status = Register(0x42000, FuseStatus, "which fuses have reached the display engine (gen9)", Access.READ_ONLY, kernel_name="SKL_FUSE_STATUS")
    dbuf_ctl = Register(0x45008, DbufControl, "power of the buffer between memory and planes (gen9)", emulated=True, kernel_name="DBUF_CTL_S")
    well_bios = Register(
        0x45400, PowerWellControl,
        "requests of the firmware; the driver takes them over at load and clears them",
        emulated=True, kernel_name="HSW_PWR_WELL_CTL1",
    )  # fmt: skip
    well_driver = Register(
        0x45404, PowerWellControl,
        "requests of the driver; a well counts as on when request and state are set here",
        emulated=True, kernel_name="HSW_PWR_WELL_CTL2",
    )  # fmt: skip
    well_kvmr = Register(0x45408, PowerWellControl, "requests of remote management", emulated=True, kernel_name="HSW_PWR_WELL_CTL3")
    well_debug = Register(0x4540C, PowerWellControl, "requests of a debugger", emulated=True, kernel_name="HSW_PWR_WELL_CTL4")
    well_override = Register(0x45410, PowerWellDebug, "how the wells are switched", emulated=True, kernel_name="HSW_PWR_WELL_CTL5")
    well_ctl6 = Register(0x45414, int, "more of how the wells are switched", emulated=True, kernel_name="HSW_PWR_WELL_CTL6")
    dc_state_en = Register(0x45504, DcState, "low-power states of the idle display (gen9)", kernel_name="DC_STATE_EN")
    dc_state_debug = Register(0x45520, DcStateDebug, "what the decision leaves out of account (gen9)", kernel_name="DC_STATE_DEBUG")
    nde_rstwrn_opt = Register(0x46408, ResetWarning, "what the display engine does when the platform resets", kernel_name="HSW_NDE_RSTWRN_OPT")
