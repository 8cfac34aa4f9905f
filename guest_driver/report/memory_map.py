"""Graphics memory as one guest sees it: what is its own, what is ballooned out, and where it wrote table entries."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import Final

from pvinfo.page import GraphicsRange
from pvinfo.units import PAGE_SIZE, format_range, format_size

from ..scenarios.access import AccessKind
from ..scenarios.needs import DeviceKind
from ..scenarios.outcome import GuestRecord

__all__ = ("memory_map",)

_WIDTH: Final = 1168
_PART: Final = 576
_GAP: Final = 16
_TOP: Final = 22
_HEIGHT: Final = 26


class _Part:
    """One of the two parts of graphics memory, drawn to its own scale."""

    def __init__(self, name: str, addresses: range, owned: GraphicsRange, owner: str, left: int) -> None:
        self.name = name
        self.owner = owner
        self.addresses = addresses
        self.owned = range(max(owned.base, addresses.start), min(owned.base + owned.size, addresses.stop))
        self.left = left

    def x(self, address: int) -> float:
        return self.left + _PART * (address - self.addresses.start) / max(len(self.addresses), 1)

    def bar(self, start: int, end: int, kind: str, words: str) -> str:
        width = max(self.x(end) - self.x(start), 1.5)
        return (
            f'<rect class="{kind}" x="{self.x(start):.1f}" y="{_TOP}" width="{width:.1f}" height="{_HEIGHT}">'
            f"<title>{escape(words)}: {format_range(start, end)}</title></rect>"
        )

    def draw(self) -> Iterator[str]:
        yield f'<text x="{self.left}" y="{_TOP - 7}">{escape(self.name)}, {format_size(len(self.addresses))}</text>'
        if not self.owned:
            yield self.bar(self.addresses.start, self.addresses.stop, "balloon", "belongs to others")
            return
        if self.addresses.start < self.owned.start:
            yield self.bar(self.addresses.start, self.owned.start, "balloon", "belongs to others")
        yield self.bar(self.owned.start, self.owned.stop, "owned", self.owner)
        if self.owned.stop < self.addresses.stop:
            yield self.bar(self.owned.stop, self.addresses.stop, "balloon", "belongs to others")
        label = f"{self.owned.start:#x} – {self.owned.stop:#x}"
        middle = min(max((self.x(self.owned.start) + self.x(self.owned.stop)) / 2, self.left + 90), self.left + _PART - 90)
        yield f'<text class="count" x="{middle:.1f}" y="{_TOP + _HEIGHT + 24}" text-anchor="middle">{label}</text>'


def _written(guest: GuestRecord) -> list[range]:
    """Adjacent graphics pages whose entries the guest wrote, as ranges of addresses."""
    pages = sorted({access.offset // 8 for access in guest.accesses if access.kind is AccessKind.GGTT_WRITE})
    ranges: list[range] = []
    for page in pages:
        start = page * PAGE_SIZE
        if ranges and ranges[-1].stop == start:
            ranges[-1] = range(ranges[-1].start, start + PAGE_SIZE)
        else:
            ranges.append(range(start, start + PAGE_SIZE))
    return ranges


def memory_map(guest: GuestRecord) -> str:
    """The picture as SVG; empty where there is no aperture to draw."""
    offer = guest.offer
    if not offer.aperture_size or offer.ggtt_size <= offer.aperture_size:
        return ""
    owner = "owned by this vGPU" if offer.device is DeviceKind.VGPU else "owned by this machine"
    parts = (
        _Part("aperture", range(0, offer.aperture_size), offer.mappable, owner, 0),
        _Part("above the aperture", range(offer.aperture_size, offer.ggtt_size), offer.nonmappable, owner, _PART + _GAP),
    )
    marks = []
    for written in _written(guest):
        part = parts[0] if written.start < offer.aperture_size else parts[1]
        stray = written.start not in part.owned or written.stop - 1 not in part.owned
        width = max(part.x(written.stop) - part.x(written.start), 2.0)
        count = len(written) // PAGE_SIZE
        words = f"{count} {'entry' if count == 1 else 'entries'} written: {format_range(written.start, written.stop)}"
        marks.append(
            f'<rect class="{"stray" if stray else "written"}" x="{part.x(written.start):.1f}" y="{_TOP + _HEIGHT + 2}" width="{width:.1f}" height="7">'
            f"<title>{words}</title></rect>"
        )
    drawn = "".join(text for part in parts for text in part.draw())
    return f'<svg class="map" viewBox="0 0 {_WIDTH} {_TOP + _HEIGHT + 32}" role="img"><title>graphics memory</title>{drawn}{"".join(marks)}</svg>'
