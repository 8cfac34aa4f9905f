"""What keeps the GPU inside the vGPU whose turn it is: a guard between its bus and host memory.

The GPU knows nothing of guests; it reaches whatever its tables lead to. So every page that it asks for is checked against
whom it works for: the host's own pages, those that the host keeps for that vGPU, and pages of its guest that are pinned
(of the host's driver: all RAM of the host's own machine).
Anything else is an *isolation violation*: the tables were wrong. The GPU finds no memory there, and the violation is
counted and told.

The GPU keeps what it has looked up. A change of owner changes :attr:`GuardedMemory.revision`, upon which everything is
looked up, and so checked, anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, final

from pvinfo.finding import FindingLog
from pvinfo.units import PAGE_MASK, PAGE_SIZE, BusAddress

from .memory import WINDOW_SHIFT, HostMemory

__all__ = ("GuardedMemory", "Pinned")


class Pinned(Protocol):
    """A virtual machine, as far as it can tell which of its pages the GPU may reach."""

    def pins(self, address: BusAddress) -> int:
        """How often the page at ``address`` is pinned; 0 where the page is not pinned, or none of the machine's.

        A page that the machine has lost since is pinned all the same, though there is no memory any more.
        """


@final
class GuardedMemory:
    """Host memory as the GPU is let to it; a :class:`~host_model.memory.BusMemory`."""

    def __init__(self, memory: HostMemory) -> None:
        self._memory = memory
        self.machines: dict[int, Pinned] = {}
        """The machine behind each vGPU, by its number."""
        self.findings = FindingLog(0)
        """Where violations are told."""
        self.violations = 0
        """Pages that the GPU asked for and must not have."""
        self._owner = 0
        self._turns = 0

    @property
    def owner(self) -> int:
        """Number of the vGPU that the GPU works for; 0: for the host alone."""
        return self._owner

    @owner.setter
    def owner(self, number: int) -> None:
        self._owner = number
        self._turns += 1

    @contextmanager
    def on_behalf_of(self, number: int) -> Iterator[None]:
        """Check against vGPU ``number`` meanwhile: for a processor's access through the aperture, at whoever's turn.

        Nothing that is found so may be kept; no engine may run meanwhile.
        """
        before = self._owner
        self._owner = number
        try:
            yield
        finally:
            self._owner = before

    def _may_have(self, address: BusAddress) -> bool:
        """The page at ``address`` is one for whom the GPU works for."""
        owner = self._keeper_of(address)
        if owner is None:
            machine = self.machines.get(self._owner)
            return machine is not None and machine.pins(address) > 0
        return owner in (0, self._owner)

    def _keeper_of(self, address: BusAddress) -> int | None:
        """For whom the host keeps the page at ``address``; None for a page of a machine, or none at all."""
        return None if address >> WINDOW_SHIFT else self._memory.owner_of(address)

    # ---- BusMemory ----

    @property
    def revision(self) -> int:
        return self._memory.revision + self._turns

    def page(self, address: BusAddress, /) -> memoryview | None:
        """As of host memory; a page that the GPU must not have is none, and a violation."""
        if self._may_have(address):
            return self._memory.page(address)
        self.violations += 1
        page = BusAddress(address & ~PAGE_MASK)
        self.findings.fault(
            "isolation-violation", f"vGPU {self._owner}, bus address {page:#x}",
            f"the GPU, working for {f'vGPU {self._owner}' if self._owner else 'the host'}, asked for a page that is neither "
            f"the host's own nor pinned for it: {self._whose(page)}; it finds no memory there",
            value=page,
        )  # fmt: skip
        return None

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        """As of host memory, of pages that the GPU may have. Where there are others the answer is None without more:
        who gets no span asks page by page, and is told then."""
        owner = self._keeper_of(address)
        if owner is None:
            machine = self.machines.get(self._owner)
            if machine is None or not all(map(machine.pins, map(BusAddress, range(address & ~PAGE_MASK, address + size, PAGE_SIZE)))):
                return None
        elif owner not in (0, self._owner):
            # A block has one owner, and memory gives no span that leaves its block.
            return None
        return self._memory.span(address, size)

    def _whose(self, address: BusAddress) -> str:
        for number, machine in self.machines.items():
            if number != self._owner and machine.pins(address):
                return f"it is pinned for vGPU {number}" if number else "it is RAM of the host's driver"
        if address >> WINDOW_SHIFT:
            return "it is a page of a machine that is not pinned"
        owner = self._memory.owner_of(address)
        return "nobody has a page there" if owner is None else f"it is the host's for vGPU {owner}"
