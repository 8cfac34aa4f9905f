"""The GT as a whole: what the part has (fuses), what its clocks are, how it sleeps and how fast it runs.

A guest reads the fuses to learn the shape of the execution units and the capabilities of the frequency
scaling; sleep states it leaves to the host.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

from ..bits import Bits, choice, flag, uint
from ..register import Access, Register, RegisterArray, RegisterBlock

__all__ = (
    "CoreStatus",
    "CrystalClock",
    "CtcMode",
    "CtcSource",
    "EuDisable",
    "FrequencyCapability",
    "FrequencyControl",
    "FrequencyRequest",
    "FrequencyStatus",
    "Fuse2",
    "GtClock",
    "GtFrequency",
    "GtFuses",
    "GtStandby",
    "PavpFuse1",
    "PowerGateEnable",
    "PowerInterruptMask",
    "Rc6Context",
    "RcControl",
    "RcState",
    "RpmConfig0",
    "TimestampOverride",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/gt/intel_gt_regs.h"
I915_SOURCE: Final = "linux:drivers/gpu/drm/i915/i915_reg.h"
MCHBAR_SOURCE: Final = "linux:drivers/gpu/drm/i915/intel_mchbar_regs.h"


# ---- fuses ----


class PavpFuse1(Bits):
    """Fuses of parts before gen8; kept for tools."""

    eu_disable = uint(16, 2, "execution units per subslice: 0 ten, 1 eight, 2 six")


class Fuse2(Bits):
    """Slices and subslices of the part."""

    subslice_disable = uint(20, 4, "one bit per subslice that each slice lacks; gen8 has three subslices, in bits 23:21")
    slice_enable = uint(25, 3, "one bit per slice the part has; a gen9 driver breaks down on 0")


class EuDisable(Bits):
    """Execution units that a slice lacks, eight bits per subslice (gen9)."""

    subslice0 = uint(0, 8, "one bit per unit that subslice 0 lacks")
    subslice1 = uint(8, 8, "one bit per unit that subslice 1 lacks")
    subslice2 = uint(16, 8, "one bit per unit that subslice 2 lacks")
    subslice3 = uint(24, 8, "one bit per unit that subslice 3 lacks")


class GtFuses(RegisterBlock, source=SOURCE):
    """The shape of the part. A GT2 is one slice of three subslices of eight units: fuse2 0x02800000 on gen9, 0x02000000 on gen8."""

    pavp_fuse1 = Register(0x911C, PavpFuse1, "fuses of parts before gen8", Access.READ_ONLY, kernel_name="HSW_PAVP_FUSE1")
    fuse2 = Register(0x9120, Fuse2, "slices and subslices of the part", Access.READ_ONLY, kernel_name="GEN8_FUSE2")
    eu_disable = RegisterArray(
        0x9134, 3, EuDisable,
        "execution units that each slice lacks; gen9 has one register per slice, gen8 packs 24 bits per slice across the three",
        Access.READ_ONLY, kernel_name="GEN9_EU_DISABLE",
    )  # fmt: skip


# ---- clocks ----


class CrystalClock(IntEnum):
    """Frequency of the crystal."""

    MHZ_19_2 = 0
    MHZ_24 = 1


class RpmConfig0(Bits):
    """Clock source of the GT."""

    crystal_clock = choice(3, 1, CrystalClock, "frequency of the crystal (gen9)")


class CtcSource(IntEnum):
    """What the time stamp counts."""

    CRYSTAL = 0
    DIVIDE_LOGIC = 1


class CtcMode(Bits):
    """How the time stamp counter is fed (gen9). 0 is 24 MHz, shifted by 3."""

    source = choice(0, 1, CtcSource, "the crystal, or the divider of timestamp_override")
    shift = uint(1, 2, "3 minus this is how far the source is shifted down")


class TimestampOverride(Bits):
    """The divider that makes microseconds of the clock (gen9)."""

    divider = uint(0, 10, "whole ticks per microsecond, minus one", source=I915_SOURCE)
    fraction = uint(12, 4, "denominator of the fraction of a tick, minus one", source=I915_SOURCE)


class GtClock(RegisterBlock, source=SOURCE):
    """Clocks that the driver reads to convert time stamps to nanoseconds."""

    rpm_config0 = Register(0xD00, RpmConfig0, "clock source of the GT", Access.READ_ONLY, kernel_name="RPM_CONFIG0")
    rcp_config = Register(0xD08, int, "configuration of the clock unit", kernel_name="RCP_CONFIG")
    ctc_mode = Register(0xA26C, CtcMode, "how the time stamp counter is fed (gen9)", Access.READ_ONLY, emulated=True, kernel_name="CTC_MODE")
    timestamp_ctr = Register(
        0x44070, int,
        "time stamp of the display engine",
        Access.READ_ONLY, unit="us", emulated=True, kernel_name="IVB_TIMESTAMP_CTR", source=I915_SOURCE,
    )  # fmt: skip
    timestamp_override = Register(
        0x44074, TimestampOverride,
        "the divider that makes microseconds of the clock (gen9)",
        kernel_name="GEN9_TIMESTAMP_OVERRIDE", source=I915_SOURCE,
    )  # fmt: skip


# ---- sleep ----


class Rc6Context(Bits):
    """Where the GT's state is kept while it sleeps."""

    in_dram = flag(0, "in stolen memory, not in the chip")


class RcControl(Bits):
    """Which sleep states the hardware may enter."""

    rc6pp = flag(16, "the deepest state, of gen6")
    rc6p = flag(17, "the deeper state, of gen6")
    rc6 = flag(18, "RC6")
    rc1e = flag(20, "RC1e")
    rc7 = flag(22, "RC7")
    evaluation_interval = flag(27, "decide by the evaluation interval")
    timeout = flag(28, "decide by a time-out")
    hardware = flag(31, "hardware enters and leaves the states by itself")


class RcState(Bits):
    """Sleep state that software asks for."""

    target = uint(16, 3, "sleep state to enter")


class PowerGateEnable(Bits):
    """Which parts may be switched off separately (gen9)."""

    render = flag(0, "the render engine")
    media = flag(1, "the media engines")


class CoreStatus(Bits):
    """How deep the GT sleeps."""

    rc_state = uint(0, 3, "0 awake, 2 RC3, 3 RC6, 4 RC7")
    cpd_state = uint(4, 3, "state of the power-down sequence; 0 is fully on")


class GtStandby(RegisterBlock, source=SOURCE):
    """Sleep states of the GT (RC6). The native driver sets them up; a guest leaves them alone, because the GPU is not its own to put to sleep."""

    rc6_location = Register(0xD40, Rc6Context, "where state is kept during sleep", kernel_name="RC6_LOCATION")
    rc6_ctx_base = Register(0xD48, int, "address of the state kept during sleep, bits 31:4 (Broxton)", unit="bytes", kernel_name="RC6_CTX_BASE")
    rc6_ctx_info = Register(
        0x8504, int,
        "reads 0 when the state kept during sleep was corrupted; the native driver then gives up runtime sleep",
        Access.READ_ONLY, kernel_name="GEN8_RC6_CTX_INFO",
    )  # fmt: skip
    rc_control = Register(0xA090, RcControl, "which sleep states hardware may enter", kernel_name="GEN6_RC_CONTROL")
    rc_state = Register(0xA094, RcState, "sleep state that software asks for", kernel_name="GEN6_RC_STATE")
    rc1_wake_rate_limit = Register(0xA098, int, "fewest time between two wakes from RC1", kernel_name="GEN6_RC1_WAKE_RATE_LIMIT")
    rc6_wake_rate_limit = Register(0xA09C, int, "fewest time between two wakes from RC6", kernel_name="GEN6_RC6_WAKE_RATE_LIMIT")
    rc6pp_wake_rate_limit = Register(0xA0A0, int, "fewest time between two wakes from RC6pp", kernel_name="GEN6_RC6pp_WAKE_RATE_LIMIT")
    rc_evaluation_interval = Register(
        0xA0A8, int,
        "interval over which idleness is judged",
        unit="1.28 us", kernel_name="GEN6_RC_EVALUATION_INTERVAL",
    )  # fmt: skip
    rc_idle_hysteresis = Register(0xA0AC, int, "how long the GT must be idle at all", unit="1.28 us", kernel_name="GEN6_RC_IDLE_HYSTERSIS")
    rc_sleep = Register(0xA0B0, int, "delay before sleep", kernel_name="GEN6_RC_SLEEP")
    rc1e_threshold = Register(0xA0B4, int, "idleness that leads to RC1e", unit="1.28 us", kernel_name="GEN6_RC1e_THRESHOLD")
    rc6_threshold = Register(0xA0B8, int, "idleness that leads to RC6", unit="1.28 us", kernel_name="GEN6_RC6_THRESHOLD")
    rc6p_threshold = Register(0xA0BC, int, "idleness that leads to RC6p", unit="1.28 us", kernel_name="GEN6_RC6p_THRESHOLD")
    rc6pp_threshold = Register(0xA0C0, int, "idleness that leads to RC6pp", unit="1.28 us", kernel_name="GEN6_RC6pp_THRESHOLD")
    media_pg_idle_hysteresis = Register(
        0xA0C4, int,
        "how long the media engines must be idle to be switched off (gen9)",
        kernel_name="GEN9_MEDIA_PG_IDLE_HYSTERESIS",
    )  # fmt: skip
    render_pg_idle_hysteresis = Register(
        0xA0C8, int,
        "how long the render engine must be idle to be switched off (gen9)",
        kernel_name="GEN9_RENDER_PG_IDLE_HYSTERESIS",
    )  # fmt: skip
    pg_enable = Register(0xA210, PowerGateEnable, "which parts may be switched off separately (gen9)", kernel_name="GEN9_PG_ENABLE")
    thread_status = Register(
        0x13805C, int,
        "cores that run, in bits 2:0; the mediator shows 0 after a reset",
        Access.READ_ONLY, kernel_name="GEN6_GT_THREAD_STATUS_REG",
    )  # fmt: skip
    core_status = Register(
        0x138060, CoreStatus,
        "how deep the GT sleeps; the mediator shows 0, awake, after a reset",
        Access.READ_ONLY, kernel_name="GEN6_GT_CORE_STATUS",
    )  # fmt: skip
    rc6_locked = Register(0x138104, int, "time asleep with the state locked", Access.READ_ONLY, unit="1.28 us", kernel_name="GEN6_GT_GFX_RC6_LOCKED")
    rc6_residency = Register(0x138108, int, "time asleep in RC6", Access.READ_ONLY, unit="1.28 us", kernel_name="GEN6_GT_GFX_RC6")
    rc6p_residency = Register(0x13810C, int, "time asleep in RC6p", Access.READ_ONLY, unit="1.28 us", kernel_name="GEN6_GT_GFX_RC6p")
    rc6pp_residency = Register(0x138110, int, "time asleep in RC6pp", Access.READ_ONLY, unit="1.28 us", kernel_name="GEN6_GT_GFX_RC6pp")


# ---- frequency ----


class FrequencyRequest(Bits):
    """The frequency that software asks for; each generation has its own place for the ratio."""

    ratio = uint(23, 9, "frequency, gen9", unit="50/3 MHz")


class FrequencyStatus(Bits):
    """The frequency in effect; each generation has its own place for the ratio."""

    ratio_gen8 = uint(7, 7, "frequency, gen8", unit="50 MHz")
    ratio = uint(23, 9, "frequency, gen9", unit="50/3 MHz")


class FrequencyControl(Bits):
    """How hardware judges whether the frequency should change."""

    down_mode = uint(0, 3, "what counts towards a lower frequency: 1 idle all the time, 2 idle on average")
    up_mode = uint(3, 3, "what counts towards a higher frequency: 1 least idle, 2 busy on average, 4 busy all the time")
    enable = flag(7, "judge at all")
    media_is_graphics = flag(8, "media follows the graphics frequency")
    media_mode = uint(9, 2, "media: 0 by software, 1 and 2 by hardware, 3 by hardware beyond the guaranteed frequency")
    media_turbo = flag(11, "media may exceed the guaranteed frequency")


class FrequencyCapability(Bits):
    """Range of frequencies of the part. 0 as a whole switches all frequency scaling off."""

    rp0 = uint(0, 8, "highest frequency", unit="50 MHz", source=MCHBAR_SOURCE)
    rp1 = uint(8, 8, "guaranteed frequency", unit="50 MHz", source=MCHBAR_SOURCE)
    rpn = uint(16, 8, "lowest frequency", unit="50 MHz", source=MCHBAR_SOURCE)


class PowerInterruptMask(Bits):
    """Which frequency events the hardware does not even report to the interrupt group."""

    events = uint(0, 9, "frequency events, by the bits of PowerInterrupt")
    always_running_timer = flag(9, "expiry of the always running timer")
    redirect_to_guc_disable = flag(31, "events go to the driver, not to the micro-controller")


class GtFrequency(RegisterBlock, source=SOURCE):
    """Frequency of the GT (RPS). Everything here is plain storage for a vGPU: the host sets the frequency."""

    request = Register(0xA008, FrequencyRequest, "frequency that software asks for", kernel_name="GEN6_RPNSWREQ")
    video_frequency = Register(0xA00C, int, "frequency while video is decoded", kernel_name="GEN6_RC_VIDEO_FREQ")
    down_timeout = Register(0xA010, int, "idle time after which the frequency falls", unit="1.28 us", kernel_name="GEN6_RP_DOWN_TIMEOUT")
    interrupt_limits = Register(
        0xA014, int,
        "frequencies beyond which hardware stops asking for more or less",
        kernel_name="GEN6_RP_INTERRUPT_LIMITS",
    )  # fmt: skip
    status = Register(0xA01C, FrequencyStatus, "frequency in effect", Access.READ_ONLY, kernel_name="GEN6_RPSTAT1")
    control = Register(0xA024, FrequencyControl, "how hardware judges", kernel_name="GEN6_RP_CONTROL")
    up_threshold = Register(0xA02C, int, "busy time per interval that asks for more", unit="1.28 us", kernel_name="GEN6_RP_UP_THRESHOLD")
    down_threshold = Register(0xA030, int, "busy time per interval below which less will do", unit="1.28 us", kernel_name="GEN6_RP_DOWN_THRESHOLD")
    current_up_interval = Register(0xA050, int, "progress of the interval that asks for more", Access.READ_ONLY, kernel_name="GEN6_RP_CUR_UP_EI")
    current_up = Register(0xA054, int, "busy time in it", Access.READ_ONLY, kernel_name="GEN6_RP_CUR_UP")
    previous_up = Register(0xA058, int, "busy time in the one before", Access.READ_ONLY, kernel_name="GEN6_RP_PREV_UP")
    current_down_interval = Register(0xA05C, int, "progress of the interval that asks for less", Access.READ_ONLY, kernel_name="GEN6_RP_CUR_DOWN_EI")
    current_down = Register(0xA060, int, "busy time in it", Access.READ_ONLY, kernel_name="GEN6_RP_CUR_DOWN")
    previous_down = Register(0xA064, int, "busy time in the one before", Access.READ_ONLY, kernel_name="GEN6_RP_PREV_DOWN")
    up_interval = Register(0xA068, int, "length of the interval that asks for more", unit="1.28 us", kernel_name="GEN6_RP_UP_EI")
    down_interval = Register(0xA06C, int, "length of the interval that asks for less", unit="1.28 us", kernel_name="GEN6_RP_DOWN_EI")
    idle_hysteresis = Register(0xA070, int, "evaluations that must agree before the frequency changes", kernel_name="GEN6_RP_IDLE_HYSTERSIS")
    interrupt_mask = Register(0xA168, PowerInterruptMask, "frequency events that are not reported", kernel_name="GEN6_PMINTRMSK")
    state_cap = Register(
        0x145998, FrequencyCapability,
        "range of frequencies; in gen9 parts the driver converts the 50 MHz steps to its own of 50/3 MHz",
        Access.READ_ONLY, kernel_name="GEN6_RP_STATE_CAP", source=MCHBAR_SOURCE,
    )  # fmt: skip
