"""What a monitor says of itself: read, checked and made."""

from __future__ import annotations

from .making import EDID_RESOLUTIONS, edid_for
from .reading import Edid, parse_edid, rule_against

__all__ = ("EDID_RESOLUTIONS", "Edid", "edid_for", "parse_edid", "rule_against")
