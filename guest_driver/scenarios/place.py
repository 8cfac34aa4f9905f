"""Where scenarios are played: what the two places have in common."""

from __future__ import annotations

from typing import Final, Protocol

from pvinfo.page import GraphicsRange
from pvinfo.platform import Platform
from pvinfo.units import format_range, format_size

from .interposer import Alterations
from .needs import Announced, DeviceKind, Needs, Slice
from .outcome import Offer
from .stage import CannotStage, Setting

__all__ = ("Place", "altered_offer", "describe_physical", "insist_on_platform")


class Place(Protocol):
    """Provides machines for scenarios, one after the other."""

    @property
    def title(self) -> str:
        """Where it is, for reports."""

    @property
    def platform(self) -> Platform:
        """What GPU the guests have."""

    def set_up(self, needs: Needs) -> Setting:
        """Machines as if just powered on. Raises: CannotStage when the place has nothing that serves ``needs``."""


def insist_on_platform(needs: Needs, platform: Platform) -> None:
    """Raises: CannotStage for a scenario that means nothing on ``platform``."""
    if platform.graphics_version not in needs.graphics_versions:
        wanted = " or ".join(map(str, needs.graphics_versions))
        raise CannotStage(f"graphics generation {wanted} only; {platform.title} is {platform.graphics_version}")
    if needs.platforms and platform.name not in needs.platforms:
        raise CannotStage(f"{', '.join(needs.platforms)} only; this is {platform.name}")


def describe_physical(platform: Platform, offer: Offer) -> str:
    """What the report says of a GPU that a machine has to itself."""
    return f"{platform.title} GPU, {DeviceKind.PHYSICAL.value} with {format_size(offer.aperture_size)} of aperture"


_PARTS: Final = ("mappable", "nonmappable")


def parts_of(offer: Offer) -> dict[str, range]:
    """The two parts of graphics memory."""
    return {"mappable": range(0, offer.aperture_size), "nonmappable": range(offer.aperture_size, offer.ggtt_size)}


def range_fields(offer: Offer, slices: dict[str, Slice], sizes: dict[str, int | None]) -> dict[str, int]:
    """Fields of the page that must read differently for the slices to be as wanted, with their values.

    ``sizes`` are those of the type asked for; a slice that nobody places stays where it is as far as it fits.
    """
    fields = {}
    for part, addresses in parts_of(offer).items():
        served: GraphicsRange = getattr(offer, part)
        size = sizes[part] if sizes[part] is not None else served.size
        assert size is not None
        base = max(addresses.start, min(served.base, addresses.stop - size))
        wanted = slices[part].resolve(addresses, range(base, base + size))
        if wanted.start != served.base:
            fields[f"avail_rs.{part}_gmadr.base"] = wanted.start
        if len(wanted) != served.size:
            fields[f"avail_rs.{part}_gmadr.size"] = len(wanted)
    return fields


def insist_on_room(fields: dict[str, int], offer: Offer) -> None:
    """Raises: CannotStage when slices that should be true do not fit the GPU."""
    for part, addresses in parts_of(offer).items():
        served: GraphicsRange = getattr(offer, part)
        start = fields.get(f"avail_rs.{part}_gmadr.base", served.base)
        end = start + fields.get(f"avail_rs.{part}_gmadr.size", served.size)
        if start < addresses.start or end > addresses.stop:
            raise CannotStage(
                f"a {part} slice {format_range(start, end)} does not fit {format_range(addresses.start, addresses.stop)}: "
                f"the aperture of {format_size(offer.aperture_size)} is too small"
            )


def lies(announced: Announced, offer: Offer) -> Alterations:
    """What only an interposer can announce, anywhere: slices and fences that the vGPU does not have, no aperture."""
    slices = {"mappable": announced.mappable, "nonmappable": announced.nonmappable}
    fields = range_fields(offer, slices, dict.fromkeys(_PARTS))
    if announced.fence_num is not None and announced.fence_num != offer.fence_num:
        fields["avail_rs.fence_num"] = announced.fence_num
    return Alterations(fields, not announced.aperture_bar)


def altered_offer(offer: Offer, alterations: Alterations) -> Offer:
    """``offer`` as the guest will read it."""
    fields = alterations.fields

    def slice_of(part: str) -> GraphicsRange:
        served: GraphicsRange = getattr(offer, part)
        return GraphicsRange(
            fields.get(f"avail_rs.{part}_gmadr.base", served.base), fields.get(f"avail_rs.{part}_gmadr.size", served.size)
        )

    return offer._replace(
        aperture_size=0 if alterations.hide_aperture else offer.aperture_size,
        magic=fields.get("magic", offer.magic),
        version_major=fields.get("version_major", offer.version_major),
        capabilities=type(offer.capabilities)(fields.get("vgt_caps", int(offer.capabilities))),
        mappable=slice_of("mappable"),
        nonmappable=slice_of("nonmappable"),
        fence_num=fields.get("avail_rs.fence_num", offer.fence_num),
    )


def interposer_remark(name: str, alterations: Alterations) -> str:
    """What the report says of an interposer."""
    return f"{name}: an interposer on the guest's side of the bus alters what it reads: {'; '.join(alterations.in_words())}"
