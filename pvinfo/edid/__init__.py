"""What a monitor says of itself: read, checked and made."""

from __future__ import annotations

from .making import EDID_RESOLUTIONS, HDMI_MAX_CLOCK_KHZ, edid_for
from .reading import Edid, parse_edid, rule_against

__all__ = ("EDID_RESOLUTIONS", "HDMI_MAX_CLOCK_KHZ", "Edid", "edid_for", "parse_edid", "rule_against")
