"""The kernel's own mediator on our physical GPU: what it offered, made, refused and took back.

The machine under test is a *host* here: its i915 owns the GPU and kvmgt shares it out. The machine's
init says what it saw, line by line; this is the meaning of those lines, and the judgement.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

__all__ = ("MEDIATOR_ARGUMENTS", "MEDIATOR_MODULES", "KvmgtReport", "OfferedType", "RegisterDifference", "read_kvmgt")

MEDIATOR_MODULES: Final = ("vfio", "mdev", "kvmgt", "kvm", "vfio_iommu_type1", "vfio-pci")
"""What shares a GPU out to virtual machines, in load order; the processor's own half of KVM comes on top."""

MEDIATOR_ARGUMENTS: Final = ("i915.enable_gvt=1",)
"""Without it i915 keeps no snapshot of the registers, and kvmgt finds nothing to mediate."""


class OfferedType(NamedTuple):
    """A vGPU type on a fresh host: how many fit, and the lines of its description by name."""

    instances: int
    description: Mapping[str, str]


class RegisterDifference(NamedTuple):
    """``mmio_diff`` of a new vGPU: registers compared, and those that differ from the hardware's."""

    total: int
    different: int


class KvmgtReport(NamedTuple):
    """What the mediator did; ``created`` vGPUs were of the ``smallest`` type.

    ``refused`` is how the one too many failed, None when nothing was refused. ``left`` are the
    instances on offer once every vGPU was removed.
    """

    types: Mapping[str, OfferedType]
    tracked: int | None
    smallest: str | None
    created: int
    refused: str | None
    difference: RegisterDifference | None
    left: Mapping[str, int]

    def failure(self) -> str | None:
        """Why the mediator did not do what a host's does; None when it did."""
        if not self.types:
            return "kvmgt offers no vGPU type"
        if not self.tracked:
            return "kvmgt tracks no register"
        if self.smallest is None or self.smallest not in self.types:
            return f"no vGPU could be made ({self.refused or 'none was asked for'})"
        limit = self.types[self.smallest].instances
        if self.created < limit:
            why = self.refused or "the machine ended"
            return f"{self.created} vGPUs of {self.smallest} could be made where {limit} are on offer ({why})"
        if self.refused is None:
            return f"kvmgt made {self.created} vGPUs of {self.smallest} where it offers {limit}: the one too many was not refused"
        if self.difference is None:
            return "the registers of a vGPU cannot be compared with the hardware's (mmio_diff)"
        offered = {name: offer.instances for name, offer in self.types.items()}
        if self.left != offered:
            return f"removed vGPUs do not give back what they held: {dict(self.left)} left of {offered}"
        return None


def read_kvmgt(lines: Iterable[str]) -> KvmgtReport | None:
    """The report in ``lines``, the words after ``kvmgt`` of each marker; None when there are none."""
    types: dict[str, OfferedType] = {}
    left: dict[str, int] = {}
    tracked: int | None = None
    smallest: str | None = None
    created = 0
    refused: str | None = None
    difference: RegisterDifference | None = None
    spoken = False
    for line in lines:
        spoken = True
        kind, _, rest = line.partition(" ")
        words = rest.split()
        if kind == "type" and len(words) >= 2 and words[1].isdecimal():
            types[words[0]] = OfferedType(int(words[1]), _described(rest.split(maxsplit=2)[2:]))
        elif kind == "left" and len(words) == 2 and words[1].isdecimal():
            left[words[0]] = int(words[1])
        elif kind == "tracked" and rest.isdecimal():
            tracked = int(rest)
        elif kind == "created" and rest:
            smallest = rest
            created += 1
        elif kind == "refused":
            refused = rest
        elif kind == "diff" and len(words) == 2 and all(word.isdecimal() for word in words):
            difference = RegisterDifference(int(words[0]), int(words[1]))
    return KvmgtReport(types, tracked, smallest, created, refused, difference, left) if spoken else None


def _described(words: list[str]) -> dict[str, str]:
    pairs = (line.partition(":") for text in words for line in text.split(";"))
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}
