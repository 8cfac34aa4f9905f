"""A piece of work: one context of a submission, from the guest's write to its completion."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, NamedTuple, final

from pvinfo.execlist import ContextDescriptor

from .execlist import Elements
from .guest_context import ContextPages, ContextState

if TYPE_CHECKING:
    from ..audit.audit import Audited, AuditedWorkaround
    from ..shadow.ppgtt import ProcessTables

__all__ = ("Prepared", "Workload")


class Prepared(NamedTuple):
    """The private copy of what the guest wants executed, audited."""

    commands: array[int]
    audited: Audited
    workaround: AuditedWorkaround | None


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
        self.pinned: list[ProcessTables] = []
        self.submitted_ns = 0

    def release_prepared(self) -> None:
        """Give back what the audit has taken."""
        prepared, self.prepared = self.prepared, None
        if prepared is not None:
            prepared.audited.release()
            if prepared.workaround is not None:
                prepared.workaround.release()
