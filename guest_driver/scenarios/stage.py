"""The stage: what a scenario is handed, and what it tells the audience."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Collection, Iterable
from hashlib import sha256
from pathlib import Path
from typing import Final, NamedTuple, NoReturn, TypeVar, final

from host_model.gpu.device import PhysicalGpu
from host_model.host import Host
from host_model.mediator.client import Client
from host_model.mediator.host_path.device import HostDevice
from host_model.mediator.vgpu import Vgpu
from host_model.scanout import Frame, png, scan_out
from host_model.scanout.planes import ScannedDevice
from pvinfo.errors import UsageError
from pvinfo.finding import Finding, FindingKind
from pvinfo.platform import Platform

from .guest import Guest
from .needs import DeviceKind
from .outcome import Check, Picture, Step, View
from .words import in_words

__all__ = ("CannotStage", "CheckFailed", "Setting", "Stage")

E = TypeVar("E", bound=BaseException)
T = TypeVar("T")


class CannotStage(Exception):
    """The scenario cannot be played here; the message says why. It counts as skipped."""


class CheckFailed(Exception):
    """Something that must hold does not; the scenario ends with it."""


class Setting(NamedTuple):
    """What a place provides for one scenario."""

    platform: Platform
    guests: tuple[Guest, ...]
    vgpus: tuple[Vgpu, ...]
    """The host's ends, in the guests' order; empty behind a socket, and without a mediator."""
    host: Host | None
    remarks: tuple[str, ...]
    """On what it plays, in sentences."""
    bare_gpu: PhysicalGpu | None = None
    """The GPU that the one guest has to itself; None behind a socket."""
    own: HostDevice | None = None
    """The host's own device, where its driver is the one guest."""
    move: Callable[[Setting, Host | None], Setting] | None = None
    """Move all machines to a host, by default to another one like the first."""

    @property
    def clients(self) -> tuple[Client, ...]:
        """The mediator's ends, in the guests' order; empty behind a socket, and without a mediator."""
        return (self.own,) if self.own is not None else self.vgpus

    @property
    def gpu(self) -> PhysicalGpu | None:
        """The GPU that executes, whoever owns it; None behind a socket."""
        return self.host.gpu if self.host is not None else self.bare_gpu


_OPENING: Final = "the curtain rises"
_LONG_PAUSE_NS: Final = 3_000_000
"""Some turns of a mediator."""
_COMPRESSION: Final = 9
"""Of pictures: a report holds many."""


def _caller() -> str:
    """File and line outside this module that called into it."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename == __file__:
        frame = frame.f_back
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"


def _accusations(findings: Iterable[Finding], expected: Collection[str] = ()) -> list[str]:
    """Those that say that somebody has done wrong, and were not expected, in words."""
    return [
        f"{finding.rule} at {finding.where}: {finding.text}"
        for finding in findings
        if finding.kind is FindingKind.GUEST_FAULT and finding.rule not in expected
    ]


@final
class Stage:
    """Machines with GPUs, and a narrator.

    ``step`` says what happens next; ``check`` what must hold on the guest's side; ``host_view`` what must hold on the
    host's, ``gpu_view`` what in the hardware. A check that fails ends the scenario. In process every finding that accuses
    the guest fails the scenario at its end, unless it was expected.
    """

    def __init__(self, setting: Setting, seed: str) -> None:
        self.platform = setting.platform
        self.guests = setting.guests
        self.random = random.Random(seed)
        """The scenario's own randomness: the same for the same seed, and for every seed where it does not say what varies."""
        self._setting = setting
        self._steps: list[Step] = []
        self._checks: list[Check] = []
        self._pictures: list[Picture] = []
        self._title = _OPENING
        self._began_ns = 0
        self._begins_at = tuple(0 for _ in self.guests)
        self._start_ns = [guest.machine.clock.now_ns() for guest in self.guests]
        self._expected_rules: set[tuple[int, str]] = set()
        self.remarks = list(setting.remarks)

    @property
    def guest(self) -> Guest:
        """The first virtual machine; most scenarios have no other."""
        return self.guests[0]

    @property
    def setting(self) -> Setting:
        """Where it plays, now."""
        return self._setting

    @property
    def mediated(self) -> bool:
        """There is a mediator between the guest and the GPU."""
        return self.guest.offer.device is not DeviceKind.PHYSICAL

    @property
    def sees_host(self) -> bool:
        """The host is in this process."""
        return self._setting.gpu is not None

    # ---- narration ----

    def step(self, title: str) -> None:
        """What happens from here on, in a phrase."""
        self._end_step()
        self._title = title
        self._began_ns = self.elapsed_ns()
        self._begins_at = tuple(len(guest.accesses) for guest in self.guests)

    def remark(self, sentence: str) -> None:
        """Something that a reader of the report should know of the setting."""
        self.remarks.append(sentence)

    def skip(self, reason: str) -> NoReturn:
        """End the scenario: it means nothing here. Raises: CannotStage, always."""
        raise CannotStage(reason)

    def elapsed_ns(self) -> int:
        """Time since the beginning, on the first guest's clock."""
        return self.guest.machine.clock.now_ns() - self._start_ns[0]

    def _end_step(self) -> None:
        idle = self._title == _OPENING and not self._checks and not any(len(guest.accesses) for guest in self.guests)
        if not idle:
            self._steps.append(Step(self._title, self._began_ns, tuple(self._checks), self._begins_at, tuple(self._pictures)))
        self._checks, self._pictures = [], []

    # ---- chance ----

    def shuffled(self, things: Iterable[T]) -> list[T]:
        """``things`` in an order that is left to chance."""
        taken = list(things)
        self.random.shuffle(taken)
        return taken

    def dawdle(self, longest_ns: int = _LONG_PAUSE_NS) -> None:
        """Let time pass, between next to none and ``longest_ns``: short pauses are as likely as long ones."""
        self.guest.wait(int(longest_ns ** self.random.random()))

    # ---- pictures ----

    def picture(self, caption: str, *, guest: int = 0) -> Frame | None:
        """What the monitor of guest number ``guest`` shows now, which is also put into the report under ``caption``; None when it shows
        nothing, and behind a socket, where nobody sees it."""
        screen = self._screen(guest)
        if screen is None:
            self._checks.append(Check(caption, View.BEHIND_SOCKET, None, "a picture", "", _caller()))
            return None
        frame = scan_out(screen)
        if frame is not None:
            digest = sha256(frame.pixels).hexdigest()
            self._pictures.append(Picture(caption, frame.width, frame.height, png(frame, level=_COMPRESSION), digest))
        return frame

    def _screen(self, guest: int) -> ScannedDevice | None:
        """Whose monitor guest number ``guest`` has; None behind a socket."""
        setting = self._setting
        if setting.own is not None:
            return setting.own.screen
        return setting.vgpus[guest] if setting.vgpus else setting.bare_gpu

    # ---- checks ----

    def _enter(self, what: str, view: View, actual: object, expected: object, place: str | None = None) -> None:
        held = bool(actual == expected)
        shown, wanted = in_words(actual), in_words(expected)
        if not held and shown == wanted:
            shown, wanted = repr(actual), repr(expected)
        place = place if place is not None else _caller()
        self._checks.append(Check(what, view, held, wanted, shown, place))
        if not held:
            raise CheckFailed(f"{place}: {what} ({view.value}): expected {wanted}, but it is {shown}")

    def check(self, what: str, actual: object, expected: object) -> None:
        """``what`` must hold on the guest's side: ``actual`` equals ``expected``. Raises: CheckFailed, which ends the scenario."""
        self._enter(what, View.GUEST, actual, expected)

    def check_raises(self, what: str, error: type[E], act: Callable[[], object]) -> E:
        """``act`` must raise ``error``, which is returned. Raises: CheckFailed when it does not."""
        try:
            act()
        except error as raised:
            self._enter(what, View.GUEST, error.__name__, error.__name__)
            return raised
        self._enter(what, View.GUEST, "no error", error.__name__)
        raise CheckFailed(what)

    def host_view(
        self, what: str, see: Callable[[Vgpu], object], expected: object,
        *, guest: int = 0, through_bus: Callable[[], object] | None = None,
    ) -> None:  # fmt: skip
        """``what`` must hold on the host's side: what ``see`` finds at the vGPU of guest number ``guest``.

        Behind a socket nobody sees it; ``through_bus`` is how the guest can read back the same, and is tried everywhere.

        Raises: CheckFailed, which ends the scenario; UsageError where there is no vGPU.
        """
        if self._setting.bare_gpu is not None:
            raise UsageError(f"{what}: a host's view of a vGPU, and here is a physical GPU, of which gpu_view shows something")
        if self._setting.own is not None:
            raise UsageError(f"{what}: a host's view of a vGPU, and here is the host's own device, of which client_view shows something")
        vgpus = self._setting.vgpus
        self._look(what, View.HOST, (lambda: see(vgpus[guest])) if vgpus else None, expected, through_bus)

    def client_view(self, what: str, see: Callable[[Client], object], expected: object, *, guest: int = 0) -> None:
        """As :meth:`host_view`, of what a vGPU and the host's own device have in common. Raises: CheckFailed, which ends the scenario."""
        clients = self._setting.clients
        self._look(what, View.HOST, (lambda: see(clients[guest])) if clients else None, expected, None)

    def screen_view(self, what: str, see: Callable[[ScannedDevice], object], expected: object, *, guest: int = 0) -> None:
        """``what`` must hold of what the monitor of guest number ``guest`` shows. Raises: CheckFailed, which ends the scenario."""
        screen = self._screen(guest)
        self._look(what, self._own_view, (lambda: see(screen)) if screen is not None else None, expected, None)

    def gpu_view(
        self, what: str, see: Callable[[PhysicalGpu], object], expected: object, *, through_bus: Callable[[], object] | None = None
    ) -> None:
        """``what`` must hold inside the GPU that executes, be it the guest's own or shared: what ``see`` finds there.

        Behind a socket it is as with :meth:`host_view`. Raises: CheckFailed, which ends the scenario.
        """
        gpu = self._setting.gpu
        self._look(what, View.GPU, (lambda: see(gpu)) if gpu is not None else None, expected, through_bus)

    def _look(
        self, what: str, view: View, see: Callable[[], object] | None, expected: object, through_bus: Callable[[], object] | None
    ) -> None:
        if see is not None:
            self._enter(what, view, see(), expected)
        if through_bus is not None:
            self._enter(what, View.BUS, through_bus(), expected)
        elif see is None:
            self._checks.append(Check(what, View.BEHIND_SOCKET, None, in_words(expected), "", _caller()))

    def host_does(self, what: str, act: Callable[[Vgpu], object], *, guest: int = 0) -> bool:
        """An act of the host's own, at the vGPU of guest number ``guest``; False behind a socket, where nobody can ask for it."""
        if self._setting.vgpus:
            act(self._setting.vgpus[guest])
            return True
        self._checks.append(Check(f"the host {what}", View.BEHIND_SOCKET, None, "done", "", _caller()))
        return False

    def expect_finding(self, rule: str, *, guest: int = 0, times: int | None = None) -> None:
        """The host must have noticed that the guest broke ``rule``, ``times`` times where that is said.

        Raises: CheckFailed, which ends the scenario.
        """
        self._expected_rules.add((guest, rule))

        def seen() -> int:
            counted = sum(finding.occurrences for finding in self._found(guest) if finding.rule == rule)
            return counted if times is not None else min(counted, 1)

        how_often = "" if times is None else f", {times} times" if times != 1 else ", once"
        self._look(
            f"the host noticed: {rule}{how_often}", self._own_view, seen if self.sees_host else None, times if times is not None else 1, None
        )

    def move(self, to: Host | None = None) -> None:
        """All machines are moved, with whatever goes on in them, to the host ``to``, by default to another one like theirs. What was
        noticed of the guests so far must have been expected; the new host begins with a clean slate.

        Raises: CannotStage unless the scenario needs it; SaveRefused, RestoreRefused, and all goes on where it was; CheckFailed.
        """
        if self._setting.move is None:
            raise CannotStage("machines of this place stay where they are")
        setting = self._setting.move(self._setting, to)
        self.finish(_caller())
        self._setting = setting

    # ---- the end ----

    def _found(self, guest: int) -> list[Finding]:
        """What was noticed of guest number ``guest``: by the mediator, and by the GPU while it worked for that guest."""
        gpu = self._setting.gpu
        if gpu is None:
            return []
        if self._setting.bare_gpu is not None:
            return list(gpu.findings)
        client = self._setting.clients[guest]
        return [*client.findings, *(finding for finding in gpu.findings if finding.vgpu == client.number)]

    def _found_of_host(self) -> list[Finding]:
        """What the GPU noticed of the host itself, where there is one and it is not on the stage."""
        host = self._setting.host if self._setting.own is None else None
        return [finding for finding in host.gpu.findings if not finding.vgpu] if host is not None else []

    @property
    def _own_view(self) -> View:
        """From where findings are made."""
        return View.GPU if self._setting.bare_gpu is not None else View.HOST

    def findings(self) -> tuple[Finding, ...]:
        """Everything the host noticed, of every guest."""
        if not self.sees_host:
            return ()
        return (*self._found_of_host(), *(finding for number in range(len(self.guests)) for finding in self._found(number)))

    def finish(self, place: str) -> None:
        """The host must have noticed nothing else that accuses a guest of the scenario at ``place``, and have done nothing wrong
        itself. Raises: CheckFailed."""
        if not self.sees_host:
            return
        for index, guest in enumerate(self.guests):
            expected = {rule for of, rule in self._expected_rules if of == index}
            self._enter(f"the host accuses {guest.name} of nothing else", self._own_view, _accusations(self._found(index), expected), [], place)
        host = self._setting.host
        if host is not None:
            self._enter("the GPU accuses the host of nothing", View.GPU, _accusations(self._found_of_host()), [], place)
            self._enter("pages that the GPU asked for and must not have", View.GPU, host.guard.violations, 0, place)

    def steps(self) -> tuple[Step, ...]:
        """What was told so far, the present step included."""
        self._end_step()
        self._title = _OPENING
        return tuple(self._steps)
