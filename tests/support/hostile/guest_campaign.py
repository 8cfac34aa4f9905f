"""A campaign of a hostile guest: a program run on a fresh host beside an honest guest, judged all the time, and what is left when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from host_model.mediator.scheduler.fair import Fair
from host_model.mediator.scheduler.turns import DEFAULT_SWITCHING
from pvinfo.platform import PLATFORMS

from .campaign import Unhealthy, random_program, work_honestly
from .driver import ACT_BYTES
from .guest import HostileGuest
from .judge import Judge
from .neighbour import Neighbour, Wronged
from .stage import SHARES, Stage

__all__ = ("GuestOutcome", "campaigns", "guest_campaign", "guest_story", "results_alone")

_CLOSELY: Final = 16
"""Acts between two close looks: what is broken stays broken."""
_SECRETS: Final = 128
_SLICE_NS: Final = 100_000
_PATIENCE_NS: Final = 400_000
"""A hostile guest's work never ends: who waits for it all the time gets nowhere, so here nobody waits long."""


class GuestOutcome(NamedTuple):
    """What a campaign came to."""

    acts: int
    slices: int
    commands: int
    completed: int
    """Contexts of the hostile guest's that ran to their end."""
    failsafe: int
    """Times that it was not trusted any more."""
    pieces: int
    """Of the neighbour's work."""
    moves: int
    """Pages that the hostile guest moved between two pieces of honest work."""
    most_pins: int
    most_looks: int
    rules: frozenset[str]
    """Of the findings that it made."""
    digest: str


class _Alone:
    """The same neighbour on the same host, while the other guest does nothing."""

    def __init__(self, platform: str, track_writes: bool, hostile_first: bool) -> None:
        stage = Stage(PLATFORMS[platform], track_writes=track_writes, hostile_first=hostile_first)
        HostileGuest(stage.honest).begin()
        self._neighbour = Neighbour(stage.honest)

    def results(self, count: int) -> list[str]:
        while len(self._neighbour.results) < count:
            self._neighbour.go_on(patiently=True)
        return self._neighbour.results[:count]


_alone = cache(_Alone)


def results_alone(count: int, platform: str = "skl", *, track_writes: bool = True, hostile_first: bool = True) -> list[str]:
    """What the neighbour's first pieces of work come to while the other guest does nothing."""
    return _alone(platform, track_writes, hostile_first).results(count)


class _Campaign:
    """The first byte of the program decides on the port, on how much there is for shadow tables, and which vGPU was made first."""

    def __init__(self, program: bytes, platform: str, switching: str, *, closely: bool) -> None:
        first = program[0] if program else 0
        self.program = program
        self._closely = closely
        self._kind = platform, first % 2 == 0, first // 2 % 2 == 0
        scheduler = Fair(period_ns=2 * _SLICE_NS, least_slice_ns=_SLICE_NS, credit_ns=_SLICE_NS) if switching == DEFAULT_SWITCHING else "fair"
        self.stage = Stage(PLATFORMS[platform], track_writes=self._kind[1], hostile_first=self._kind[2], share=SHARES[first // 4 % len(SHARES)],
            scheduler=scheduler, patience_ns=_PATIENCE_NS, switching=switching)  # fmt: skip
        HostileGuest(self.stage.honest).begin()
        self.neighbour = Neighbour(self.stage.honest)
        self.words: list[str] = []
        self.guest = HostileGuest(self.stage.hostile, self.neighbour, self.words.append if closely else None)
        self.judge = Judge(self.stage, self.neighbour)

    def run(self) -> GuestOutcome:
        self._act()
        return self._end()

    def _act(self) -> None:
        self.guest.begin()
        for at in range(0, len(self.program), ACT_BYTES):
            self.guest.act(self.program[at : at + ACT_BYTES].ljust(ACT_BYTES, b"\0"))
            number = at // ACT_BYTES
            if self._closely or number % _CLOSELY == 0:
                self.judge.look_closely(at_memory=self._closely or number % _SECRETS == 0)
            else:
                self.judge.look()

    def _end(self) -> GuestOutcome:
        self.judge.look_closely()
        hostile, vgpu = self.stage.hostile, self.stage.hostile.vgpu
        rules = frozenset(finding.rule for finding in vgpu.findings)
        completed = sum(queue.completed for queue in vgpu.submission.queues.values())
        digest = hostile.digest()
        outcome = GuestOutcome(
            self.guest.acts, hostile.slices, sum(self.stage.host.gpu.engines.commands.values()), completed, vgpu.failsafe.entered,
            len(self.neighbour.results), self.guest.moves, self.judge.most_pins, hostile.most_looks, rules, digest,
        )  # fmt: skip
        self.neighbour.finish()
        self.guest.end()
        vgpu.config.write(0x04, 2, 0x0006)
        vgpu.reset()
        if vgpu.failsafe:
            raise Unhealthy("a device reset does not lead out of failsafe mode")
        if vgpu.tables.tables == 0:
            self.judge.nothing_left()
        work_honestly(hostile, self.guest, lambda engine: not vgpu.submission.is_running)
        self.judge.look_closely()
        vgpu.reset()
        self.judge.nothing_left()
        self.judge.look_closely()
        for _ in range(4):
            self.neighbour.go_on(patiently=True)
        self.neighbour.finish()
        self.judge.look_closely()
        platform, track_writes, hostile_first = self._kind
        alone = results_alone(len(self.neighbour.results), platform, track_writes=track_writes, hostile_first=hostile_first)
        if self.neighbour.results != alone:
            piece = next(number for number, result in enumerate(alone) if self.neighbour.results[number] != result)
            raise Wronged(f"piece {piece} of the other guest's work came to something else than when it was alone")
        return outcome


def guest_campaign(program: bytes, platform: str = "skl", switching: str = DEFAULT_SWITCHING) -> GuestOutcome:
    """Run ``program``. Raises: AssertionError where a rule is broken; whatever escapes the host, which is a defect, too."""
    return _Campaign(program, platform, switching, closely=False).run()


def guest_story(program: bytes, platform: str = "skl", switching: str = DEFAULT_SWITCHING) -> str:
    """The acts in words, each followed by a close look, up to the one that fails."""
    campaign = _Campaign(program, platform, switching, closely=True)
    try:
        campaign.run()
    except Exception as failure:  # it is told elsewhere what it was
        campaign.words.append(f"here {type(failure).__name__} was raised: {failure}")
    return "\n".join(campaign.words)


def campaigns(acts: int, platform: str, seeds: Sequence[int]) -> tuple[list[GuestOutcome], list[int]]:
    """A campaign of so many acts for each seed: what they came to, and which failed."""
    outcomes: list[GuestOutcome] = []
    failed: list[int] = []
    for seed in seeds:
        try:
            outcomes.append(guest_campaign(random_program(seed, acts), platform))
        except Exception:  # whatever escapes is a failure; it is told where it is made small
            failed.append(seed)
    return outcomes, failed
