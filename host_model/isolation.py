"""What keeps the GPU inside the vGPUs that it works for: a guard between its bus and host memory.

The GPU knows nothing of guests; it reaches whatever its tables lead to. Each engine has a way of its own to memory, and every
page that it asks for is checked against whom that engine works for: the host's own pages, those that the host keeps for that
vGPU, and pages of its guest that are pinned (for the host's driver: all RAM of its machine; for a partition:
its IOMMU domain). Anything else is an *isolation violation*: the tables were wrong. The engine
finds no memory there, and the violation is counted and told. What is no engine, display and aperture, works for the host, but
for a vGPU while something is done on its behalf.

An engine keeps what it has looked up, and no other engine sees it. A change of its owner changes its way's
:attr:`EngineMemory.revision`, upon which everything is looked up, and so checked, anew.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, final

from pvinfo.finding import FindingLog
from pvinfo.platform import Engine
from pvinfo.units import PAGE_MASK, PAGE_SIZE, BusAddress

from .memory import WINDOW_SHIFT, HostMemory

__all__ = ("EngineMemory", "GuardedMemory", "Pinned")


class Pinned(Protocol):
    """A virtual machine, as far as it can tell which of its pages the GPU may reach."""

    def pins(self, address: BusAddress) -> int:
        """How often the page at ``address`` is pinned; 0 where the page is not pinned, or none of the machine's.

        A page that the machine has lost since is pinned all the same, though there is no memory any more.
        """


@final
class GuardedMemory:
    """Host memory as the GPU is let to it. Itself a :class:`~host_model.memory.BusMemory`, for what of the GPU is no engine."""

    def __init__(self, memory: HostMemory) -> None:
        self._memory = memory
        self.machines: dict[int, Pinned] = {}
        """The machine behind each vGPU, by its number."""
        self.findings = FindingLog(0)
        """Where violations are told."""
        self.violations = 0
        """Pages that the GPU asked for and must not have."""
        self._engines: dict[Engine, EngineMemory] = {}
        self._owner = 0

    def engine(self, name: Engine) -> EngineMemory:
        """The way to memory that engine ``name`` has."""
        way = self._engines.get(name)
        if way is None:
            way = self._engines[name] = EngineMemory(self, self._memory, name)
        return way

    @property
    def owners(self) -> dict[Engine, int]:
        """Whom each engine works for: a vGPU's number, or 0, which is the host alone."""
        return {name: way.owner for name, way in self._engines.items()}

    @contextmanager
    def on_behalf_of(self, number: int) -> Iterator[None]:
        """Check what is no engine's against vGPU ``number`` meanwhile: a processor's access through the aperture, or its display."""
        before = self._owner
        self._owner = number
        try:
            yield
        finally:
            self._owner = before

    # ---- BusMemory ----

    @property
    def revision(self) -> int:
        return self._memory.revision

    def page(self, address: BusAddress, /) -> memoryview | None:
        """As of host memory; a page that must not be had is none, and a violation."""
        if self.may_have(self._owner, address):
            return self._memory.page(address)
        self.refuse(self._owner, "the GPU", address)
        return None

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        """As of host memory, of pages that may be had. Where there are others the answer is None without more:
        who gets no span asks page by page, and is told then."""
        return self.span_for(self._owner, address, size)

    # ---- the check ----

    def may_have(self, owner: int, address: BusAddress) -> bool:
        """The page at ``address`` is one for vGPU ``owner``."""
        keeper = self._keeper_of(address)
        if keeper is None:
            machine = self.machines.get(owner)
            return machine is not None and machine.pins(address) > 0
        return keeper in (0, owner)

    def _keeper_of(self, address: BusAddress) -> int | None:
        """For whom the host keeps the page at ``address``; None for a page of a machine, or none at all."""
        return None if address >> WINDOW_SHIFT else self._memory.owner_of(address)

    def refuse(self, owner: int, who: str, address: BusAddress) -> None:
        """``who``, that works for vGPU ``owner``, must not have the page at ``address``: a violation."""
        self.violations += 1
        page = BusAddress(address & ~PAGE_MASK)
        self.findings.fault(
            "isolation-violation", f"vGPU {owner}, bus address {page:#x}",
            f"{who}, working for {f'vGPU {owner}' if owner else 'the host'}, asked for a page that is neither "
            f"the host's own nor pinned for it: {self._whose(owner, page)}; it finds no memory there",
            value=page, vgpu=owner,
        )  # fmt: skip

    def span_for(self, owner: int, address: BusAddress, size: int) -> memoryview | None:
        """``size`` bytes at ``address`` for vGPU ``owner``, if it may have all of them; without a word where not."""
        keeper = self._keeper_of(address)
        if keeper is None:
            machine = self.machines.get(owner)
            if machine is None or not all(map(machine.pins, map(BusAddress, range(address & ~PAGE_MASK, address + size, PAGE_SIZE)))):
                return None
        elif keeper not in (0, owner):
            # A block has one owner, and memory gives no span that leaves its block.
            return None
        return self._memory.span(address, size)

    def _whose(self, owner: int, address: BusAddress) -> str:
        for number, machine in self.machines.items():
            if number != owner and machine.pins(address):
                return f"it is pinned for vGPU {number}" if number else "it is RAM of the host's driver"
        if address >> WINDOW_SHIFT:
            return "it is a page of a machine that is not pinned"
        keeper = self._memory.owner_of(address)
        return "nobody has a page there" if keeper is None else f"it is the host's for vGPU {keeper}"


@final
class EngineMemory:
    """Host memory as one engine is let to it; a :class:`~host_model.memory.BusMemory`."""

    def __init__(self, guard: GuardedMemory, memory: HostMemory, engine: Engine) -> None:
        self._guard = guard
        self._memory = memory
        self._who = f"the GPU's {engine.value}"
        self._owner = 0
        self._turns = 0

    @property
    def owner(self) -> int:
        """Number of the vGPU that the engine works for; 0: the host."""
        return self._owner

    @owner.setter
    def owner(self, number: int) -> None:
        self._owner = number
        self._turns += 1

    @property
    def revision(self) -> int:
        return self._memory.revision + self._turns

    def page(self, address: BusAddress, /) -> memoryview | None:
        """As of host memory; a page that the engine must not have is none, and a violation."""
        if self._guard.may_have(self._owner, address):
            return self._memory.page(address)
        self._guard.refuse(self._owner, self._who, address)
        return None

    def span(self, address: BusAddress, size: int, /) -> memoryview | None:
        """As of host memory, of pages that the engine may have; see :meth:`GuardedMemory.span`."""
        return self._guard.span_for(self._owner, address, size)
