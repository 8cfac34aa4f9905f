"""The OpRegion as a whole: its header, its mailboxes, and where they stand.

Eight kibibytes of reserved memory in which firmware and the display driver leave each other messages. The driver finds them by
the ASLS register of configuration space. The mediator's OpRegion has only one mailbox, the one with the VBT.

Source: linux:drivers/gpu/drm/i915/display/intel_opregion.c
"""

from __future__ import annotations

from enum import IntEnum
from typing import Annotated, Final, NamedTuple

from ..bits import Bits, choice, flag, uint
from ..wire import Codec, array, nested, raw, reserved, u16, u32, u64

__all__ = (
    "OPREGION",
    "OPREGION_SIGNATURE",
    "OPREGION_SIZE",
    "VBT_OFFSET",
    "AcpiMailbox",
    "AsleCommand",
    "AsleExtensionMailbox",
    "AsleMailbox",
    "DisplayIdentifier",
    "DutyCycle",
    "ExitStatus",
    "LidState",
    "MailboxFlags",
    "OpRegion",
    "OpRegionHeader",
    "OpRegionVersion",
    "PlatformConfiguration",
    "SoftwareSciCommand",
    "SoftwareSciFunction",
    "SoftwareSciMailbox",
)

SOURCE: Final = "linux:drivers/gpu/drm/i915/display/intel_opregion.c"

OPREGION_SIGNATURE: Final = b"IntelGraphicsMem"
OPREGION_SIZE: Final = 8192


class OpRegionVersion(Bits):
    """Version of the layout."""

    revision = uint(8, 8, "revision")
    minor = uint(16, 8, "minor version")
    major = uint(24, 8, "major version: 1, 2 or 3; from 2 on the VBT may stand elsewhere, from 3 on mailbox 2 is another one")


class MailboxFlags(Bits):
    """Which mailboxes there are."""

    acpi = flag(0, "mailbox 1: methods of the firmware's tables")
    swsci = flag(1, "mailbox 2: calls of the firmware, by an SCI; the driver ignores it from version 3 on")
    asle = flag(2, "mailbox 3: requests of the firmware, such as backlight")
    vbt = flag(3, "mailbox 4: the VBT; the driver looks for one whether this is set or not")
    asle_extension = flag(4, "mailbox 5: identification of the panel")
    backlight = flag(5, "mailbox 2 is for the backlight")


class PlatformConfiguration(Bits):
    """What kind of machine it is."""

    headless = flag(13, "it has no display at all")


class OpRegionHeader(NamedTuple):
    """What the OpRegion begins with."""

    signature: Annotated[bytes, raw(16, "IntelGraphicsMem: the driver looks no further without it")]
    size: Annotated[int, u32("length of the whole, 8", unit="KiB")]
    version: Annotated[OpRegionVersion, u32("version of the layout")]
    bios_version: Annotated[bytes, raw(32, "version of the firmware, as text")]
    vbios_version: Annotated[bytes, raw(16, "version of its video part, as text")]
    driver_version: Annotated[bytes, raw(16, "version of the driver, as text")]
    mailboxes: Annotated[MailboxFlags, u32("which mailboxes there are")]
    driver_model: Annotated[int, u32("what the driver can do")]
    platform_configuration: Annotated[PlatformConfiguration, u32("what kind of machine it is")]
    gop_version: Annotated[bytes, raw(32, "version of the firmware's graphics driver, as text in 16-bit characters")]
    rsvd: Annotated[bytes, reserved(124)]


class DisplayIdentifier(NamedTuple):
    """A display, as the firmware's tables number them."""

    value: Annotated[int, u32("identifier after ACPI's rules, 0 behind the last")]


class LidState(IntEnum):
    """Whether a notebook is open: the low bit; the other one says that the state is valid."""

    UNKNOWN = 0
    CLOSED = 2
    OPEN = 3


class AcpiMailbox(NamedTuple):
    """Mailbox 1: what the methods of the firmware's tables and the driver tell each other."""

    drdy: Annotated[int, u32("the driver is ready")]
    csts: Annotated[int, u32("how far a notification has come: 0 done, 1 sent, 2 received")]
    cevt: Annotated[int, u32("event of the notification; bit 0: the display switch key")]
    rsvd1: Annotated[bytes, reserved(20)]
    didl: Annotated[tuple[DisplayIdentifier, ...], array(8, "displays that the driver supports")]
    cpdl: Annotated[tuple[DisplayIdentifier, ...], array(8, "displays that are attached")]
    cadl: Annotated[tuple[DisplayIdentifier, ...], array(8, "displays that are on")]
    nadl: Annotated[tuple[DisplayIdentifier, ...], array(8, "displays that are to be on next")]
    aslp: Annotated[int, u32("how long the firmware waits for the driver", unit="ms")]
    tidx: Annotated[int, u32("entry of the table by which displays are switched")]
    chpd: Annotated[int, u32("1: the driver handles hot plug itself")]
    clid: Annotated[int, u32("lid: see LidState; a Windows guest waits while it is closed")]
    cdck: Annotated[int, u32("1: in its dock")]
    sxsw: Annotated[int, u32("displays may change when the machine wakes up")]
    evts: Annotated[int, u32("events that the firmware knows")]
    cnot: Annotated[int, u32("notification of the operating system")]
    nrdy: Annotated[int, u32("status of the driver")]
    did2: Annotated[tuple[DisplayIdentifier, ...], array(7, "more displays that the driver supports")]
    cpd2: Annotated[tuple[DisplayIdentifier, ...], array(7, "more displays that are attached")]
    rsvd2: Annotated[bytes, reserved(4)]


class SoftwareSciFunction(IntEnum):
    """Main function of a call."""

    GET_BIOS_DATA = 4
    SYSTEM_BIOS_CALLBACKS = 6


class ExitStatus(IntEnum):
    """How a call ended."""

    FAILURE = 0
    SUCCESS = 1


class SoftwareSciCommand(Bits):
    """A call of the firmware, and what became of it."""

    indicator = flag(0, "the call is not done yet: the driver sets it, the firmware clears it")
    function = choice(1, 4, SoftwareSciFunction, "main function")
    exit_status = choice(5, 3, ExitStatus, "how it ended; anything but 1 is a failure")
    sub_function = uint(8, 8, "sub-function; 0 asks which sub-functions there are. Afterwards: a value for the caller")


class SoftwareSciMailbox(NamedTuple):
    """Mailbox 2 of versions 1 and 2: the driver calls the firmware."""

    scic: Annotated[SoftwareSciCommand, u32("the call")]
    parm: Annotated[int, u32("its argument, afterwards its result")]
    dslp: Annotated[int, u32("how long the driver waits; 0: 50", unit="ms")]
    rsvd: Annotated[bytes, reserved(244)]


class AsleCommand(Bits):
    """What the firmware wants of the driver."""

    als_illuminance = flag(0, "the ambient light has changed")
    backlight = flag(1, "set the backlight")
    panel_fitting = flag(2, "set the panel fitter")
    pwm_frequency = flag(3, "set the frequency of the backlight's modulation")
    rotation_angles = flag(4, "rotations are to be supported")
    button_array = flag(5, "a button was pressed")
    convertible = flag(6, "the machine became a slate or a clamshell")
    docking = flag(7, "it was docked or taken out")
    isct_state = flag(8, "it may connect while it sleeps")


class DutyCycle(NamedTuple):
    """A level of the backlight."""

    value: Annotated[int, u16("level and its duty cycle, in percent")]


class AsleMailbox(NamedTuple):
    """Mailbox 3: the firmware asks the driver, by a GSE interrupt."""

    ardy: Annotated[int, u32("the driver is ready")]
    aslc: Annotated[AsleCommand, u32("what the firmware wants; afterwards, what failed")]
    tche: Annotated[int, u32("what the driver may do: bits 0 ambient light, 1 backlight, 2 panel fitting, 3 modulation")]
    alsi: Annotated[int, u32("ambient light", unit="lux")]
    bclp: Annotated[int, u32("backlight to set, 0 to 255; bit 31: valid")]
    pfit: Annotated[int, u32("panel fitting to set; bit 31: valid")]
    cblv: Annotated[int, u32("backlight now, in percent; bit 31: valid")]
    bclm: Annotated[tuple[DutyCycle, ...], array(20, "duty cycles of the backlight's levels")]
    cpfm: Annotated[int, u32("panel fitting now")]
    epfm: Annotated[int, u32("panel fittings that there are")]
    plut: Annotated[bytes, raw(74, "colours of the panel, and which panel it is")]
    pfmb: Annotated[int, u32("modulation and lowest level of the backlight")]
    cddv: Annotated[int, u32("colour correction")]
    pcft: Annotated[int, u32("ways to save power")]
    srot: Annotated[int, u32("rotations that are supported")]
    iuer: Annotated[int, u32("buttons and states of a slate")]
    fdss: Annotated[int, u64("address of a frame buffer for the firmware")]
    fdsp: Annotated[int, u32("length of that frame buffer", unit="bytes")]
    stat: Annotated[int, u32("state of a change")]
    rvda: Annotated[int, u64("a VBT elsewhere: its address in version 2.0, its distance from the OpRegion from 2.1 on; 0: none")]
    rvds: Annotated[int, u32("its length", unit="bytes")]
    rsvd: Annotated[bytes, reserved(58)]


class AsleExtensionMailbox(NamedTuple):
    """Mailbox 5: what the firmware knows of the built-in panel."""

    phed: Annotated[int, u32("bits 1:0 set: bddc holds something")]
    bddc: Annotated[bytes, raw(256, "EDID of the panel")]
    rsvd: Annotated[bytes, reserved(764)]


class OpRegion(NamedTuple):
    """The whole OpRegion. Mailboxes that the header does not announce are zero, the lid in mailbox 1 aside."""

    header: Annotated[OpRegionHeader, nested("what it begins with")]
    acpi: Annotated[AcpiMailbox, nested("mailbox 1")]
    swsci: Annotated[SoftwareSciMailbox, nested("mailbox 2")]
    asle: Annotated[AsleMailbox, nested("mailbox 3")]
    vbt: Annotated[bytes, raw(6144, "mailbox 4: the video BIOS table; without mailbox 5 the driver lets it run on to the end")]
    asle_extension: Annotated[AsleExtensionMailbox, nested("mailbox 5")]


OPREGION: Final = Codec(OpRegion, doc="the OpRegion", source=SOURCE, size=OPREGION_SIZE)
VBT_OFFSET: Final = OPREGION.offset_of("vbt")
