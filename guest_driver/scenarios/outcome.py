"""What came of a run: plain records, which reports are made from and other processes can be sent."""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import NamedTuple

from pvinfo.finding import Finding
from pvinfo.page import Capability, GraphicsRange
from pvinfo.registers import FENCE_COUNT

from .access import Access, count_by_kind
from .needs import DeviceKind

__all__ = ("Check", "DriverRecord", "GuestRecord", "Offer", "Outcome", "Picture", "RunResult", "ScenarioResult", "Step", "View")

Json = dict[str, object]


class Outcome(Enum):
    """How a scenario ended."""

    PASSED = "passed"
    FAILED = "failed"
    SKIPPED = "skipped"


class View(Enum):
    """From where something was checked."""

    GUEST = "guest's view"
    HOST = "host's view"
    GPU = "the GPU's own view"
    BUS = "host's view, by the guest's bus"
    """The host is behind a socket, and what was asked of it was read back by the guest."""
    BEHIND_SOCKET = "host's view: behind the socket"
    """The host is behind a socket, and nothing on the bus shows what was asked."""


class Check(NamedTuple):
    """Something that must hold."""

    what: str
    view: View
    held: bool | None
    """None: it could not be checked."""
    expected: str
    actual: str
    place: str
    """File and line of the check."""

    def to_json(self) -> Json:
        """For ``--json``."""
        return {
            "what": self.what, "view": self.view.value, "held": self.held,
            "expected": self.expected, "actual": self.actual, "place": self.place,
        }  # fmt: skip


class Picture(NamedTuple):
    """What a monitor showed."""

    caption: str
    width: int
    height: int
    png: bytes
    digest: str
    """SHA-256 of the pixels, four bytes each, in hexadecimal: the same picture has the same, however it is packed."""

    def to_json(self) -> Json:
        """For ``--json``: without the pixels."""
        return {"caption": self.caption, "width": self.width, "height": self.height, "sha256": self.digest}


class Step(NamedTuple):
    """A part of the story, with the checks made in it."""

    title: str
    time_ns: int
    checks: tuple[Check, ...]
    begins_at: tuple[int, ...]
    """How many accesses each guest had made when it began."""
    pictures: tuple[Picture, ...] = ()
    """What monitors showed in it."""


class Offer(NamedTuple):
    """What a guest is offered: the geometry of its GPU, and the page as the guest will read it.

    A physical GPU has no page; all of it is offered.
    """

    aperture_size: int
    """Length of base address register 2; 0 without one."""
    ggtt_size: int
    """Bytes of graphics memory that the table translates."""
    magic: int
    version_major: int
    vgt_id: int
    capabilities: Capability
    mappable: GraphicsRange
    nonmappable: GraphicsRange
    fence_num: int
    device: DeviceKind = DeviceKind.VGPU

    @classmethod
    def of_physical(cls, aperture_size: int, ggtt_size: int) -> Offer:
        """All of a GPU."""
        return cls(
            aperture_size, ggtt_size, 0, 0, 0, Capability(0),
            GraphicsRange(0, aperture_size), GraphicsRange(aperture_size, ggtt_size - aperture_size), FENCE_COUNT, DeviceKind.PHYSICAL,
        )  # fmt: skip

    def owns_page(self, index: int) -> bool:
        """Graphics page ``index`` lies in one of the slices."""
        address = index << 12
        return any(part.base <= address < part.base + part.size for part in (self.mappable, self.nonmappable))

    def to_json(self) -> Json:
        """For ``--json``: of a physical GPU nothing that only a page says."""
        geometry: Json = {
            "device": self.device.word, "aperture": self.aperture_size, "graphics_memory": self.ggtt_size, "fences": self.fence_num,
        }  # fmt: skip
        if self.device is DeviceKind.PHYSICAL:
            return geometry
        return {
            **geometry,
            "version": self.version_major,
            "caps": int(self.capabilities),
            "mappable": [self.mappable.base, self.mappable.base + self.mappable.size],
            "nonmappable": [self.nonmappable.base, self.nonmappable.base + self.nonmappable.size],
        }


class DriverRecord(NamedTuple):
    """One driver of a scenario."""

    path: tuple[str, ...]
    """Every state it was in, in order."""
    entered_at: tuple[int, ...]
    """How many accesses its guest had made when it was first seen in each."""
    log: tuple[str, ...]
    """What it said."""
    requests: dict[str, int]
    """Requests that were done, by engine; empty where there are no engines at work."""


class GuestRecord(NamedTuple):
    """One virtual machine of a scenario."""

    name: str
    offer: Offer
    accesses: tuple[Access, ...]
    drivers: tuple[DriverRecord, ...]

    def to_json(self) -> Json:
        """For ``--json``."""
        return {
            "name": self.name,
            "offer": self.offer.to_json(),
            "accesses": count_by_kind(self.accesses),
            "states": [list(driver.path) for driver in self.drivers],
            "log": [list(driver.log) for driver in self.drivers],
            **({"requests": self.requests} if self.requests else {}),
        }

    @property
    def requests(self) -> dict[str, int]:
        """Requests that its drivers saw done, by engine."""
        counted: Counter[str] = Counter()
        for driver in self.drivers:
            counted.update(driver.requests)
        return dict(counted)


class ScenarioResult(NamedTuple):
    """One scenario, told."""

    name: str
    purpose: str
    place: str
    """File and line where it is written."""
    outcome: Outcome
    reason: str
    """Why it failed or was skipped; empty otherwise."""
    setting: tuple[str, ...]
    """On what it ran, in sentences."""
    duration_ns: int
    """On the guests' clock."""
    steps: tuple[Step, ...]
    guests: tuple[GuestRecord, ...]
    findings: tuple[Finding, ...]
    vgpus: tuple[Json, ...]
    """The host's own account of each vGPU; empty behind a socket."""
    gpus: tuple[Json, ...] = ()
    """A physical GPU's own account, where a machine has one to itself; empty behind a socket."""
    hosts: tuple[Json, ...] = ()
    """The account of the host's own device, where its driver is on the stage."""

    @property
    def checks(self) -> tuple[Check, ...]:
        """Every check, in order."""
        return tuple(check for step in self.steps for check in step.checks)

    @property
    def pictures(self) -> tuple[Picture, ...]:
        """What monitors showed, in order."""
        return tuple(picture for step in self.steps for picture in step.pictures)

    @property
    def accesses(self) -> int:
        """Accesses of all guests."""
        return sum(len(guest.accesses) for guest in self.guests)


class RunResult(NamedTuple):
    """A whole run."""

    version: str
    """Of the kit."""
    platform: str
    where: str
    """``in process``, or the sockets."""
    seed: int
    scenarios: tuple[ScenarioResult, ...]

    @property
    def ok(self) -> bool:
        """Something ran, and nothing failed."""
        return self.count(Outcome.FAILED) == 0 and self.count(Outcome.PASSED) > 0

    def count(self, outcome: Outcome) -> int:
        """Scenarios that ended so."""
        return sum(result.outcome is outcome for result in self.scenarios)
