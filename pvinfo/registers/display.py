"""What the display engine has only one of: VGA, arbitration, compression, work-arounds, audio clocks."""

from __future__ import annotations

from typing import Final

from ..bits import Bits, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock

__all__ = (
    "ArbitrationControl",
    "ArbitrationControl2",
    "CompressionControl",
    "DisplayAudio",
    "DisplayEngine",
    "DisplayWorkarounds",
    "FrameBufferCompression",
    "ParallelWorkaround",
    "PipeSlice",
    "PixelStorageControl",
    "PowerWorkaround",
    "UnclaimedAccess",
    "VgaControl",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"
FBC_SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_fbc_regs.h"
AUDIO_SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_audio_regs.h"


class VgaControl(Bits):
    """The VGA plane."""

    pipe_b = flag(29, "it shows on pipe B")
    double_size = flag(30, "it shows twice as large")
    disable = flag(31, "it does not show; a driver that finds it so leaves the VGA ports alone")


class UnclaimedAccess(Bits):
    """Whether an access of the display's registers went nowhere."""

    no_claim = flag(31, "one did (write 1 to clear); must read 0")


class ArbitrationControl(Bits):
    """How the planes' fetches share memory."""

    tile_swizzle = flag(13, "swizzled tiles; never on gen8 and later")
    fbc_watermark_disable = flag(15, "compression ignores its water mark")
    fbc_memory_wake = flag(31, "compression wakes memory (gen9)")


class ArbitrationControl2(Bits):
    """More of how fetches share memory."""

    ipc_enable = flag(3, "isochronous priority control (gen9)")
    data_partition_5_6 = flag(6, "five sixths of the buffer for sprites (before gen8)")


class PixelStorageControl(Bits):
    """Intermediate pixel storage: a buffer that lets memory sleep longer (Broadwell)."""

    false_color = flag(4, "show it in a false colour")
    enable = flag(31, "use it")


class DisplayEngine(RegisterBlock, source=SOURCE):
    """VGA, error reports, arbitration."""

    vga_control = Register(0x41000, VgaControl, "the VGA plane", emulated=True, kernel_name="CPU_VGACNTRL")
    fpga_dbg = Register(0x42300, UnclaimedAccess, "whether an access went nowhere", Access.WRITE_1_CLEARS, emulated=True, kernel_name="FPGA_DBG")
    err_int = Register(0x44040, int, "errors of pipes as gen7 reported them", Access.WRITE_1_CLEARS, kernel_name="GEN7_ERR_INT")
    derrmr = Register(
        0x44050, int,
        "display events that are not forwarded to the render engine; all ones: none is",
        reset=0xFFFFFFFF, kernel_name="DERRMR",
    )  # fmt: skip
    ips_ctl = Register(0x43408, PixelStorageControl, "intermediate pixel storage (gen8)", kernel_name="IPS_CTL")
    arb_ctl = Register(0x45000, ArbitrationControl, "how the planes' fetches share memory", kernel_name="DISP_ARB_CTL")
    arb_ctl2 = Register(0x45004, ArbitrationControl2, "more of how fetches share memory", kernel_name="DISP_ARB_CTL2")


class CompressionControl(Bits):
    """Frame buffer compression on and off."""

    fence = uint(0, 4, "fence that covers the frame buffer", source=FBC_SOURCE)
    limit = uint(6, 2, "least ratio: 0 one to one, 1 two, 2 four", source=FBC_SOURCE)
    false_color = flag(10, "show compressed parts in a false colour", source=FBC_SOURCE)
    fence_enable = flag(28, "the processor writes through that fence", source=FBC_SOURCE)
    enable = flag(31, "compress; a guest never does", source=FBC_SOURCE)


class FrameBufferCompression(RegisterBlock, source=FBC_SOURCE):
    """Compression of what is scanned out. A vGPU does not compress: its driver refuses to."""

    cb_base = Register(0x43200, int, "offset of the compressed copy in stolen memory", unit="bytes", kernel_name="ILK_DPFC_CB_BASE")
    control = Register(0x43208, CompressionControl, "on and off", kernel_name="ILK_DPFC_CONTROL")
    recomp_ctl = Register(0x4320C, int, "when to compress again", kernel_name="ILK_DPFC_RECOMP_CTL")
    status = Register(0x43210, int, "lines compressed", Access.READ_ONLY, unit="lines", kernel_name="ILK_DPFC_STATUS")
    fence_yoff = Register(0x43218, int, "first line inside the fence", unit="lines", kernel_name="ILK_DPFC_FENCE_YOFF")
    chicken = Register(0x43224, int, "work-arounds of compression", kernel_name="ILK_DPFC_CHICKEN")


class ParallelWorkaround(Bits):
    """Work-arounds of what pipes share."""

    psr_fix_readwrap = flag(3, "repair of self refresh at the end of the buffer (gen9)")
    force_arbiter_idle = flag(14, "the arbiter counts as idle when no plane fetches")
    compressed_hash = flag(15, "gen9: compressed surfaces are read in another order; gen8: vblanks are hidden in self refresh")
    arbiter_spare_22 = flag(22, "a spare bit of the arbiter (Kaby Lake)")


class PipeSlice(Bits):
    """Work-arounds of a pipe."""

    unmask_vblank_in_psr = flag(0, "vblanks reach the registers in self refresh (gen8)")
    psr_mask_plane_flip = flag(11, "a flip does not end self refresh (gen9)")
    fbc_queue_disable = flag(22, "compression does not queue (before gen8)")


class PowerWorkaround(Bits):
    """Work-arounds of the display's power control."""

    mask_wakemem = flag(13, "memory is not woken by the display's wake signal")
    alternate_dc_exit = flag(30, "leave low-power states by the other way (gen9)")


class DisplayWorkarounds(RegisterBlock, source=SOURCE):
    """Work-arounds of the display engine. Kept as written."""

    chicken2 = Register(0x42004, int, "work-arounds of gen5 and gen6", kernel_name="ILK_DISPLAY_CHICKEN2")
    dspclk_gate = Register(
        0x42020, int,
        "clock gates of the display engine; bit 1 as a fuse: which reference clock (gen8)",
        kernel_name="ILK_DSPCLK_GATE_D",
    )  # fmt: skip
    chicken_par1_1 = Register(0x42080, ParallelWorkaround, "work-arounds of what pipes share", kernel_name="CHICKEN_PAR1_1")
    chicken_misc_2 = Register(0x42084, int, "bits 14 and 13: spare bits of the arbiter (Kaby Lake)", kernel_name="CHICKEN_MISC_2")
    chicken_par2_1 = Register(0x42090, int, "bit 14: remote management hears of changes of configuration (gen8)", kernel_name="CHICKEN_PAR2_1")
    chicken_pipesl_1 = RegisterArray(0x420B0, 3, PipeSlice, "work-arounds of pipes A to C", kernel_name="CHICKEN_PIPESL_1")
    chicken_trans = RegisterArray(0x420C0, 4, int, "work-arounds of transcoders A, B, C and the embedded one", kernel_name="CHICKEN_TRANS")
    chicken_dcpr_1 = Register(0x46430, PowerWorkaround, "work-arounds of the display's power control", kernel_name="GEN8_CHICKEN_DCPR_1")
    clkgate_dis_0 = Register(0x46530, int, "clock gates of the display engine (Broxton)", kernel_name="GEN9_CLKGATE_DIS_0")
    clkgate_dis_4 = Register(0x4653C, int, "clock gates of the display engine (Broxton)", kernel_name="GEN9_CLKGATE_DIS_4")


class DisplayAudio(RegisterBlock, source=AUDIO_SOURCE):
    """Audio over HDMI and DisplayPort, as far as the display driver looks."""

    config = RegisterArray(0x65000, 3, int, "clock ratios of pipes A to C", stride=0x100, kernel_name="HSW_AUD_CFG")
    misc_ctrl = RegisterArray(0x65010, 3, int, "sample delivery of pipes A to C", stride=0x100, kernel_name="HSW_AUD_MISC_CTRL")
    pin_eld_cp_vld = Register(
        0x650C0, int,
        "per pipe, four bits: audio on, description of the monitor valid, content protection",
        kernel_name="HSW_AUD_PIN_ELD_CP_VLD",
    )  # fmt: skip
    freq_cntrl = Register(0x65900, int, "clock of the link to the audio controller; kept over sleep (gen9)", kernel_name="AUD_FREQ_CNTRL")
