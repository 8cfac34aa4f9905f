"""Interrupts: the master register and the groups of status, mask, identity and enable registers below it.

An event sets its bit in the group's iir when its bit in imr is 0. The group raises its bit in the master
register while iir and ier have a bit in common, and the GPU sends an interrupt while the master register has
a bit set and is enabled. The driver's handler disables the master, reads it, acknowledges each group by
writing iir back, and enables the master again; events that came meanwhile must interrupt anew at that moment.
"""

from __future__ import annotations

from typing import Final

from ..bits import Bits, flag, uint
from ..register import Access, Register, RegisterBlock

__all__ = (
    "INTERRUPT_GROUPS",
    "INTERRUPT_SOURCES",
    "BroadwellPipeInterrupt",
    "CopyRenderInterrupt",
    "DisplayMiscInterrupt",
    "DisplayPortInterrupt",
    "InterruptGroup",
    "MasterControl",
    "MasterInterrupt",
    "PchInterrupt",
    "PipeInterrupt",
    "PowerInterrupt",
    "PowerControlInterrupt",
    "PsrInterrupt",
    "PsrInterruptRegisters",
    "VideoEnhanceInterrupt",
    "VideoInterrupt",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"
GVT_SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/interrupt.c"

INTERRUPT_GROUPS: Final[dict[str, int]] = {
    "GT0": 0x44300,
    "GT1": 0x44310,
    "GT2": 0x44320,
    "GT3": 0x44330,
    "PIPE_A": 0x44400,
    "PIPE_B": 0x44410,
    "PIPE_C": 0x44420,
    "DE_PORT": 0x44440,
    "DE_MISC": 0x44460,
    "PCU": 0x444E0,
    "SDE": 0xC4000,
}
"""First register of each group in BAR0."""


class MasterControl(Bits):
    """Enable, and which groups have something to tell. All bits but the enable are levels that software cannot write."""

    rcs0 = flag(0, "GT0, lower half: render engine")
    bcs0 = flag(1, "GT0, upper half: copy engine")
    vcs0 = flag(2, "GT1, lower half: first video engine")
    vcs1 = flag(3, "GT1, upper half: second video engine, where there is one")
    power = flag(4, "GT2, lower half: frequency and power")
    guc = flag(5, "GT2, upper half: micro-controller")
    vecs0 = flag(6, "GT3, lower half: video enhancement engine")
    pipe_a = flag(16, "display pipe A")
    pipe_b = flag(17, "display pipe B")
    pipe_c = flag(18, "display pipe C")
    de_port = flag(20, "display ports: AUX channels and hot-plug of port A")
    de_misc = flag(22, "other display events")
    pch = flag(23, "south display: hot-plug, GMBUS, AUX channels of the platform controller hub")
    pcu = flag(30, "power control unit")
    enable = flag(31, "interrupts may be sent; the handler clears it on entry and sets it last")


class MasterInterrupt(RegisterBlock, source=SOURCE):
    """The register at the top of the interrupt tree."""

    control = Register(0x44200, MasterControl, "enable, and which groups have something to tell", emulated=True, kernel_name="GEN8_MASTER_IRQ")


class CopyRenderInterrupt(Bits):
    """Events of group GT0: the render engine in the lower half, the copy engine in the upper."""

    rcs_user = flag(0, "render: MI_USER_INTERRUPT")
    rcs_error = flag(3, "render: the streamer found an error")
    rcs_notify = flag(4, "render: PIPE_CONTROL asked to be told of its completion")
    rcs_context_switch = flag(8, "render: new context status event")
    rcs_semaphore = flag(11, "render: a semaphore wait did not pass at once")
    bcs_user = flag(16, "copy: MI_USER_INTERRUPT")
    bcs_error = flag(19, "copy: the streamer found an error")
    bcs_notify = flag(20, "copy: MI_FLUSH_DW asked to be told of its completion")
    bcs_context_switch = flag(24, "copy: new context status event")
    bcs_semaphore = flag(27, "copy: a semaphore wait did not pass at once")


class VideoInterrupt(Bits):
    """Events of group GT1: the first video engine in the lower half, the second in the upper."""

    vcs0_user = flag(0, "video: MI_USER_INTERRUPT")
    vcs0_error = flag(3, "video: the streamer found an error")
    vcs0_notify = flag(4, "video: MI_FLUSH_DW asked to be told of its completion")
    vcs0_context_switch = flag(8, "video: new context status event")
    vcs0_semaphore = flag(11, "video: a semaphore wait did not pass at once")
    vcs1_user = flag(16, "second video: MI_USER_INTERRUPT")
    vcs1_error = flag(19, "second video: the streamer found an error")
    vcs1_notify = flag(20, "second video: MI_FLUSH_DW asked to be told of its completion")
    vcs1_context_switch = flag(24, "second video: new context status event")
    vcs1_semaphore = flag(27, "second video: a semaphore wait did not pass at once")


class PowerInterrupt(Bits):
    """Events of group GT2: frequency scaling in the lower half, the micro-controller in the upper."""

    down_ei_expired = flag(1, "the interval that decides on a lower frequency has passed", source="linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h")
    up_ei_expired = flag(2, "the interval that decides on a higher frequency has passed", source="linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h")
    down_threshold = flag(4, "busy less than the lower threshold", source="linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h")
    up_threshold = flag(5, "busy more than the upper threshold", source="linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h")
    down_timeout = flag(6, "idle for so long that the frequency may fall to the lowest", source="linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h")
    guc = uint(16, 16, "events of the micro-controller; a vGPU has none")


class VideoEnhanceInterrupt(Bits):
    """Events of group GT3: the video enhancement engine in the lower half."""

    vecs_user = flag(0, "video enhancement: MI_USER_INTERRUPT")
    vecs_error = flag(3, "video enhancement: the streamer found an error")
    vecs_notify = flag(4, "video enhancement: MI_FLUSH_DW asked to be told of its completion")
    vecs_context_switch = flag(8, "video enhancement: new context status event")
    vecs_semaphore = flag(11, "video enhancement: a semaphore wait did not pass at once")


class PipeInterrupt(Bits):
    """Events of a display pipe, gen9."""

    vblank = flag(0, "the vertical blank has begun")
    vsync = flag(1, "vertical synchronisation")
    scan_line = flag(2, "the scan line asked for is reached")
    plane1_flip_done = flag(3, "plane 1 shows its new surface")
    plane2_flip_done = flag(4, "plane 2 shows its new surface")
    plane3_flip_done = flag(5, "plane 3 shows its new surface")
    plane4_flip_done = flag(6, "plane 4 shows its new surface")
    plane1_fault = flag(7, "plane 1 fetched from an address without translation")
    plane2_fault = flag(8, "plane 2 fetched from an address without translation")
    plane3_fault = flag(9, "plane 3 fetched from an address without translation")
    plane4_fault = flag(10, "plane 4 fetched from an address without translation")
    cursor_fault = flag(11, "the cursor fetched from an address without translation")
    crc_done = flag(28, "a frame's check sum is ready")
    crc_error = flag(29, "a frame's check sum differs from the expected one")
    fifo_underrun = flag(31, "the pipe ran out of pixels")


class BroadwellPipeInterrupt(Bits):
    """Events of a display pipe, gen8: as gen9's, except for planes."""

    vblank = flag(0, "the vertical blank has begun")
    vsync = flag(1, "vertical synchronisation")
    scan_line = flag(2, "the scan line asked for is reached")
    primary_flip_done = flag(4, "the primary plane shows its new surface")
    sprite_flip_done = flag(5, "the sprite plane shows its new surface")
    primary_fault = flag(8, "the primary plane fetched from an address without translation")
    sprite_fault = flag(9, "the sprite plane fetched from an address without translation")
    cursor_fault = flag(10, "the cursor fetched from an address without translation")
    crc_done = flag(28, "a frame's check sum is ready")
    crc_error = flag(29, "a frame's check sum differs from the expected one")
    fifo_underrun = flag(31, "the pipe ran out of pixels")


class DisplayPortInterrupt(Bits):
    """Events of the display ports on the processor's side."""

    aux_a = flag(0, "AUX channel A has finished a transfer")
    gmbus = flag(1, "GMBUS event, where the processor has no platform controller hub (Broxton)")
    hotplug_a = flag(3, "something was plugged into or out of port A")
    hotplug_b = flag(4, "the same for port B (Broxton)")
    hotplug_c = flag(5, "the same for port C (Broxton)")
    aux_b = flag(25, "AUX channel B has finished a transfer (gen9)")
    aux_c = flag(26, "AUX channel C has finished a transfer (gen9)")
    aux_d = flag(27, "AUX channel D has finished a transfer (gen9)")


class DisplayMiscInterrupt(Bits):
    """Other display events."""

    psr = flag(19, "panel self refresh event, see PsrInterruptRegisters")
    gse = flag(27, "the firmware has a request in the OpRegion")


class PowerControlInterrupt(Bits):
    """Events of the power control unit."""

    thermal = flag(24, "thermal event", source=GVT_SOURCE)
    mailbox = flag(25, "the mailbox has finished a command", source=GVT_SOURCE)


class PchInterrupt(Bits):
    """Events of the south display; as status bits, the hot-plug ones say whether something is plugged in now."""

    gmbus = flag(17, "the GMBUS controller wants attention")
    crt_hotplug = flag(19, "hot-plug of the analogue port (Broadwell)")
    port_b_hotplug = flag(21, "hot-plug of port B")
    port_c_hotplug = flag(22, "hot-plug of port C")
    port_d_hotplug = flag(23, "hot-plug of port D")
    port_a_hotplug = flag(24, "hot-plug of port A (gen9)")
    aux_b_or_port_e_hotplug = flag(25, "gen8: AUX channel B has finished a transfer; gen9: hot-plug of port E")
    aux_c = flag(26, "AUX channel C has finished a transfer (gen8)")
    aux_d = flag(27, "AUX channel D has finished a transfer (gen8)")


INTERRUPT_SOURCES: Final[dict[str, type[Bits]]] = {
    "GT0": CopyRenderInterrupt,
    "GT1": VideoInterrupt,
    "GT2": PowerInterrupt,
    "GT3": VideoEnhanceInterrupt,
    "PIPE_A": PipeInterrupt,
    "PIPE_B": PipeInterrupt,
    "PIPE_C": PipeInterrupt,
    "DE_PORT": DisplayPortInterrupt,
    "DE_MISC": DisplayMiscInterrupt,
    "PCU": PowerControlInterrupt,
    "SDE": PchInterrupt,
}
"""What the bits of each group's registers mean. Pipes are gen9's; gen8 has BroadwellPipeInterrupt."""


class InterruptGroup(RegisterBlock, bases=INTERRUPT_GROUPS, source=SOURCE):
    """Four registers over the same bits; what the bits mean says INTERRUPT_SOURCES for each group."""

    isr = Register(0x0, int, "state of each source now; a latch in the other registers remembers it", Access.READ_ONLY, emulated=True, kernel_name="GEN8_GT_ISR")
    imr = Register(0x4, int, "sources whose events are not remembered (1 masks)", reset=0xFFFFFFFF, emulated=True, kernel_name="GEN8_GT_IMR")
    iir = Register(
        0x8, int,
        "events that have happened and are not yet acknowledged; must be 0 after it was cleared at reset",
        Access.WRITE_1_CLEARS, emulated=True, kernel_name="GEN8_GT_IIR",
    )  # fmt: skip
    ier = Register(0xC, int, "events that raise the group's bit in the master register (1 enables)", emulated=True, kernel_name="GEN8_GT_IER")


class PsrInterrupt(Bits):
    """Events of panel self refresh, for the embedded transcoder."""

    error = flag(2, "the panel or link reported an error", source="linux:drivers/gpu/drm/i915/display/intel_psr_regs.h")
    post_exit = flag(1, "self refresh was left", source="linux:drivers/gpu/drm/i915/display/intel_psr_regs.h")
    pre_entry = flag(0, "self refresh is about to be entered", source="linux:drivers/gpu/drm/i915/display/intel_psr_regs.h")


class PsrInterruptRegisters(RegisterBlock, source="linux:drivers/gpu/drm/i915/display/intel_psr_regs.h"):
    """Mask and identity of the panel self refresh events. A vGPU has no such panel: both read 0."""

    imr = Register(0x64834, PsrInterrupt, "events that are not remembered; the mediator keeps it 0", emulated=True, kernel_name="EDP_PSR_IMR")
    iir = Register(
        0x64838, PsrInterrupt,
        "events not yet acknowledged; a driver that reads anything but 0 after clearing it warns",
        Access.WRITE_1_CLEARS, emulated=True, kernel_name="EDP_PSR_IIR",
    )  # fmt: skip
