"""A piece of work: one context of a submission, from the guest's write to its completion."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple, final

from pvinfo.execlist import ContextDescriptor

from ...device.interrupts import Event
from ..audit.audit import Audited, AuditedWorkaround
from ..shadow.ppgtt import ProcessTables
from .execlist import Elements
from .guest_context import ContextPages, ContextState

if TYPE_CHECKING:
    from ..shadow.ppgtt import ShadowTables

__all__ = ("Prepared", "Workload")


class Prepared(NamedTuple):
    """The private copy of what the guest wants executed, audited."""

    commands: array[int]
    ring: Audited[ProcessTables]
    workaround: AuditedWorkaround[ProcessTables] | None

    @property
    def events(self) -> frozenset[Event]:
        """What the guest is to be told at the end."""
        return self.ring.events | (self.workaround.events if self.workaround is not None else frozenset())

    def release(self, spaces: ShadowTables) -> None:
        """Give back what the audit has taken."""
        for part in (self.ring, self.workaround):
            if part is not None:
                for batch in part.batches:
                    batch.release()
                for tables in part.tables:
                    spaces.unpin(tables)
                    spaces.release(tables)


@final
class Workload:
    """One context to be run from head to tail."""

    def __init__(
        self, descriptor: ContextDescriptor, pages: ContextPages, state: ContextState, tables: ProcessTables, elements: Elements | None
    ) -> None:
        self.descriptor = descriptor
        self.pages = pages
        self.state = state
        self.tables = tables
        """The address space; this holds a reference."""
        self.elements = elements
        """The guest's submission, for the first context of it."""
        self.prepared: Prepared | None = None
        self.pinned = False
        """The shadow of the address space is held for the GPU."""

    def let_go(self, spaces: ShadowTables) -> None:
        """Give back all that was taken for it; the GPU does not use it any more."""
        if self.pinned:
            self.pinned = False
            spaces.unpin(self.tables)
        prepared, self.prepared = self.prepared, None
        if prepared is not None:
            prepared.release(spaces)
        spaces.release(self.tables)
