"""The OpRegion: what firmware leaves a display driver in memory, above all the table of displays (VBT).

:func:`opregion` makes one that declares given connectors, :func:`parse_opregion` takes one apart, and
:func:`~pvinfo.opregion.explain.explain_opregion` tells it in words.
"""

from __future__ import annotations

from .build import build_vbt, check_connectors, opregion
from .parse import Block, ParsedOpRegion, Vbt, connectors_of_child, parse_opregion, parse_vbt
from .region import OPREGION, OPREGION_SIGNATURE, OPREGION_SIZE, VBT_OFFSET, OpRegion

__all__ = (
    "OPREGION",
    "OPREGION_SIGNATURE",
    "OPREGION_SIZE",
    "VBT_OFFSET",
    "Block",
    "OpRegion",
    "ParsedOpRegion",
    "Vbt",
    "build_vbt",
    "check_connectors",
    "connectors_of_child",
    "opregion",
    "parse_opregion",
    "parse_vbt",
)
