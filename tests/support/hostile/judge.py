"""What must hold after each act of a hostile guest, however it came to it; nothing here asks the mediator what it thinks."""

from __future__ import annotations

import ctypes
from array import array
from collections import Counter
from typing import Final, final

from pvinfo.units import PAGE_MASK, PAGE_SHIFT, BusAddress, GuestAddress

from .memory import SECRET
from .neighbour import Neighbour
from .stage import RAM, Stage

__all__ = ("Judge", "Violation")

_FRAME: Final = ((1 << 46) - 1) & ~PAGE_MASK
_PRESENT: Final = 1
_EVENTS: Final = slice(0x40, 0x80)
"""Of a status page: what the hardware writes."""


class Violation(AssertionError):
    """A rule is broken."""


def _address_of(view: memoryview) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(view))


@final
class Judge:
    """Of one stage."""

    def __init__(self, stage: Stage, neighbour: Neighbour) -> None:
        self._stage = stage
        self._neighbour = neighbour
        self._hostile, self._honest = stage.hostile.vgpu, stage.honest.vgpu
        self._table = stage.host.gpu.ggtt.entries
        self._ram_address = _address_of(stage.hostile.ram._view)
        slices = sorted((part for vgpu in (self._hostile, self._honest) for part in vgpu.resources[:2]), key=lambda part: part.start)
        lows = [part for part in slices if part.start < stage.host.gpu.aperture_size]
        highs = [part for part in slices if part not in lows]
        self._nobodys = (
            range(lows[-1].stop >> PAGE_SHIFT, stage.host.gpu.aperture_size >> PAGE_SHIFT),
            range(highs[-1].stop >> PAGE_SHIFT, len(self._table)),
        )
        self._hosts = (range(0, lows[0].start >> PAGE_SHIFT), range(stage.host.gpu.aperture_size >> PAGE_SHIFT, highs[0].start >> PAGE_SHIFT))
        self._nothing = [bytes(8 * len(pages)) for pages in self._nobodys]
        self._host_entries: list[bytes] = [b"" for _ in self._hosts]
        self._leaves: dict[int, tuple[bytes, tuple[int, ...]]] = {}
        self._neighbours_memory = b""
        self._neighbours_table = b""
        self._neighbours_shadows: list[tuple[int, bytes]] = []
        self._neighbours_pieces = -1
        self.most_pins = 0

    # ---- after each act ----

    def look(self) -> None:
        """What costs little. Raises: Violation."""
        guard = self._stage.host.guard
        if guard.violations:
            told = next(finding for finding in guard.findings if finding.rule == "isolation-violation")
            raise Violation(f"{guard.violations} isolation violations: {told.where}: {told.text}")
        for engine, owner in guard.owners.items():
            if owner not in (0, self._hostile.number, self._honest.number):
                raise Violation(f"{engine.value} works for vGPU {owner}")
        if not self._neighbour.busy:
            self._check_neighbours_table()

    def look_closely(self, *, at_memory: bool = True) -> None:
        """Everything. Raises: Violation."""
        self.look()
        self._check_table()
        self._check_pins()
        self._check_kept_translations()
        self._check_hosts_pages()
        self._check_findings()
        if not self._neighbour.busy:
            self._check_neighbour()
        if at_memory:
            self.look_for_secrets()

    # ---- the global table ----

    def _entries_of(self, pages: range) -> memoryview:
        return self._table[pages.start : pages.stop]

    def _check_neighbours_table(self) -> None:
        now = b"".join(bytes(self._entries_of(range(part.start >> PAGE_SHIFT, part.stop >> PAGE_SHIFT))) for part in self._honest.resources[:2])
        if not self._neighbours_table:
            self._neighbours_table = now
        if now != self._neighbours_table:
            raise Violation("an entry of the other guest's part of the hardware's table has changed")

    def _check_table(self) -> None:
        for pages, nothing in zip(self._nobodys, self._nothing, strict=True):
            if bytes(self._entries_of(pages)) != nothing:
                raise Violation("an entry of the hardware's table was written that is nobody's")
        for number, pages in enumerate(self._hosts):
            now = bytes(self._entries_of(pages))
            if now != self._host_entries[number]:
                self._check_host_entries(pages)
                self._host_entries[number] = now

    def _check_host_entries(self, pages: range) -> None:
        memory = self._stage.host.memory
        for page, entry in zip(pages, self._entries_of(pages).tolist(), strict=True):
            if entry and (entry & ~_FRAME != _PRESENT or memory.owner_of(BusAddress(entry & _FRAME)) not in (0, self._hostile.number, self._honest.number)):
                raise Violation(f"the host's own entry of {page << PAGE_SHIFT:#x} is {entry:#x}")

    # ---- pins ----

    def _check_pins(self) -> None:
        pins = self._pins_of_table()
        for leaves in self._shadow_leaves():
            pins.update(leaves)
        local = self._stage.hostile.local
        if local.mapped_pages != len(pins) or pins != local._pins:
            wrong = next(BusAddress(page) for page in {**pins, **local._pins} if pins[page] != local._pins.get(page, 0))
            raise Violation(
                f"{local.mapped_pages} pages are pinned, by the tables it is {len(pins)}; "
                f"the page at {wrong - self._stage.hostile.window:#x} {local.pins(wrong)} times, by the tables {pins[wrong]} times"
            )
        self.most_pins = max(self.most_pins, len(pins))

    def _pins_of_table(self) -> Counter[int]:
        """By the vGPU's own part of the global table, whose entries show what its guest wrote, or scratch."""
        pins: Counter[int] = Counter()
        window, scratch = self._stage.hostile.window, self._hostile.scratch_page
        for part in self._hostile.resources[:2]:
            first = part.start >> PAGE_SHIFT
            for index, entry in enumerate(self._entries_of(range(first, part.stop >> PAGE_SHIFT)).tolist(), first):
                frame = entry & _FRAME
                if frame == scratch:
                    continue
                # In failsafe mode the guest's table is plain memory to it, and the hardware's stays as it was.
                meant = self._hostile.failsafe or frame - window == self._hostile.ggtt.entry(index) & _FRAME
                if not meant or not window <= frame < window + RAM:
                    raise Violation(f"the entry of {index << PAGE_SHIFT:#x} is {entry:#x}, for a guest's {self._hostile.ggtt.entry(index):#x}")
                pins[frame] += 1
        return pins

    def _shadow_leaves(self) -> list[tuple[int, ...]]:
        """Pages that each shadow table leads to, found as the GPU would, from the roots of all spaces on."""
        tables = self._hostile.tables
        found: list[tuple[int, ...]] = []
        known: set[tuple[int, int]] = set()
        waiting = [(root & _FRAME, 3 if space.levels == 4 else 1) for space in tables._shadowed for root in space.shadow_roots]
        scratch = {page.address for page in tables._store._scratch}
        while waiting:
            place = waiting.pop()
            if place in known:
                continue
            known.add(place)
            address, level = place
            memory = self._stage.host.memory
            if memory.owner_of(BusAddress(address)) != self._hostile.number:
                raise Violation(f"a shadow table at {address:#x} is not the vGPU's")
            page = self._stage.host_page(address)
            assert page is not None
            now = bytes(page)
            cached = self._leaves.get(address)
            if cached is None or cached[0] != now:
                entries = tuple(entry & _FRAME for entry in array("Q", now) if entry & _PRESENT)
                cached = self._leaves[address] = now, entries
            if level:
                waiting += [(entry, level - 1) for entry in set(cached[1])]
            else:
                leaves = tuple(entry for entry in cached[1] if entry not in scratch)
                self._check_leaves(leaves)
                if leaves:
                    found.append(leaves)
        return found

    def _check_leaves(self, leaves: tuple[int, ...]) -> None:
        window = self._stage.hostile.window
        if leaves and (min(leaves) < window or max(leaves) >= window + RAM):
            raise Violation("a shadow entry leads out of the guest's memory")

    # ---- the GPU ----

    def _check_kept_translations(self) -> None:
        """What engines have kept of the guest's pages is what they might reach now."""
        local, window = self._stage.hostile.local, self._stage.hostile.window
        for engine in self._stage.host.gpu.engines:
            space, way = engine.process_space, self._stage.host.guard.engine(engine.engine)
            if way.owner != self._hostile.number or space._revision != way.revision:
                continue  # it forgets them all before its next look
            for views in (space._readable, space._for_writing):
                for view in views.values():
                    offset = _address_of(view) - self._ram_address
                    if 0 <= offset < RAM and not local.pins(BusAddress(window + offset)):
                        raise Violation(f"{engine.engine.value} keeps a translation to the guest's page {offset:#x}, which is not pinned any more")

    # ---- the host's and the other guest's memory ----

    def _check_hosts_pages(self) -> None:
        for address, before in self._stage.marked.items():
            block = self._stage.host.memory._own.block_at(address)
            if block is None or block.owner:
                raise Violation(f"the host's own memory at {address:#x} is gone")
            now = bytes(block.bytes)
            if now != before and now[: _EVENTS.start] + now[_EVENTS.stop :] != before[: _EVENTS.start] + before[_EVENTS.stop :]:
                raise Violation(f"the host's own memory at {address:#x} has changed")

    def _check_neighbour(self) -> None:
        ram = self._stage.honest.ram.read(GuestAddress(0), RAM)
        shadows: list[tuple[int, bytes]] = [(block.address, bytes(block.bytes)) for block in self._stage.host_blocks(self._honest.number)]
        if self._neighbours_pieces != len(self._neighbour.results):
            self._neighbours_pieces, self._neighbours_memory, self._neighbours_shadows = len(self._neighbour.results), ram, shadows
        if ram != self._neighbours_memory:
            raise Violation("the other guest's memory has changed")
        if shadows != self._neighbours_shadows:
            raise Violation("what the host keeps for the other guest has changed")

    def look_for_secrets(self) -> None:
        """Bytes that only the other guest and the host have. Raises: Violation."""
        if SECRET in self._stage.hostile.ram.read(GuestAddress(0), RAM):
            raise Violation("in the guest's memory stands what only others have")

    def _check_findings(self) -> None:
        for vgpu in (self._hostile, self._honest):
            log = vgpu.findings
            places = Counter((finding.kind, finding.rule) for finding in log)
            for (kind, rule), count in places.items():
                if count > log.limit + 1:
                    raise Violation(f"{count} findings of rule {rule} ({kind.value}): there are at most {log.limit + 1}")
        if list(self._honest.findings):
            raise Violation(f"the other guest is accused: {list(self._honest.findings)[0]}")

    def nothing_left(self) -> None:
        """After a device reset the guest has nothing but its shadow contexts. Raises: Violation."""
        if self._stage.hostile.local.mapped_pages:
            raise Violation(f"{self._stage.hostile.local.mapped_pages} pages are pinned after a reset")
        if self._stage.host.mediator.shadow_pool.used(self._hostile.number):
            raise Violation("shadow tables are left after a reset")
        blocks = self._stage.host_blocks(self._hostile.number)
        if len(blocks) > 1 + 2 * len(self._stage.host.platform.engines):
            raise Violation(f"{len(blocks)} blocks of host memory are left after a reset")
        if self._stage.hostile.ram._watched:
            raise Violation("pages are watched after a reset")


