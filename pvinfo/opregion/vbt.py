"""The video BIOS table (VBT): which displays a machine has, and how they are wired.

A header, and behind it the BIOS data blocks (BDB): a header of their own, then one block after another, each with its number and
length in front. What a block or one of its fields means depends on the BDB's version.

Source: linux:drivers/gpu/drm/i915/display/intel_vbt_defs.h
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ..bits import Bits, choice, flag, uint
from ..wire import Codec, raw, reserved, u8, u16, u32

__all__ = (
    "BDB_HEADER",
    "BDB_SIGNATURE",
    "BLOCK_HEADER",
    "CHILD_DEVICE",
    "DEVICE_TYPE_DISPLAYPORT",
    "DEVICE_TYPE_HDMI",
    "DRIVER_FEATURES",
    "GENERAL_DEFINITIONS",
    "GENERAL_FEATURES",
    "VBT_HEADER",
    "VBT_SIGNATURE",
    "AuxChannel",
    "BdbHeader",
    "BlockHeader",
    "BlockId",
    "ChildDevice",
    "ChildFlags",
    "ChildPipe",
    "DeviceHandle",
    "DeviceType",
    "DriverFeatures",
    "DvoPort",
    "ExtendedDriverBits",
    "FeatureFlags",
    "GeneralDefinitions",
    "GeneralFeatures",
    "HdmiRate",
    "LvdsConfiguration",
    "VbtHeader",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_vbt_defs.h"

VBT_SIGNATURE: Final = b"$VBT"
BDB_SIGNATURE: Final = b"BIOS_DATA_BLOCK"


class VbtHeader(NamedTuple):
    """What the VBT begins with."""

    signature: Annotated[bytes, raw(20, "$VBT, then a name of the platform as some firmware has it")]
    version: Annotated[int, u16("version of this header, times 100")]
    header_size: Annotated[int, u16("length of this header", unit="bytes")]
    vbt_size: Annotated[int, u16("length of the whole, data blocks included", unit="bytes")]
    vbt_checksum: Annotated[int, u8("what makes the sum of all bytes of the VBT a multiple of 256; no driver looks")]
    reserved0: Annotated[int, u8("0")]
    bdb_offset: Annotated[int, u32("where the BDB header stands, from the start of the VBT", unit="bytes")]
    aim_offset: Annotated[bytes, reserved(16, "where add-in modules stand; 0: there are none")]


class BdbHeader(NamedTuple):
    """What the data blocks begin with."""

    signature: Annotated[bytes, raw(16, "BIOS_DATA_BLOCK, then a zero or a blank")]
    version: Annotated[int, u16("version of the blocks: fields have their meaning from some version on")]
    header_size: Annotated[int, u16("length of this header", unit="bytes")]
    bdb_size: Annotated[int, u16("length of this header and all blocks", unit="bytes")]


class BlockId(IntEnum):
    """What a data block is about."""

    GENERAL_FEATURES = 1
    GENERAL_DEFINITIONS = 2
    DISPLAY_TOGGLE = 3
    MODE_SUPPORT_LIST = 4
    GENERIC_MODE_TABLE = 5
    PSR = 9
    MODE_REMOVAL_TABLE = 10
    CHILD_DEVICE_TABLE = 11
    DRIVER_FEATURES = 12
    DRIVER_PERSISTENCE = 13
    DOT_CLOCK_OVERRIDE = 15
    DRIVER_ROTATION = 18
    OEM_CUSTOM = 20
    EFP_LIST = 21
    SDVO_LVDS_OPTIONS = 22
    SDVO_LVDS_DTD = 23
    TV_OPTIONS = 26
    EDP = 27
    EFP_DTD = 28
    LFP_OPTIONS = 40
    LFP_DATA_PTRS = 41
    LFP_DATA = 42
    LFP_BACKLIGHT = 43
    LFP_POWER = 44
    EDP_BFI = 45
    CHROMATICITY = 46
    FIXED_SET_MODE = 51
    MIPI_CONFIG = 52
    MIPI_SEQUENCE = 53
    RGB_PALETTE = 54
    COMPRESSION_PARAMETERS = 56
    VSWING_PREEMPHASIS = 57
    GENERIC_DTD = 58


class BlockHeader(NamedTuple):
    """What stands in front of each data block."""

    id: Annotated[int, u8("what it is about, see BlockId")]
    size: Annotated[int, u16("length of what follows", unit="bytes")]


class FeatureFlags(Bits):
    """Which outputs the machine has apart from child devices: byte 5 of block 1."""

    analog = flag(0, "a VGA connector; the driver believes it from version 155 on, where it has DDI ports")
    tv = flag(1, "a TV connector")
    external_panel = flag(2, "an external flat panel")
    dp_ssc_enable = flag(3, "spread spectrum for a panel behind the south bridge")
    dp_ssc_frequency = flag(4, "its frequency")
    dp_ssc_dongle = flag(5, "spread spectrum with an adapter too")


class GeneralFeatures(NamedTuple):
    """Block 1: the machine as a whole."""

    panel_bits: Annotated[int, u8("panel fitting, clearing of the screen, colours")]
    clock_bits: Annotated[int, u8("spread spectrum and clocks; bit 1 for panels, bit 2 its frequency, bit 6 the display clock's mode")]
    timing_bits: Annotated[int, u8("bit 2: the panel is built in upside down (181 and later); bit 3: polarity of the link to the south bridge")]
    legacy_monitor_detect: Annotated[int, u8("how monitors of old are looked for")]
    outputs: Annotated[FeatureFlags, u8("outputs apart from child devices")]
    hpd_retry_timeout: Annotated[int, u8("patience at hot plug of a type C port (242 and later)")]
    afc_startup: Annotated[int, u8("frequency control of a type C port (249 and later)")]


class GeneralDefinitions(NamedTuple):
    """Block 2 up to the child devices that follow, as many as the block has room for."""

    crt_ddc_gmbus_pin: Annotated[int, u8("GMBUS pin pair of the VGA connector; the driver ignores one that does not exist")]
    dpms_bits: Annotated[int, u8("power saving of monitors")]
    boot_display: Annotated[int, u16("displays to boot with, by handle")]
    child_dev_size: Annotated[int, u8("length of a child device: 33 up to version 194, 37 in 195, 38 from 196 on", unit="bytes")]


class DeviceHandle(IntEnum):
    """Name of a display in lists of displays, before version 215."""

    CRT = 0x01
    TV = 0x02
    EFP1 = 0x04
    LFP1 = 0x08
    EFP4 = 0x10
    EFP3 = 0x20
    EFP2 = 0x40
    LFP2 = 0x80


class DeviceType(Bits):
    """What kind of display it is: the bits by which the driver decides which connectors a port gets."""

    analog = flag(0, "analog output")
    digital = flag(1, "digital output")
    displayport = flag(2, "DisplayPort: the port gets a DP connector (an eDP connector if it is internal)")
    video = flag(3, "video signals")
    tmds = flag(4, "DVI or HDMI: the port gets an HDMI connector, except port A, which has none")
    lvds = flag(5, "LVDS")
    high_speed = flag(6, "high speed link")
    dual_channel = flag(8, "two channels")
    composite = flag(9, "composite video")
    mipi = flag(10, "MIPI")
    not_hdmi = flag(11, "no HDMI: with tmds, DVI only")
    internal = flag(12, "built into the machine")
    hotplug = flag(13, "it signals hot plug")
    power_management = flag(14, "its power can be managed")
    class_extension = flag(15, "extended_type says more")


DEVICE_TYPE_DISPLAYPORT: Final = DeviceType(0x68C6)
"""An external DisplayPort, and nothing else."""
DEVICE_TYPE_HDMI: Final = DeviceType(0x60D2)
"""An external HDMI connector, and nothing else."""


class DvoPort(IntEnum):
    """Which port a display is at, and which of its signals it takes. Ports E from version 193 on."""

    HDMI_A = 0
    HDMI_B = 1
    HDMI_C = 2
    HDMI_D = 3
    LVDS = 4
    TV = 5
    CRT = 6
    DP_B = 7
    DP_C = 8
    DP_D = 9
    DP_A = 10
    DP_E = 11
    HDMI_E = 12


class AuxChannel(IntEnum):
    """The AUX channel of a DisplayPort. 0: the port's own."""

    PLATFORM_DEFAULT = 0
    B = 0x10
    C = 0x20
    D = 0x30
    A = 0x40
    E = 0x50


class HdmiRate(Bits):
    """How an HDMI output is driven."""

    level_shifter = uint(0, 5, "entry of the driver's table of signal levels (158 and later)")
    max_data_rate = uint(5, 3, "limit of the TMDS clock (204 and later): 0 the platform's, 1 297 MHz, 2 165 MHz")


class ChildFlags(Bits):
    """What a display at a digital port is and how it is wired (158 and later)."""

    efp_routed = flag(0, "it goes through the dock")
    lane_reversal = flag(1, "its lanes are in reverse order (184 and later)")
    lspcon = flag(2, "a converter from DisplayPort to HDMI is built in (192 and later)")
    iboost = flag(3, "it needs more current (196 and later)")
    hpd_invert = flag(4, "its hot plug signal is inverted (196 and later)")
    hdmi_support = flag(8, "HDMI works here")
    dp_support = flag(9, "DisplayPort works here")
    tmds_support = flag(10, "DVI works here")


class ChildPipe(Bits):
    """Where the picture may come from."""

    pipe_capability = uint(0, 2, "which pipes")
    sdvo_stall = flag(2, "SDVO stalls")
    hpd_status = uint(3, 2, "hot plug at boot")
    integrated_encoder = flag(5, "the encoder is in the GPU")


class ChildDevice(NamedTuple):
    """A display of block 2. Later versions append fields."""

    handle: Annotated[int, u16("its name in lists of displays, see DeviceHandle; the driver does not look")]
    device_type: Annotated[DeviceType, u16("what kind of display it is; 0: this entry is empty")]
    i2c_speed: Annotated[int, u8("speed of its identification bus")]
    dp_onboard_redriver: Annotated[int, u8("signal levels of an amplifier on the board")]
    dp_ondock_redriver: Annotated[int, u8("signal levels of an amplifier in the dock")]
    hdmi_rate: Annotated[HdmiRate, u8("how an HDMI output is driven")]
    dtd_buf_ptr: Annotated[int, u16("a fixed mode for it, as an offset; 0: none")]
    edidless: Annotated[int, u8("bit 0: it has no EDID, use the fixed mode (161 and later); other bits: compression")]
    compression_index: Annotated[int, u8("compression parameters (198 and later)")]
    frl_rate: Annotated[int, u8("rate of HDMI 2.1 (237 and later)")]
    reserved5: Annotated[int, u8("0")]
    addin_offset: Annotated[int, u16("add-in module for it; 0: none")]
    dvo_port: Annotated[int, u8("its port, see DvoPort")]
    i2c_pin: Annotated[int, u8("pin pair of an add-in card's encoder")]
    target_addr: Annotated[int, u8("address of an add-in card's encoder")]
    ddc_pin: Annotated[int, u8("how GMBUS reaches its EDID, in the platform's numbers; 0: the driver's own choice for the port")]
    edid_ptr: Annotated[int, u16("an EDID for it, as an offset; 0: none")]
    dvo_cfg: Annotated[int, u8("width of an add-in card's bus")]
    flags: Annotated[ChildFlags, u16("what it is and how it is wired")]
    aux_channel: Annotated[int, u8("its AUX channel, see AuxChannel")]
    dongle_detect: Annotated[int, u8("how adapters are found")]
    pipe: Annotated[ChildPipe, u8("where the picture may come from")]
    dvo_wiring: Annotated[int, u8("wiring of an add-in card")]
    mipi_bridge_type: Annotated[int, u8("which MIPI bridge (171 and later)")]
    extended_type: Annotated[int, u16("more of its type")]
    dvo_function: Annotated[int, u8("function of an add-in card")]


class LvdsConfiguration(IntEnum):
    """How a built-in panel is connected. The driver takes anything but INTEGRATED for no such panel."""

    NONE = 0
    INTEGRATED = 1
    SDVO = 2
    INTEGRATED_SDVO = 3


class ExtendedDriverBits(Bits):
    """Policies, and how a built-in panel is connected."""

    enable_lfp_primary = flag(0, "the built-in panel comes first")
    selective_mode_pruning = flag(1, "some modes are left out")
    dual_frequency = flag(2, "two frequencies of the render clock")
    render_clock_low = flag(3, "the render clock is the low one")
    nt_clone = flag(4, "clone support of Windows NT")
    power_scheme_ui = flag(5, "who shows power schemes")
    sprite_assign = flag(6, "which display has the sprite")
    cui_aspect_scaling = flag(7, "scaling keeps the aspect, by user interface")
    preserve_aspect_ratio = flag(8, "scaling keeps the aspect")
    sdvo_power_down = flag(9, "SDVO devices are powered down")
    crt_hotplug = flag(10, "hot plug of VGA")
    lvds_config = choice(11, 2, LvdsConfiguration, "how a built-in panel is connected")
    tv_hotplug = flag(13, "hot plug of TV")
    hdmi_config = uint(14, 2, "how HDMI is connected")


class DriverFeatures(NamedTuple):
    """Block 12: what the driver is to do."""

    driver_bits: Annotated[int, u8("how displays are chosen at boot, and switched")]
    boot_mode_x: Annotated[int, u16("width of the mode to boot with", unit="pixels")]
    boot_mode_y: Annotated[int, u16("height of the mode to boot with", unit="lines")]
    boot_mode_bpp: Annotated[int, u8("depth of the mode to boot with", unit="bits per pixel")]
    boot_mode_refresh: Annotated[int, u8("rate of the mode to boot with", unit="Hz")]
    extended: Annotated[ExtendedDriverBits, u16("policies, and how a built-in panel is connected")]
    driver_flags: Annotated[int, u8("kind of system (163 and later)")]
    legacy_crt_max_x: Annotated[int, u16("widest mode of VGA", unit="pixels")]
    legacy_crt_max_y: Annotated[int, u16("highest mode of VGA", unit="lines")]
    legacy_crt_max_refresh: Annotated[int, u8("fastest mode of VGA", unit="Hz")]
    extended2: Annotated[int, u8("HDMI termination, HDMI after CEA 861-D, self refresh")]
    custom_vbt_version: Annotated[int, u8("who changed this VBT")]
    feature_flags: Annotated[int, u16("ways to save power (159 to 228): bit 5 lower refresh, bit 9 panel self refresh")]


VBT_HEADER: Final = Codec(VbtHeader, doc="header of the VBT", source=SOURCE, size=48)
BDB_HEADER: Final = Codec(BdbHeader, doc="header of the VBT's data blocks", source=SOURCE, size=22)
BLOCK_HEADER: Final = Codec(BlockHeader, doc="header of one data block", source=SOURCE, size=3)
GENERAL_FEATURES: Final = Codec(GeneralFeatures, doc="data block 1", source=SOURCE, size=7)
GENERAL_DEFINITIONS: Final = Codec(GeneralDefinitions, doc="data block 2, before its child devices", source=SOURCE, size=5)
CHILD_DEVICE: Final = Codec(ChildDevice, doc="a child device of data block 2", source=SOURCE, size=33)
DRIVER_FEATURES: Final = Codec(DriverFeatures, doc="data block 12", source=SOURCE, size=19)
