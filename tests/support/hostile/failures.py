"""An honest guest whose hypervisor fails it at a point that is told by its number, on a host where another guest works."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Final, final
from unittest.mock import patch

from pvinfo.finding import Finding
from pvinfo.notify import Notification
from pvinfo.platform import PLATFORMS, Engine
from pvinfo.registers.gtt import GttRegisters
from pvinfo.units import MIB, PAGE_MASK, PAGE_SIZE

from .campaign import Unhealthy
from .guest import HostileGuest
from .guest_campaign import results_alone
from .honest import HonestWork
from .judge import Judge
from .neighbour import Neighbour
from .stage import Stage

__all__ = ("FailingHost", "Failure")

_PATIENCE: Final = 200
"""Instants that a piece of work may take."""
_FRAME: Final = ((1 << 46) - 1) & ~PAGE_MASK
_LARGE_PAGES: Final = 15
"""What allows 64 KiB pages."""


class Failure(Enum):
    """What the hypervisor does not do."""

    MAP = "map a page"
    LOOK = "show a page"
    READ = "read a piece of memory"


@final
class FailingHost:
    """One host, on which the same piece of work is done as often as it is asked for; each time a new guest does it."""

    def __init__(self, platform: str, *, track_writes: bool) -> None:
        self._kind = platform, track_writes
        self.stage = Stage(PLATFORMS[platform], track_writes=track_writes, share=256)
        HostileGuest(self.stage.honest).begin()
        self.neighbour = Neighbour(self.stage.honest)
        self.device = self.stage.hostile
        self.port = self.device.port
        self.ground = self.device.ground
        self.judge = Judge(self.stage, self.neighbour)
        self.judge.look_closely()
        self._guest = HostileGuest(self.device)
        self._pieces = 0

    # ---- the piece of work ----

    def work(self) -> list[str]:
        """Set everything up, announce the spaces, have each engine work in either of them, and end the spaces. Returns what did not come to what it should."""
        guest, ground = self._guest, self.ground
        guest.begin()
        self.device.write(GttRegisters.gamw_eco_dev_rw_ia.offset, 4, _LARGE_PAGES)
        of_four, of_three = [ground.pml4.bus, 0, 0, 0], [ground.directory.bus] * 4
        guest.announce(Notification.PPGTT_L4_PAGE_TABLE_CREATE, of_four)
        guest.announce(Notification.PPGTT_L3_PAGE_TABLE_CREATE, of_three)
        wrong: list[str] = []
        for context in range(2):
            for engine in ground.platform.engines:
                self._pieces += 1
                if not self._is_done(HonestWork(ground, engine, self._pieces % 4096, context)):
                    wrong.append(f"context {context} of {engine.value}")
        if not self._batch_is_done():
            wrong.append("a batch with privilege")
        guest.announce(Notification.PPGTT_L4_PAGE_TABLE_DESTROY, of_four)
        guest.announce(Notification.PPGTT_L3_PAGE_TABLE_DESTROY, of_three)
        return wrong

    def _is_done(self, work: HonestWork) -> bool:
        work.submit(self.device.write)
        self._wait()
        seen, expected = work.seen(0), work.expected(0)
        return all(seen[name] == expected[name] for name in expected if name.startswith(("stored", "reckoned", "drawn")))

    def _batch_is_done(self) -> bool:
        """A batch that is audited and copied stores to graphics memory."""
        ground, place = self.ground, self.ground.near(120)
        ground.memory.poke(place.bus, bytes(4))
        ground.memory.poke(ground.batches[0].bus, b"".join(dword.to_bytes(4, "little") for dword in (0x10400002, place.graphics, 0, 0x1234, 0x05000000, 0)))
        self._guest.submit_ring(Engine.VCS0, 2, [0x18800001, ground.batches[0].graphics, 0, 0])
        self._wait()
        return ground.memory.peek(place.bus, 2) == b"\x34\x12"

    def _wait(self) -> None:
        submission = self.device.vgpu.submission
        for _ in range(_PATIENCE):
            if not (submission.is_running or submission.has_work):
                return
            self.device.step()

    # ---- one point after the other ----

    def _asked(self) -> dict[Failure, int]:
        """How often the hypervisor has been asked so far."""
        return {Failure.MAP: self.port.tried, Failure.LOOK: self.port.looks, Failure.READ: self.port.reads}

    def points(self) -> dict[Failure, list[range]]:
        """What it is asked for one piece of work, which comes to what it should: the numbers of each call's pages, from 0 on."""
        calls: list[range] = []
        before = self._asked()
        map_pages = self.port.map_guest_pages

        def counted(addresses: Sequence[int]) -> list[int]:
            first = self.port.tried - before[Failure.MAP]
            calls.append(range(first, first + len(addresses)))
            return map_pages(addresses)

        with patch.object(self.port, "map_guest_pages", counted):
            self._succeed()
        after = self._asked()
        self._start_over()
        single = {failure: [range(number, number + 1) for number in range(after[failure] - before[failure])] for failure in (Failure.LOOK, Failure.READ)}
        return {Failure.MAP: [call for call in calls if call], **single}

    def fail(self, failure: Failure, points: Iterable[int]) -> int:
        """Have it fail at these points of a piece of work; afterwards nothing must be left, and a new guest's work come to what it should.

        Returns how often it has failed. Raises: AssertionError.
        """
        port, vgpu = self.port, self.device.vgpu
        first = self._asked()[failure]
        where = {Failure.MAP: port.failing, Failure.LOOK: port.unseen, Failure.READ: port.unread}[failure]
        where.update(first + point for point in points)
        port.failed.clear()
        self.work()
        where.clear()
        failed = list(port.failed)
        for address in failed[:1]:  # of many like each other, not each is told by itself
            if not any(self._names(finding, address) for finding in vgpu.findings):
                raise Unhealthy(f"no finding names {address:#x}, where the hypervisor did not {failure.value}: {list(vgpu.findings)}")
        self.judge.look_closely(at_memory=False)
        self._start_over()
        self._succeed()
        self._start_over()
        self.neighbour.go_on(patiently=True)
        self.neighbour.finish()
        return len(failed)

    def _names(self, finding: Finding, address: int) -> bool:
        """Whether a finding says what of the guest's was concerned: the page, an entry that leads there, or its graphics address."""
        value, page = finding.value or 0, address & ~PAGE_MASK
        size = 2 * MIB if value & 0x80 and f"{page:#x}" in finding.text else 16 * PAGE_SIZE if "64 KiB PTE" in finding.where else PAGE_SIZE
        if 0 <= page - (value & _FRAME & ~(size - 1)) < size:
            return True
        shown = [number * PAGE_SIZE for number, entry in self.ground.entries if entry & _FRAME == page]
        return (value & ~PAGE_MASK) in shown or any(f"{graphics:#x}" in finding.text for graphics in shown)

    def _succeed(self) -> None:
        wrong = self.work()
        faults = list(self.device.vgpu.findings)
        if wrong or faults:
            raise Unhealthy(f"honest work of {', '.join(wrong) or 'nobody'} fails: {faults}")

    def _start_over(self) -> None:
        """A device reset."""
        self.device.vgpu.reset()
        self.device.vgpu.findings.clear()
        self.judge.nothing_left()

    def finish(self) -> None:
        """Raises: AssertionError where the neighbour's work came to something else than it does alone."""
        self.judge.look_closely()
        platform, track_writes = self._kind
        if self.neighbour.results != results_alone(len(self.neighbour.results), platform, track_writes=track_writes):
            raise Unhealthy("the other guest's work came to something else than when it was alone")
