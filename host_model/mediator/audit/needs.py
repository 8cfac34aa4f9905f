"""What the audit needs of the parts of the mediator around it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, TypeVar

from pvinfo.platform import Platform
from pvinfo.units import GraphicsAddress, GuestAddress

from ...device.display.display import Display
from ...device.mmio.registers import RegisterPage
from ..resources import VgpuResources

__all__ = ("AuditedVgpu", "GraphicsAllocator", "GuestMemory", "GuestTable", "HostBuffer", "ScannedVgpu", "Tables", "TablesOf")


class HostBuffer(Protocol):
    """Zeroed host memory in the host's part of graphics memory."""

    @property
    def address(self) -> int:
        """Graphics address of its first byte."""

    @property
    def dwords(self) -> memoryview:
        """The memory itself."""

    def release(self) -> None:
        """The memory is not needed any more."""


class GraphicsAllocator(Protocol):
    """Where such memory comes from."""

    def allocate(self, size: int, owner: int) -> HostBuffer:
        """At least ``size`` bytes for vGPU ``owner``. Raises: ResourceExhausted."""


class Tables(Protocol):
    """One guest address space of a process."""

    @property
    def levels(self) -> int:
        """Four, or three."""

    @property
    def shadow_roots(self) -> tuple[int, ...]:
        """Bus addresses of what the GPU walks instead of the guest's roots; valid while pinned."""


T = TypeVar("T", bound=Tables)


class TablesOf(Protocol[T]):
    """The address spaces of one vGPU."""

    def find(self, levels: int, roots: Sequence[int]) -> T | None:
        """The space with those roots; None where the guest has announced none."""

    def acquire(self, levels: int, roots: Sequence[int]) -> T:
        """The same, with a reference. Raises: Refused."""

    def release(self, tables: T) -> None:
        """Give the reference back."""

    def pin(self, tables: T) -> None:
        """Make the shadow what the guest's tables say now, and keep it. Raises: Refused."""

    def unpin(self, tables: T) -> None:
        """Undo one pin."""


class GuestTable(Protocol):
    """The guest's view of the global table."""

    def translate(self, address: GraphicsAddress) -> GuestAddress | None:
        """Where in guest memory a graphics address of the vGPU leads; None where it leads nowhere."""


class GuestMemory(Protocol):
    """The guest's memory."""

    def read_guest(self, address: GuestAddress, size: int) -> bytes | None:
        """A copy; None when any byte of it is not RAM."""


class ScannedVgpu(Protocol):
    """The vGPU whose guest's commands are walked through."""

    @property
    def number(self) -> int:
        """Which one it is; host memory for it is marked so."""

    @property
    def resources(self) -> VgpuResources:
        """Its slices of graphics memory."""

    @property
    def registers(self) -> RegisterPage:
        """What it holds for its registers."""

    @property
    def ggtt(self) -> GuestTable:
        """Its guest's entries of the global table."""

    @property
    def port(self) -> GuestMemory:
        """The way to its guest's memory."""

    @property
    def display(self) -> Display:
        """What its guest sees."""


class AuditedVgpu(ScannedVgpu, Protocol[T]):
    """The same, and the address spaces that its guest has announced."""

    @property
    def platform(self) -> Platform:
        """The GPU that it is part of."""

    @property
    def tables(self) -> TablesOf[T]:
        """The address spaces."""
