"""Address spaces on the bench of shadow tables: what tests about them make and look at."""

from __future__ import annotations

import pytest

from host_model.mediator.refusal import Refused
from host_model.mediator.shadow.ppgtt import ProcessTables
from .shadow_rig import ShadowRig

__all__ = (
    "DIRECTORY", "DIRTY", "HUGE", "IPS", "KEPT", "LARGE_PAT", "POINTERS", "ROOT", "SCRATCH_AND_NOTHING", "TABLE", "chains",
    "four_levels", "leaf", "refused", "use",
)  # fmt: skip

ROOT, POINTERS, DIRECTORY, TABLE = 0x1000, 0x2000, 0x3000, 0x4000
SCRATCH_AND_NOTHING = 5
"""Pages that a vGPU with tables has besides them: scratch of four levels, and a table without entries."""
IPS, HUGE, DIRTY, LARGE_PAT = 1 << 11, 1 << 7, 1 << 6, 1 << 12
KEPT = ~((1 << 46) - (1 << 12)) & (1 << 64) - 1


def four_levels(rig: ShadowRig) -> ProcessTables:
    """A space whose first 2 MiB have a page table without entries."""
    rig.chain(ROOT, POINTERS, DIRECTORY, TABLE)
    return rig.tables.create(4, (ROOT,))


def refused(rig: ShadowRig, space: ProcessTables) -> Refused:
    """What the guest is told when the space is about to be used."""
    with pytest.raises(Refused) as caught:
        rig.tables.pin(space)
    assert not space.pins
    rig.check()
    return caught.value


def use(rig: ShadowRig, space: ProcessTables) -> None:
    """Pin the space for a moment; afterwards there is nothing to be looked at."""
    rig.tables.pin(space)
    rig.check()
    assert rig.tables._is_current(space)
    rig.tables.unpin(space)


def leaf(rig: ShadowRig, space: ProcessTables, index: int) -> int:
    """An entry of the shadow of the page table, found by following the shadow from its root."""
    table = space.shadow_roots[0]
    for _ in range(3):
        table = rig.shadow(table)[0]
    return rig.shadow(table)[index]


def chains(rig: ShadowRig, count: int) -> list[ProcessTables]:
    """Spaces of four tables each, that share none; each leads to a page of its own."""
    spaces = []
    for number in range(count):
        first = (number + 1) * 0x1_0000
        rig.chain(*range(first, first + 0x4000, 0x1000))
        rig.set(first + 0x3000, 0, first + 0x4000 | 3)
        spaces.append(rig.tables.create(4, (first,)))
    return spaces
