"""Why the driver refuses a host: the rules, each with its name and its reason.

A rule's name is what :class:`~pvinfo.errors.HostRefused` carries as ``rule``, and what scenarios and reports show.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, NoReturn

from pvinfo.errors import HostRefused

__all__ = ("REFUSAL_DOC", "Refusal", "refuse")


class Refusal(StrEnum):
    """What was wrong with the offer."""

    UNKNOWN_DEVICE = "unknown-device"
    NO_REGISTERS = "no-registers"
    NO_APERTURE = "no-aperture"
    NO_GGTT = "no-ggtt"
    VERSION = "version"
    NO_FULL_PPGTT = "no-full-ppgtt"
    NO_HWSP_EMULATION = "no-hwsp-emulation"
    MAPPABLE_PAST_APERTURE = "mappable-past-aperture"
    NONMAPPABLE_IN_APERTURE = "nonmappable-in-aperture"
    NONMAPPABLE_PAST_GGTT = "nonmappable-past-ggtt"
    UNALIGNED_SLICE = "unaligned-slice"
    TOO_MANY_FENCES = "too-many-fences"


REFUSAL_DOC: Final[dict[Refusal, str]] = {
    Refusal.UNKNOWN_DEVICE: "vendor and device id name none of the supported platforms, or the class is no display controller",
    Refusal.NO_REGISTERS: "base address register 0 has no length: there are no registers",
    Refusal.NO_APERTURE: "base address register 2 has no length: the mappable part of graphics memory cannot be reached",
    Refusal.NO_GGTT: "the graphics control word gives the global table no size, so there is no graphics address space",
    Refusal.VERSION: "the page's major version is 0; the first version that means anything is 1. "
    "(Linux then treats the device as bare metal, which a vGPU cannot serve; this driver says so at once.)",
    Refusal.NO_FULL_PPGTT: "the host does not shadow 4-level per-process page tables, and the driver isolates clients by nothing else",
    Refusal.NO_HWSP_EMULATION: "the host does not write execlist status into the hardware status page, and the driver reads it nowhere else",
    Refusal.MAPPABLE_PAST_APERTURE: "the mappable slice ends behind the aperture",
    Refusal.NONMAPPABLE_IN_APERTURE: "the nonmappable slice begins inside the aperture",
    Refusal.NONMAPPABLE_PAST_GGTT: "the nonmappable slice ends behind the graphics address space",
    Refusal.UNALIGNED_SLICE: "a slice does not begin and end with a page. (Linux checks it in debug builds only.)",
    Refusal.TOO_MANY_FENCES: "the page gives more fences than there are registers. (Linux would write past the last one.)",
}
"""Each rule in a sentence."""


def refuse(rule: Refusal, what: str) -> NoReturn:
    """Give up on the host; ``what`` names the value and its place. Raises: HostRefused, always."""
    raise HostRefused(rule.value, f"{what}: {REFUSAL_DOC[rule]}")
