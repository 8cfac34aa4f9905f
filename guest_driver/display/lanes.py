"""Lanes of a port: with what voltage they are driven, from tables kept as data.

Source: linux:drivers/gpu/drm/i915/display/intel_ddi.c, linux:drivers/gpu/drm/i915/display/intel_dpio_phy.c
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from pvinfo.connector import Link, Port
from pvinfo.errors import LayoutError
from pvinfo.registers import (
    BroxtonLaneControl,
    BroxtonPhyChannel,
    BroxtonPhyLane,
    BufferTranslation,
    DdiBufferTranslation,
    TransmitterBoost,
    TransmitterBoostRegister,
)

from ..uncore import Uncore

__all__ = ("BROXTON_CHANNELS", "drive_lanes", "prepare_lanes")

_HDMI_ENTRY: Final = 9
"""Of the port's table: the last is HDMI's."""
_COLUMNS: Final = ["platforms", "link", "level", "first", "second", "boost"]
_BROXTON_COLUMNS: Final = ["link", "level", "margin", "scale", "scaled", "deemphasis"]
_SWING_MASK: Final = 0xFFFF00
_SWING_CALCULATION: Final = 0xC000_0000
_DEEMPHASIS_MASK: Final = 0xFF00_0000

BROXTON_CHANNELS: Final = {Port.A: "PHY1_CH0", Port.B: "PHY0_CH0", Port.C: "PHY0_CH1"}
"""Which channel of which physical layer a port of Broxton has."""


class _Voltage(NamedTuple):
    level: int
    first: int
    second: int
    boost: int


class _BroxtonVoltage(NamedTuple):
    margin: int
    scale: int
    scaled: int
    deemphasis: int


def _rows(name: str, columns: list[str]) -> Iterator[list[str]]:
    lines = (files(__package__) / name).read_text(encoding="ascii").splitlines()
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    if rows[0] != columns:
        raise LayoutError(f"{name} has columns {rows[0]}, not {columns}")
    yield from rows[1:]


@cache
def _voltages(platform: str, link: Link) -> dict[int, _Voltage]:
    return {
        int(level): _Voltage(int(level), int(first, 16), int(second, 16), int(boost))
        for platforms, kind, level, first, second, boost in _rows("voltages.tsv", _COLUMNS)
        if platform in platforms.split(",") and kind == link.value
    }


@cache
def _broxton_voltages(link: Link) -> dict[int, _BroxtonVoltage]:
    return {
        int(level): _BroxtonVoltage(int(margin), int(scale, 16), int(scaled), int(deemphasis))
        for kind, level, margin, scale, scaled, deemphasis in _rows("broxton_voltages.tsv", _BROXTON_COLUMNS)
        if kind == link.value
    }


def prepare_lanes(uncore: Uncore, port: Port, link: Link) -> None:
    """Write the port's table (``hsw_prepare_dp_ddi_buffers``, ``hsw_prepare_hdmi_ddi_buffers``); Broxton has none."""
    if uncore.platform.name == "bxt":
        return
    table = DdiBufferTranslation(uncore.regs, f"PORT_{port.value}")
    for entry in _voltages(uncore.platform.name, link).values():
        place = entry.level if link is Link.DISPLAYPORT else _HDMI_ENTRY
        table.lo[place] = BufferTranslation(entry.first)
        table.hi[place] = entry.second


def drive_lanes(uncore: Uncore, port: Port, link: Link, level: int | None = None) -> None:
    """Drive the lanes of ``port`` as entry ``level`` says, by default as suits most cables; gen8 needs no more than its table."""
    if uncore.platform.name == "bxt":
        voltages = _broxton_voltages(link)
        _drive_broxton(uncore, BROXTON_CHANNELS[port], voltages[max(voltages) if level is None else level])
    elif uncore.platform.graphics_version >= 9:
        choices = _voltages(uncore.platform.name, link)
        boost = choices[max(choices) if level is None else level].boost
        disable = 1 << TransmitterBoost.disable.low + port.number
        current = getattr(TransmitterBoost, f"port_{port.value.lower()}")
        uncore.modify(TransmitterBoostRegister.boost, current.mask | disable, boost << current.low if boost else disable)


def _drive_broxton(uncore: Uncore, channel: str, voltage: _BroxtonVoltage) -> None:
    """What is written to the group reaches every lane; what a lane reads back is that (``bxt_dpio_phy_set_signal_levels``)."""

    def change(read: int, write: int, mask: int, value: int) -> None:
        uncore.regs.write32(write, uncore.regs.read32(read) & ~mask | value)

    lanes, group = BroxtonPhyChannel, BroxtonLaneControl
    change(lanes.pcs_dw10_ln01.at(channel), group.pcs_dw10.at(channel), _SWING_CALCULATION, 0)
    change(lanes.tx_dw2_ln0.at(channel), group.tx_dw2.at(channel), _SWING_MASK, voltage.margin << 16 | voltage.scale << 8)
    scaling = BroxtonPhyLane.scale_method.mask
    change(lanes.tx_dw3_ln0.at(channel), group.tx_dw3.at(channel), scaling, scaling if voltage.scaled else 0)
    change(lanes.tx_dw4_ln0.at(channel), group.tx_dw4.at(channel), _DEEMPHASIS_MASK, voltage.deemphasis << 24)
    change(lanes.pcs_dw10_ln01.at(channel), group.pcs_dw10.at(channel), 0, _SWING_CALCULATION)
