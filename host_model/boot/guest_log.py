"""The judge: what a guest's own log says about its boot, its driver and the device.

It is a pure function of the text, so a log that a user sends in is judged as the live one is. It
reads the kernel's console in either form, with the level in front (``<4>[  1.5] …``, which
``console_msg_format=syslog`` prints) or without.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from enum import Enum
from types import MappingProxyType
from typing import Final, NamedTuple

from host_model.boot.kvmgt import KvmgtReport, read_kvmgt
from host_model.boot.symptoms import EXPECTED, SYMPTOMS, SymptomKind

__all__ = (
    "Ballooning",
    "Diagnosis",
    "FrameBuffer",
    "GuestReport",
    "LogLine",
    "MonitorReport",
    "Stage",
    "asked_picture",
    "judge",
    "parse_line",
    "stage_of",
)


class Stage(Enum):
    """How far a guest came; the names are the ones that its init prints."""

    STARTING = "starting"
    KERNEL = "kernel"
    INIT = "init"
    MODULES = "modules"
    PROBE = "probe"
    PROBED = "probed"
    MEDIATOR = "mediator"
    POST = "post"
    END = "end"


class LogLine(NamedTuple):
    """A line of the console; ``level`` is None when the console does not print levels.

    ``from_kernel`` is False for what user space wrote to ``/dev/kmsg``.
    """

    level: int | None
    from_kernel: bool
    seconds: float
    text: str


class Ballooning(NamedTuple):
    """The graphics address space as the guest's driver saw it: half-open ranges of bytes.

    ``mappable`` and ``nonmappable`` are what it may use, ``reserved`` what it blocked out.
    """

    mappable: tuple[int, int] | None
    nonmappable: tuple[int, int] | None
    reserved: tuple[tuple[int, int], ...]
    completed: bool


class Diagnosis(NamedTuple):
    """A likely cause on the device side, the first line that points at it, and how many do.

    The line is empty when the symptom is that a line is missing.
    """

    cause: str
    line: str
    times: int


class MonitorReport(NamedTuple):
    """A connected monitor as the guest's driver has it: whether it is lit, and its modes, the preferred one first."""

    enabled: bool
    modes: tuple[str, ...]


class FrameBuffer(NamedTuple):
    """The driver's frame buffer for the text console, and whether the console is on it."""

    name: str
    size: str
    console: bool


class GuestReport(NamedTuple):
    """What one guest's log shows; ``boot_s`` and ``probe_s`` are in the guest's own time."""

    stage: Stage
    kernel_release: str
    detected: bool
    balloon: Ballooning
    driver_initialized: bool
    wedged: bool
    drm_nodes: tuple[str, ...]
    connectors: Mapping[str, str]
    warnings: tuple[str, ...]
    diagnosis: tuple[Diagnosis, ...]
    post_status: int | None
    boot_s: float | None
    probe_s: float | None
    kvmgt: KvmgtReport | None = None
    monitors: Mapping[str, MonitorReport] = MappingProxyType({})
    """By connector."""
    framebuffer: FrameBuffer | None = None

    @property
    def finished(self) -> bool:
        """Whether the guest's init came to its end."""
        return self.stage is Stage.END


_LINE: Final = re.compile(r"(?:<(\d+)>)?\[ *(\d+\.\d+)\](?:\[ *[CT]\d+\])? (.*)")
_LEVEL_MASK: Final = 7
_KERNEL_FACILITY_END: Final = 8
_MARKER: Final = re.compile(r"host-model: (\d+\.\d+) (\S+) ?(.*)")

_DETECTED: Final = "Virtual GPU for Intel GVT-g detected"
_INITIALIZED: Final = re.compile(r"\[drm\] Initialized i915 ")
_WEDGED: Final = re.compile(
    r"declaring it wedged|Failed to re-initialize GPU|CI tainted: \w+ by intel_gt_(?:init|set_wedged)"
)
_AVAILABLE: Final = re.compile(r"\b(Mappable|Unmappable) graphic memory: base 0x([0-9a-f]+) size (\d+) ?KiB")
_RESERVED: Final = re.compile(r"\bballoon space: range \[ ?0x([0-9a-f]+) - 0x([0-9a-f]+) ?\]")
_BALLOONED: Final = "VGT balloon successfully"

_WARNING_LEVEL: Final = 4
_ABOUT_GPU: Final = re.compile(r"i915\b|\[drm|drm_WARN|host-model: \S+ failed ")
_CRASH: Final = re.compile(
    r"WARNING: |BUG: |Oops\b|general protection fault|Kernel panic|INFO: task .* blocked"
    r"|rcu: INFO: |watchdog: BUG|kernel BUG at|Call Trace:"
)
_BACKTRACE: Final = "Call Trace:"
_BLOCK_START: Final = "[ cut here ]"
_BLOCK_END: Final = "[ end trace "


def parse_line(line: str) -> LogLine | None:
    """The parts of one console line, None for text that is no kernel record."""
    match = _LINE.match(line.rstrip("\r\n"))
    if match is None:
        return None
    priority, seconds, text = match.groups()
    if priority is None:
        return LogLine(None, not text.startswith("host-model: "), float(seconds), text)
    number = int(priority)
    return LogLine(number & _LEVEL_MASK, number < _KERNEL_FACILITY_END, float(seconds), text)


def stage_of(line: str) -> Stage | None:
    """The stage that this console line begins, None for any other line."""
    parsed = parse_line(line)
    marker = None if parsed is None else _marker(parsed)
    if marker is None or marker[1] != "stage":
        return None
    return _stage_named(marker[2])


def asked_picture(line: str) -> str | None:
    """The name of the picture that the guest asks for in this console line, empty for the last one; None for any other line."""
    parsed = parse_line(line)
    marker = None if parsed is None else _marker(parsed)
    return marker[2].strip() if marker is not None and marker[1] == "screenshot" else None


def _stage_named(words: str) -> Stage | None:
    try:
        return Stage(words.partition(" ")[0])
    except ValueError:
        return None


def _marker(line: LogLine) -> tuple[float, str, str] | None:
    match = None if line.from_kernel else _MARKER.match(line.text)
    return None if match is None else (float(match[1]), match[2], match[3])


def judge(log: str, *, physical: bool = False) -> GuestReport:
    """What the console text ``log`` shows, whether the guest came to its end or not.

    ``physical`` tells that the device is the physical GPU: then it is right that no vGPU is detected.
    """
    lines = [line for line in map(parse_line, log.splitlines()) if line is not None]
    stage = Stage.KERNEL if lines else Stage.STARTING
    begun: dict[Stage, float] = {}
    kernel_release = ""
    nodes: list[str] = []
    connectors: dict[str, str] = {}
    monitors: dict[str, MonitorReport] = {}
    framebuffer: FrameBuffer | None = None
    post_status: int | None = None
    wedged: bool | None = None
    mediation: list[str] = []
    for line in lines:
        marker = _marker(line)
        if marker is None:
            continue
        seconds, kind, rest = marker
        if kind == "stage":
            stage = _stage_named(rest) or stage
            begun.setdefault(stage, seconds)
            if stage is Stage.INIT:
                kernel_release = rest.partition(" ")[2]
        elif kind == "node":
            nodes.append(rest)
        elif kind == "connector":
            name, _, status = rest.partition(" ")
            connectors[name] = status
        elif kind == "monitor" and len(words := rest.split()) >= 2:
            monitors[words[0]] = MonitorReport(words[1] == "enabled", tuple(words[2:]))
        elif kind == "framebuffer" and len(words := rest.split()) == 3:
            framebuffer = FrameBuffer(words[0], words[1], words[2] == "console")
        elif kind == "wedged" and rest in ("0", "1"):
            wedged = rest == "1"
        elif kind == "post" and rest.isdecimal():
            post_status = int(rest)
        elif kind == "kvmgt":
            mediation.append(rest)
    warnings = tuple(_warnings(lines))
    spoken = [line.text for line in lines if line.from_kernel]
    probe_s = None
    if Stage.PROBED in begun and Stage.PROBE in begun:
        probe_s = round(begun[Stage.PROBED] - begun[Stage.PROBE], 3)
    if wedged is None:
        wedged = any(_WEDGED.search(text) for text in spoken)
    return GuestReport(
        stage=stage,
        kernel_release=kernel_release,
        detected=any(_DETECTED in text for text in spoken),
        balloon=_ballooning(spoken),
        driver_initialized=any(_INITIALIZED.search(text) for text in spoken),
        wedged=wedged,
        drm_nodes=tuple(nodes),
        connectors=connectors,
        warnings=warnings,
        diagnosis=_diagnose(warnings, spoken, probed=Stage.PROBE in begun, wedged=wedged, physical=physical),
        post_status=post_status,
        boot_s=begun.get(Stage.INIT),
        probe_s=probe_s,
        kvmgt=read_kvmgt(mediation),
        monitors=monitors,
        framebuffer=framebuffer,
    )


def _ballooning(spoken: list[str]) -> Ballooning:
    """The last attempt that the log shows: a driver that is loaded again balloons again."""
    available: dict[str, tuple[int, int]] = {}
    reserved: list[tuple[int, int]] = []
    completed = False
    for text in spoken:
        if "VGT ballooning configuration" in text:
            available, reserved, completed = {}, [], False
        elif match := _AVAILABLE.search(text):
            base = int(match[2], 16)
            available[match[1]] = (base, base + int(match[3]) * 1024)
        elif (match := _RESERVED.search(text)) and "deballoon" not in text:
            reserved.append((int(match[1], 16), int(match[2], 16)))
        elif _BALLOONED in text:
            completed = True
    return Ballooning(
        available.get("Mappable"), available.get("Unmappable"), tuple(reserved), completed
    )


def _warnings(lines: list[LogLine]) -> Iterator[str]:
    """The lines that speak of a defect: one for each backtrace, none for what is expected."""
    heading: list[str] = []
    in_block = trace_follows = False
    for line in lines:
        if _BLOCK_START in line.text:
            in_block = trace_follows = True
            heading = []
        elif _BLOCK_END in line.text:
            in_block = trace_follows = False
        elif in_block and trace_follows:
            heading.append(line.text)
            if _CRASH.search(line.text):
                yield " | ".join(heading)
                trace_follows = False
        elif in_block and "*ERROR*" not in line.text:
            continue
        elif _BACKTRACE in line.text and trace_follows:
            trace_follows = False
        elif _is_warning(line):
            trace_follows = _CRASH.match(line.text) is not None
            yield line.text
    if in_block and trace_follows and heading:
        yield " | ".join(heading)


def _is_warning(line: LogLine) -> bool:
    if any(rule.pattern.search(line.text) for rule in EXPECTED):
        return False
    if _CRASH.match(line.text):
        return True
    if not _ABOUT_GPU.match(line.text):
        return False
    if not line.from_kernel:
        return " failed " in line.text
    return "*ERROR*" in line.text or (line.level is not None and line.level <= _WARNING_LEVEL)


def _diagnose(
    warnings: tuple[str, ...], spoken: list[str], *, probed: bool, wedged: bool, physical: bool
) -> tuple[Diagnosis, ...]:
    found = list(_first_missing(spoken, physical=physical)) if probed else []
    for symptom in SYMPTOMS:
        if symptom.kind is SymptomKind.SPOKEN_ON_PHYSICAL and physical:
            lines = [text for text in spoken if symptom.pattern.search(text)]
            found += [Diagnosis(symptom.cause, line, len(lines)) for line in lines[:1]]
        if symptom.kind is SymptomKind.LINE:
            lines = [line for line in warnings if symptom.pattern.search(line)]
            found += [Diagnosis(symptom.cause, line, len(lines)) for line in lines[:1]]
    if wedged and not found:
        for symptom in SYMPTOMS:
            if symptom.kind is SymptomKind.WEDGED:
                lines = [text for text in spoken if symptom.pattern.search(text)]
                found.append(Diagnosis(symptom.cause, lines[0] if lines else "", len(lines)))
    return tuple(found)


def _first_missing(spoken: list[str], *, physical: bool) -> Iterator[Diagnosis]:
    """The earliest thing that should be in the log and is not; what follows from it says nothing."""
    kinds = {SymptomKind.MISSING} if physical else {SymptomKind.MISSING, SymptomKind.MISSING_ON_VGPU}
    for symptom in SYMPTOMS:
        if symptom.kind in kinds:
            if not any(symptom.pattern.search(text) for text in spoken):
                yield Diagnosis(symptom.cause, "", 0)
                return
