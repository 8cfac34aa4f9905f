"""Monitors of the user's own: whatever they say of themselves reaches the guest byte by byte, and their mode is shown."""

from __future__ import annotations

from typing import Final

from pvinfo.connector import Link
from pvinfo.edid import edid_for

from ..catalogue import scenario
from ..needs import Needs, PluggedIn
from ..stage import Stage
from .acts import check_quiet, lit, show_card

_NAME: Final = b"My own one\n  "
_NAME_TAG: Final = b"\0\0\0\xfc\0"


def _renamed(edid: bytes) -> bytes:
    """An EDID with another name in its first block."""
    at = edid.index(_NAME_TAG) + len(_NAME_TAG)
    block = edid[:at] + _NAME + edid[at + len(_NAME) : 127]
    return block + bytes((-sum(block) % 256,)) + edid[128:]


OWN_EDID: Final = _renamed(edid_for("1280x720"))
OWN_HDMI_EDID: Final = _renamed(edid_for("1280x720", Link.HDMI))


def _own(stage: Stage, edid: bytes) -> None:
    stage.step("the driver finds the monitor")
    driver, screen = lit(stage)
    output = screen.output
    stage.check("its description, bytes", output.edid_bytes, edid)
    stage.check("its name", output.edid.name if output.edid is not None else "", "My own one")

    stage.step("and shows a picture as it prefers")
    stage.check("the mode", screen.mode.resolution, "1280x720")
    show_card(stage, screen, "1280x720, as its own EDID says")
    check_quiet(stage, driver)


@scenario(needs=Needs(plugged_in=PluggedIn(edid=OWN_EDID), in_process=True))
def custom_edid(stage: Stage) -> None:
    """A monitor with an EDID of the user's own, read over the AUX channel, gets its mode."""
    _own(stage, OWN_EDID)


@scenario(needs=Needs(plugged_in=PluggedIn(link=Link.HDMI, edid=OWN_HDMI_EDID), in_process=True))
def custom_edid_over_hdmi(stage: Stage) -> None:
    """A monitor with an EDID of two blocks of the user's own, read over the I2C controller, gets its mode."""
    _own(stage, OWN_HDMI_EDID)
