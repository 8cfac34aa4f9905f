"""An OpRegion that declares certain connectors, as the mediator gives its guests one.

Header, versions and order of the blocks are those of the kernel's mediator, whose OpRegion is this one with DisplayPort at A to D,
up to the checksum, which it leaves out. A guest's driver makes exactly the connectors that the child devices say.

Source: linux:drivers/gpu/drm/i915/gvt/opregion.c; of HDMI, linux:drivers/gpu/drm/i915/display/intel_bios.c
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..connector import Connector, Link, Port
from ..errors import UsageError
from ..platform import Platform
from .region import OPREGION, OPREGION_SIGNATURE, OPREGION_SIZE, LidState, MailboxFlags, OpRegionVersion
from .vbt import (
    BDB_HEADER,
    BDB_SIGNATURE,
    BLOCK_HEADER,
    CHILD_DEVICE,
    DEVICE_TYPE_DISPLAYPORT,
    DEVICE_TYPE_HDMI,
    DRIVER_FEATURES,
    GENERAL_DEFINITIONS,
    GENERAL_FEATURES,
    VBT_HEADER,
    VBT_SIGNATURE,
    AuxChannel,
    BdbHeader,
    BlockHeader,
    BlockId,
    ChildDevice,
    ChildFlags,
    ChildPipe,
    DeviceHandle,
    DvoPort,
    GeneralDefinitions,
    VbtHeader,
)

__all__ = ("build_vbt", "check_connectors", "opregion")

_OPREGION_VERSION: Final = OpRegionVersion.of(major=2)
_VBT_VERSION: Final = 155
_BDB_VERSION: Final = 186
"""The last with child devices of 33 bytes that Windows drivers of GVT-g know."""
_BDB_VERSION_PORT_E: Final = 193
"""The first with port E; child devices still have 33 bytes."""

_PORTS_OF: Final[dict[str, str]] = {"bxt": "ABC"}
"""Source: linux:drivers/gpu/drm/i915/display/intel_display_device.c"""
_ALL_PORTS: Final = "ABCDE"
_HDMI_PORTS: Final = "BCD"
"""HDMI takes four lanes; the driver makes no HDMI connector at A, and E shares its lanes with A.

Source: linux:drivers/gpu/drm/i915/display/intel_bios.c (sanitize_device_type), intel_ddi.c (intel_ddi_max_lanes)
"""

_HANDLES: Final = {
    Port.A: DeviceHandle.EFP1,
    Port.B: DeviceHandle.EFP2,
    Port.C: DeviceHandle.EFP3,
    Port.D: DeviceHandle.EFP4,
    Port.E: DeviceHandle.EFP1,
}
"""A and E are never there together."""

_AUX_CHANNELS: Final = {
    Port.A: AuxChannel.A,
    Port.B: AuxChannel.B,
    Port.C: AuxChannel.C,
    Port.D: AuxChannel.D,
    Port.E: AuxChannel.A,
}
"""There is no AUX channel E. Source: linux:drivers/gpu/drm/i915/display/intel_dp_aux.c (default_aux_ch)"""

_GMBUS_PINS: Final = {Port.B: 5, Port.C: 4, Port.D: 6}
"""Source: linux:drivers/gpu/drm/i915/display/intel_gmbus.h"""
_DDC_PINS: Final[dict[str, dict[Port, int]]] = {
    "bxt": {Port.B: 1, Port.C: 2},
    "cfl": {Port.B: 1, Port.C: 2, Port.D: 3},
}
"""Where the VBT's numbers are others: Broxton has other pins, and the driver translates for the south bridge of Coffee Lake.

Source: linux:drivers/gpu/drm/i915/display/intel_bios.c (cnp_ddc_pin_map), intel_gmbus.h
"""


def check_connectors(connectors: Sequence[Connector], platform: Platform) -> None:
    """Raises: UsageError for connectors that no machine of the platform has, naming the rule that they break."""
    ports = _PORTS_OF.get(platform.name, _ALL_PORTS)
    seen: set[Port] = set()
    for connector in connectors:
        port = connector.port
        if port.value not in ports:
            raise UsageError(f"connector {connector}: {platform.title} has ports {', '.join(ports)}")
        if connector.link is Link.HDMI and port.value not in _HDMI_PORTS:
            fitting = [name for name in _HDMI_PORTS if name in ports]
            raise UsageError(f"connector {connector}: no HDMI at port {port.value}, only at {', '.join(fitting)}")
        if port in seen:
            raise UsageError(f"connector {connector}: port {port.value} is taken by another; a port has one connector")
        seen.add(port)
    if {Port.A, Port.E} <= seen:
        raise UsageError("connectors at A and E: both would need AUX channel A")


def _child(connector: Connector, platform: Platform) -> ChildDevice:
    port = connector.port
    child = CHILD_DEVICE.unpack_from(bytes(CHILD_DEVICE.size))._replace(
        handle=_HANDLES[port], pipe=ChildPipe.of(integrated_encoder=True)
    )
    if connector.link is Link.DISPLAYPORT:
        return child._replace(
            device_type=DEVICE_TYPE_DISPLAYPORT,
            dvo_port=DvoPort[f"DP_{port.value}"],
            aux_channel=_AUX_CHANNELS[port],
            flags=ChildFlags.of(dp_support=True),
        )
    return child._replace(
        device_type=DEVICE_TYPE_HDMI,
        dvo_port=DvoPort[f"HDMI_{port.value}"],
        ddc_pin=_DDC_PINS.get(platform.name, _GMBUS_PINS)[port],
        flags=ChildFlags.of(hdmi_support=True, tmds_support=True),
    )


def _block(number: BlockId, data: bytes) -> bytes:
    return BLOCK_HEADER.pack(BlockHeader(number, len(data))) + data


def build_vbt(connectors: Sequence[Connector], platform: Platform) -> bytes:
    """A VBT with a child device for each of ``connectors``, in order, and nothing else.

    Raises: UsageError as :func:`check_connectors`.
    """
    check_connectors(connectors, platform)
    definitions = GENERAL_DEFINITIONS.pack(GeneralDefinitions(0, 0, 0, CHILD_DEVICE.size))
    children = b"".join(CHILD_DEVICE.pack(_child(connector, platform)) for connector in connectors)
    blocks = (
        _block(BlockId.GENERAL_FEATURES, bytes(GENERAL_FEATURES.size))
        + _block(BlockId.GENERAL_DEFINITIONS, definitions + children)
        + _block(BlockId.DRIVER_FEATURES, bytes(DRIVER_FEATURES.size))
    )
    version = _BDB_VERSION_PORT_E if any(connector.port is Port.E for connector in connectors) else _BDB_VERSION
    bdb = BDB_HEADER.pack(BdbHeader(BDB_SIGNATURE.ljust(16, b"\0"), version, BDB_HEADER.size, BDB_HEADER.size + len(blocks))) + blocks
    header = VbtHeader(
        signature=VBT_SIGNATURE.ljust(20, b"\0"),
        version=_VBT_VERSION,
        header_size=VBT_HEADER.size,
        vbt_size=VBT_HEADER.size + len(bdb),
        vbt_checksum=0,
        reserved0=0,
        bdb_offset=VBT_HEADER.size,
        aim_offset=bytes(16),
    )
    checksum = -sum(VBT_HEADER.pack(header) + bdb) & 0xFF
    return VBT_HEADER.pack(header._replace(vbt_checksum=checksum)) + bdb


def opregion(connectors: Sequence[Connector], platform: Platform) -> bytes:
    """8192 bytes: an OpRegion whose VBT declares exactly ``connectors``; none at all makes a machine without display.

    Raises: UsageError as :func:`check_connectors`.
    """
    blank = OPREGION.unpack_from(bytes(OPREGION_SIZE))
    header = blank.header._replace(
        signature=OPREGION_SIGNATURE, size=OPREGION_SIZE // 1024, version=_OPREGION_VERSION, mailboxes=MailboxFlags.of(vbt=True)
    )
    return OPREGION.pack(
        blank._replace(
            header=header,
            acpi=blank.acpi._replace(clid=LidState.OPEN),
            vbt=build_vbt(connectors, platform).ljust(len(blank.vbt), b"\0"),
        )
    )
