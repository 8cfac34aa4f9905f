"""A run: guests booted side by side on the host's vGPUs until each has ended, then judged."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Final, NamedTuple

from host_model.boot.guest import Guest, StageObserver
from host_model.boot.guest_log import GuestReport
from host_model.boot.host_side import HostFactory, HostRequest, HostSide
from host_model.boot.initramfs import AddedFile, build_image
from host_model.boot.parts import GuestParts, kernel_release
from host_model.boot.pictures import Pictures
from host_model.boot.qemu import Accelerator, GuestMachine, virtualisation_module
from host_model.mediator.scheduler.options import ScheduleChoice
from host_model.monitor_choice import MonitorChoice
from host_model.view.server import ViewAddress
from pvinfo.finding import FindingKind

__all__ = ("GUEST_NUMBER", "BootPlan", "BootResult", "GuestOutcome", "boot_guests")

GUEST_NUMBER: Final = "HOST_MODEL_GUEST"
"""The variable that tells a post script which of the guests it runs in, from 0."""

_KEEPS_PICTURES: Final = "HOST_MODEL_SCREENSHOT"
"""The variable that is set in a guest whose wishes for pictures are heard."""
_NAMED: Final = 3
"""Faults that are named one by one."""
_STEP_S: Final = 0.1
_DRAIN_S: Final = 1.0
_PICTURE_DRAIN_S: Final = 0.2
"""For how long what a guest drew before it asked for a picture is waited for."""


class BootPlan(NamedTuple):
    """What to boot: ``guests`` machines alike, each with one vGPU, all of one type or each of its own.

    With ``own_weight``, the first of them is the host's: its driver has the host's own device, which has that weight. ``physical``
    gives the physical GPU to a single machine instead; ``kvmgt`` has that machine share it out by the kernel's own mediator.
    """

    parts: GuestParts
    accelerator: Accelerator
    guests: int = 1
    platform: str = "skl"
    vgpu_types: Sequence[str] = ()
    """One for all vGPUs, or one for each; none for the platform's smallest."""
    aperture_mib: int | None = None
    memory_mib: int = 1024
    timeout_s: float = 120.0
    kernel_arguments: Sequence[str] = ()
    post: Path | None = None
    added: Sequence[AddedFile] = ()
    trace: Path | None = None
    console: Path | None = None
    with_gpu: bool = True
    physical: bool = False
    own_weight: int | None = None
    kvmgt: bool = False
    opregion: bool = True
    """Have the guests' firmware declare the connectors of their vGPUs."""
    screenshots: Path | None = None
    """A folder for pictures of the guests' screens."""
    view: ViewAddress | None = None
    monitor: MonitorChoice = MonitorChoice()
    """What is plugged into each guest's device."""
    schedule: ScheduleChoice = ScheduleChoice()
    """Which of the guests has the GPU when, and the picture of it."""

    def is_host(self, number: int) -> bool:
        """Machine ``number`` is the host's: its GPU, or the host's share of it, is its driver's own."""
        return self.physical or (self.own_weight is not None and number == 0)


class GuestOutcome(NamedTuple):
    """How one guest of a run ended, and what its log shows."""

    report: GuestReport
    seconds: float
    timed_out: bool
    exit_status: int | None
    post_output: str
    qemu_messages: str
    screenshots: tuple[Path, ...] = ()
    no_screenshot: str | None = None
    """Why there is no picture of the guest's end, where one was asked for."""

    def failure(self, *, with_post: bool, physical: bool = False, is_host: bool = False, kvmgt: bool = False) -> str | None:
        """Why this guest did not do what it was booted for; None when it did."""
        report = self.report
        if self.timed_out:
            return f"no end after {self.seconds:.1f} s; the last stage was {report.stage.value}"
        if not report.finished:
            return f"{self._how_qemu_ended()} in the guest's stage {report.stage.value}"
        if not report.driver_initialized:
            return "the driver did not initialise"
        if physical and report.detected:
            return "the driver took the physical GPU for a vGPU"
        if is_host and report.wedged:
            return "the driver gave the GPU up (wedged)"
        if kvmgt and (why := report.kvmgt.failure() if report.kvmgt else "kvmgt was not tried"):
            return why
        if with_post and report.post_status != 0:
            return f"the post script ended with status {report.post_status}"
        return None

    def _how_qemu_ended(self) -> str:
        status = "was stopped" if self.exit_status is None else f"ended with status {self.exit_status}"
        panics = [line for line in self.report.warnings if line.startswith("Kernel panic")]
        said = panics or self.qemu_messages.strip().splitlines()
        return f"QEMU {status} ({said[0]})" if said else f"QEMU {status}"


class BootResult(NamedTuple):
    """What both sides saw: ``host`` is the host's own report, as JSON-ready values."""

    plan: BootPlan
    host: dict[str, object]
    guests: tuple[GuestOutcome, ...]

    def clients(self) -> list[object]:
        """What the host says of the device of each guest, of its own first."""
        return [*([self.host["host"]] if "host" in self.host else []), *self._vgpus()]

    def _vgpus(self) -> list[object]:
        vgpus = self.host.get("vgpus")
        return vgpus if isinstance(vgpus, list) else []

    def failures(self) -> list[str]:
        """Why the run failed, one sentence for each guest that did; empty when all is well."""
        plan = self.plan
        reasons = [
            outcome.failure(with_post=plan.post is not None, physical=plan.physical, is_host=plan.is_host(number), kvmgt=plan.kvmgt)
            for number, outcome in enumerate(self.guests)
        ]
        failures = [f"guest {number}: {why}" for number, why in enumerate(reasons) if why]
        gpu = self.host.get("gpu")
        violations = gpu.get("isolation_violations") if isinstance(gpu, dict) else 0
        if violations:
            failures.append(f"host: the GPU touched memory outside the running vGPU {violations} times")
        if not self.host.get("ok", True):
            failures.append(f"host: its findings accuse a guest of {self._accusations(_faults([*self._vgpus(), gpu]))}")
        if faults := _faults([self.host.get("host")]):
            failures.append(f"host: its findings accuse its own machine of {self._accusations(faults)}")
        return failures

    def _accusations(self, faults: Sequence[str]) -> str:
        """What is found fault with, and who may have done it: where nothing else runs, it is the driver."""
        named = ", ".join(faults[:_NAMED]) or "faults"
        if len(faults) > _NAMED:
            named += f" and {len(faults) - _NAMED} more"
        if self.plan.post is not None:
            return f"{named}: the driver, or a program of the post script"
        return f"{named}, which a real driver does not make"


def _faults(devices: Sequence[object]) -> list[str]:
    """Faults among the findings about these devices of the host's report, in words."""
    return [
        f"{finding['rule']} at {finding['where']} ({'once' if finding['count'] == 1 else '%d times' % finding['count']})"
        for device in devices if isinstance(device, dict)
        for finding in device.get("findings", ()) if finding["kind"] == FindingKind.GUEST_FAULT.value
    ]  # fmt: skip


def boot_guests(
    plan: BootPlan, make_host: HostFactory, observe: StageObserver, announce_view: Callable[[str], None] = lambda url: None
) -> BootResult:
    """Boots the plan's guests against the host that ``make_host`` makes.

    ``announce_view`` is told where the live view is, when there is one.

    Whatever ends the run, an exception or an interrupt included, no process, socket or temporary
    file is left.

    Raises:
        SetupError: a part does not fit the others, or the host cannot serve what is asked for.
    """
    parts = plan.parts
    image = build_image(
        parts.busybox,
        parts.modules,
        kernel_arguments=plan.kernel_arguments,
        kernel_release=kernel_release(parts.kernel),
        post=plan.post,
        added=plan.added,
        virtualisation=virtualisation_module(plan.accelerator) if plan.kvmgt else None,
    )
    with ExitStack() as stack:
        folder = Path(tempfile.mkdtemp(prefix="gvt-boot-"))
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        initramfs = folder / "initramfs"
        initramfs.write_bytes(image.archive)
        sockets = [folder / f"gpu{number}" for number in range(plan.guests)]
        request = HostRequest(
            sockets, plan.platform, plan.vgpu_types, plan.aperture_mib, plan.trace, plan.physical, plan.own_weight,
            pictures=plan.screenshots is not None, view=plan.view, monitor=plan.monitor, schedule=plan.schedule,
        )  # fmt: skip
        host = stack.enter_context(closing(make_host(request)))
        if host.view_url is not None:
            announce_view(host.view_url)
        pictures = None if plan.screenshots is None else Pictures(plan.screenshots, host)
        keeps_pictures = () if pictures is None else (f"{_KEEPS_PICTURES}=1",)
        guests = []
        for number, socket in enumerate(sockets):
            machine = GuestMachine(
                kernel=parts.kernel,
                initramfs=initramfs,
                # What the kernel does not know it hands to init as its environment.
                kernel_arguments=(*image.kernel_arguments, f"{GUEST_NUMBER}={number}", *keeps_pictures),
                memory_mib=plan.memory_mib,
                accelerator=plan.accelerator,
                console=folder / f"console{number}",
                post_output=folder / f"post{number}",
                gpu_socket=socket if plan.with_gpu else None,
                opregion=_opregion_file(host, number, folder) if plan.opregion else None,
                virtualisation=plan.kvmgt,
                answers=None if pictures is None else folder / f"answers{number}",
            )
            guest = Guest(number, parts.qemu, machine, host.selector, observe, plan.console, plan.physical)
            guests.append(stack.enter_context(guest))
        _serve_until_ended(host, guests, plan.timeout_s, pictures)
        outcomes = tuple(
            GuestOutcome(
                report=guest.report(),
                seconds=guest.seconds,
                timed_out=guest.timed_out,
                exit_status=guest.exit_status,
                post_output=guest.post_output(),
                qemu_messages=guest.qemu_messages(),
                screenshots=() if pictures is None else pictures.files(guest.number),
                no_screenshot=None if pictures is None else pictures.missing(guest.number),
            )
            for guest in guests
        )
        return BootResult(plan, host.report(), outcomes)


def _opregion_file(host: HostSide, number: int, folder: Path) -> Path | None:
    """The OpRegion of guest ``number`` as a file; None where it has none."""
    content = host.opregion(number)
    if content is None:
        return None
    path = folder / f"opregion{number}"
    path.write_bytes(content)
    return path


def _serve_until_ended(host: HostSide, guests: Sequence[Guest], timeout_s: float, pictures: Pictures | None) -> None:
    deadline = time.monotonic() + timeout_s
    next_look = 0.0
    running = list(guests)
    while running:
        host.step(_STEP_S)
        if pictures is not None:
            _take_pictures(host, running, pictures)
        now = time.monotonic()
        if now < next_look:
            continue
        next_look = now + _STEP_S
        running = [guest for guest in running if guest.running()]
        if now > deadline:
            for guest in running:
                if pictures is not None:
                    pictures.take(guest.number)
                guest.stop()
            running = []
    # Posted writes may still be in the sockets when QEMU has gone: the report includes them.
    _drain(host, _DRAIN_S)
    if pictures is not None:
        for guest in guests:
            pictures.finish(guest.number)


def _take_pictures(host: HostSide, guests: Sequence[Guest], pictures: Pictures) -> None:
    """Answers the guests that have asked for pictures, which wait for that; what they drew before may still be in the sockets."""
    if any(guest.asked for guest in guests):
        _drain(host, _PICTURE_DRAIN_S)
    for guest in guests:
        while guest.asked:
            guest.answer(pictures.take(guest.number, guest.asked[0].name))


def _drain(host: HostSide, most_s: float) -> None:
    end = time.monotonic() + most_s
    while host.selector.select(0) and time.monotonic() < end:
        host.step(0)
