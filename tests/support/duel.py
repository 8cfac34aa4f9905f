"""Two guests on one host, each beside its naive model: every value read must be the same, and nobody may touch the other.

A program of acts (:mod:`support.byte_script`) is run against the real mediator and against the model
(:mod:`support.naive_model`). Whatever differs, or breaks a rule of isolation, is a :class:`Divergence`.
"""

from __future__ import annotations

import random
from collections import Counter
from functools import cache

from host_model.device.display.monitor import Monitor
from host_model.device.interrupts import event_places
from host_model.host import Host, PluggedVgpu
from host_model.mediator.snapshot import take_snapshot
from host_model.mediator.types import VgpuType, default_monitor
from pvinfo.connector import Link, connectors_of
from pvinfo.finding import FindingLog
from pvinfo.golden_state import GoldenState
from pvinfo.platform import platform_named
from pvinfo.registers.interrupt import INTERRUPT_GROUPS
from pvinfo.registers.tracked import tracked_runs
from pvinfo.units import GIB, MIB, BusAddress, GuestAddress

from .byte_script import Act, Kind, Layout, acts_of
from .naive_model import SCRATCH, NaiveVgpu

__all__ = ("RAM", "Divergence", "Duel", "run_script")

RAM = 64 * 4096
SMALL = VgpuType("small", 32 * 4096, 16 * 4096, 4, 2, "1024x768")
"""A vGPU with few pages, so that programs meet its edges and a reset costs little."""
APERTURE = 256 * MIB
GGTT = GIB


class Divergence(AssertionError):
    """The mediator and the model disagree, or a guest reached what is not its own."""


NOISE_SEED = 9


@cache
def _golden(platform: str) -> GoldenState:
    """What the physical GPU of the platform holds, and noise in many places where it holds 0: a reset must show."""
    state = take_snapshot(Host(platform, aperture_size=APERTURE, ggtt_size=GGTT).gpu)
    config, mmio = bytearray(state.config), bytearray(state.mmio)
    config[0x04:0x08] = bytes((0x07, 0x04, 0x10, 0xF9))  # everything enabled, every error seen
    config[0x60:0x70] = bytes(range(1, 17))
    rng = random.Random(NOISE_SEED)
    for run in tracked_runs(platform):
        for offset in run.offsets():
            # The upper half of masked registers, and of those that act like them, never holds anything.
            if not any(mmio[offset : offset + 4]) and rng.random() < 0.5 and not 0x78000 <= offset < 0x79000:
                mmio[offset : offset + 2] = rng.randbytes(2)
    return GoldenState(bytes(config), bytes(mmio))


def _cable(monitor: Monitor) -> tuple[str, bool, bytes]:
    """Port, whether the cable is HDMI, and EDID."""
    return monitor.connector.port.value, monitor.connector.link is Link.HDMI, monitor.edid


class _Contestant:
    """One guest: the real vGPU with its machine, and the model of both."""

    def __init__(self, plugged: PluggedVgpu, golden: GoldenState, monitor: Monitor | None) -> None:
        self.heard = 0
        self.take_over(plugged)
        vgpu = plugged.vgpu
        self.naive = NaiveVgpu(
            vgpu.platform.name, vgpu.number, vgpu.resources.low, vgpu.resources.high, len(vgpu.resources.fences), GGTT >> 12,
            APERTURE, RAM, golden.mmio, golden.config,
        )  # fmt: skip
        # A new vGPU is as after a reset.
        self.naive.reset()
        if monitor is not None:
            self.naive.display.plug(*_cable(monitor))

    def take_over(self, plugged: PluggedVgpu) -> None:
        """The guest goes on, or begins, in this machine."""
        vgpu = self.vgpu = plugged.vgpu
        self.machine = plugged.machine
        vgpu.on_interrupt(self._hear)
        bus = vgpu.port.map_guest_page(GuestAddress(0))
        assert bus is not None
        vgpu.port.unmap_guest_page(bus)
        self.window = bus
        vgpu.standstill.end()

    def _hear(self) -> None:
        self.heard += 1


class Duel:
    """A host with two guests. ``act`` takes a step; ``check`` looks at everything that no guest can see."""

    def __init__(self, platform: str = "skl", *, monitor: bool = True) -> None:
        golden = _golden(platform)
        self.platform = platform_named(platform)
        self.host = Host(platform, aperture_size=APERTURE, ggtt_size=GGTT, golden=golden)
        default = default_monitor(SMALL, self.platform) if monitor else None
        plugged = [self.host.plug(SMALL, ram_size=RAM, monitor=default) for _ in range(2)]
        self.guests = [_Contestant(one, golden, default) for one in plugged]
        self._monitors = [Monitor.of_resolution(connector, SMALL.resolution) for connector in connectors_of(self.platform)]
        low = [one.vgpu.resources.low for one in plugged]
        high = [one.vgpu.resources.high for one in plugged]
        self.layout = Layout(
            platform, (low[0], high[0], low[1], high[1]), APERTURE, GGTT >> 12, RAM, plugged[0].vgpu.config.msi_capability or 0
        )
        self._host_entries = bytes(self.host.gpu.ggtt.entries[: low[0].start >> 12])
        """What the mediator uses itself, status pages of engines."""
        self._events = [(event, place) for event, place in event_places(self.platform).items()]
        self.acts = 0

    def act(self, act: Act) -> None:
        """One act, on both sides. Raises: Divergence."""
        self.acts += 1
        guest = self.guests[act.guest]
        vgpu, naive = guest.vgpu, guest.naive
        got: int | None = None
        expected: int | None = None
        if act.kind is Kind.READ:
            got, expected = vgpu.mmio.read(act.offset, act.size), naive.read(act.offset, act.size)
        elif act.kind is Kind.WRITE:
            vgpu.mmio.write(act.offset, act.size, act.value)
            naive.write(act.offset, act.size, act.value)
        elif act.kind is Kind.CONFIG_READ:
            got, expected = vgpu.config.read(act.offset, act.size), naive.config.read(act.offset, act.size)
        elif act.kind is Kind.CONFIG_WRITE:
            vgpu.config.write(act.offset, act.size, act.value)
            naive.config.write(act.offset, act.size, act.value)
        elif act.kind is Kind.APERTURE_READ:
            got, expected = vgpu.aperture.read(act.offset, act.size), naive.read_aperture(act.offset, act.size)
        elif act.kind is Kind.APERTURE_WRITE:
            vgpu.aperture.write(act.offset, act.size, act.value)
            naive.write_aperture(act.offset, act.size, act.value)
        elif act.kind is Kind.EVENT:
            event, place = self._events[act.offset % len(self._events)]
            vgpu.interrupts.raise_event(event)
            naive.event(INTERRUPT_GROUPS[place.group], place.bit)
        elif act.kind is Kind.WAIT:
            guest.machine.clock.wait_ns(act.offset)
            for other in self.guests:
                other.naive.display.pipes.run_until(guest.machine.clock.now_ns())
        elif act.kind is Kind.CABLE:
            chosen = act.offset % (2 * len(self._monitors))
            if chosen < len(self._monitors):
                vgpu.display.plug(self._monitors[chosen])
                naive.display.plug(*_cable(self._monitors[chosen]))
            else:
                vgpu.display.unplug()
                naive.display.unplug()
        else:
            guest.machine.gpu.reset()
            naive.reset()
        if expected is not None and got != expected:
            raise Divergence(f"{act.kind.value} of {act.size} at {act.offset:#x} gives {got:#x}, by the rules it is {expected:#x}")
        if guest.heard != naive.messages:
            raise Divergence(f"{guest.heard} interrupts were sent, by the rules {naive.messages}")
        reason = vgpu.failsafe.reason.value if vgpu.failsafe.reason else ""
        if reason != naive.failsafe:
            raise Divergence(f"failsafe mode is {reason!r}, by the rules {naive.failsafe!r}")

    def check(self) -> None:
        """Registers, tables, fences and memory of all. Raises: Divergence."""
        for guest in self.guests:
            if guest.heard != guest.naive.messages:
                raise Divergence(f"{guest.heard} interrupts were sent, by the rules {guest.naive.messages}")
            if not guest.naive.failsafe:
                guest.vgpu.display.pipes.settle()
            self._check_registers(guest)
            self._check_table(guest)
            self._check_memory(guest)
            self._check_findings(guest.vgpu.findings)
            if guest.vgpu.pv.guest_is_aware != guest.naive.aware:
                raise Divergence(f"the guest is aware: {guest.vgpu.pv.guest_is_aware}, by the rules {guest.naive.aware}")
            said = {int(kind): times for kind, times in guest.vgpu.pv.notifications.items()}
            if (said, guest.vgpu.pv.display_ready) != (guest.naive.notifications, guest.naive.display_ready):
                raise Divergence(
                    f"the guest has said {said}, display ready {guest.vgpu.pv.display_ready}, "
                    f"by the rules {guest.naive.notifications}, {guest.naive.display_ready}"
                )
        self._check_nobody_elses()

    def _check_registers(self, guest: _Contestant) -> None:
        naive = guest.naive
        image = bytearray(naive.golden)
        for offset, value in naive.registers.items():
            image[offset : offset + 4] = value.to_bytes(4, "little")
        stored = bytearray(guest.vgpu.registers.bytes)
        for offset in naive.opaque:
            image[offset : offset + 4] = stored[offset : offset + 4] = bytes(4)
        if image != stored:
            at = next(at for at in range(0, len(image), 4) if image[at : at + 4] != stored[at : at + 4])
            pair = [int.from_bytes(side[at : at + 4], "little") for side in (stored, image)]
            raise Divergence(f"register {at:#x} holds {pair[0]:#x}, by the rules {pair[1]:#x}")

    def _check_table(self, guest: _Contestant) -> None:
        vgpu, naive = guest.vgpu, guest.naive
        pinned: Counter[int] = Counter()
        for owned in (naive.low, naive.high):
            for page in range(owned.start >> 12, owned.stop >> 12):
                frame, others = naive.hardware.get(page, (SCRATCH, 1))
                if isinstance(frame, str):
                    expected = int(vgpu.scratch_page) | others
                else:
                    expected = guest.window + (frame << 12) | others
                    pinned[frame] += 1
                if vgpu.gpu.ggtt.entries[page] != expected:
                    raise Divergence(f"hardware entry of {page << 12:#x} is {vgpu.gpu.ggtt.entries[page]:#x}, by the rules {expected:#x}")
                if vgpu.ggtt.entry(page) != naive.entries.get(page, 0):
                    raise Divergence(f"entry of {page << 12:#x} is {vgpu.ggtt.entry(page):#x}, by the rules {naive.entries.get(page, 0):#x}")
        if vgpu.port.mapped_pages != len(pinned):
            raise Divergence(f"{vgpu.port.mapped_pages} guest pages are pinned, by the rules {len(pinned)}")
        for number, hardware in enumerate(vgpu.resources.fences):
            if vgpu.gpu.fences[hardware] != naive.hardware_fences[number]:
                raise Divergence(
                    f"hardware fence {hardware} is {vgpu.gpu.fences[hardware]:#x}, by the rules {naive.hardware_fences[number]:#x}"
                )

    def _check_memory(self, guest: _Contestant) -> None:
        """The guest's memory and its scratch page hold what it wrote itself through the aperture, and nothing else."""
        page = guest.vgpu.mediator.memory.page(BusAddress(guest.vgpu.scratch_page))
        assert page is not None
        for what, real, written in (
            ("guest memory", guest.machine.memory.read(GuestAddress(0), RAM), guest.naive.ram),
            ("scratch page", bytes(page), guest.naive.scratch),
        ):
            image = bytearray(len(real))
            for at, byte in written.items():
                image[at] = byte
            if image != real:
                at = next(at for at in range(len(real)) if image[at] != real[at])
                raise Divergence(f"{what} of vGPU {guest.vgpu.number} at {at:#x} holds {real[at]:#x}, by the rules {image[at]:#x}")

    def _check_nobody_elses(self) -> None:
        """No hardware entry outside the two guests' slices was ever written, nor a fence."""
        gpu = self.host.gpu
        table = gpu.ggtt.entries
        start = len(self._host_entries) // 8
        if bytes(table[:start]) != self._host_entries:
            raise Divergence("a hardware entry of the host's own was written, though nothing runs")
        for owned in sorted((part for guest in self.guests for part in guest.vgpu.resources[:2]), key=lambda part: part.start):
            if _written(table[start : owned.start >> 12]):
                raise Divergence(f"a hardware entry below {owned.start:#x} was written, which is nobody's")
            start = owned.stop >> 12
        if _written(table[start:]):
            raise Divergence("a hardware entry behind the last slice was written, which is nobody's")
        owned_fences = {fence for guest in self.guests for fence in guest.vgpu.resources.fences}
        for fence in range(32):
            if fence not in owned_fences and gpu.fences[fence]:
                raise Divergence(f"hardware fence {fence} was written, which is nobody's")

    def _check_findings(self, log: FindingLog) -> None:
        rules = Counter((finding.kind, finding.rule) for finding in log)
        for (kind, rule), places in rules.items():
            if places > log.limit + 1:
                raise Divergence(f"{places} findings of rule {rule} ({kind.value}): there are at most {log.limit + 1}")


def _written(entries: memoryview) -> bool:
    """Whether anything stands there. Not ``any``: a table has a million entries, and is looked at after each act."""
    return entries.tobytes() != bytes(entries.nbytes)


def run_script(script: bytes, platform: str = "skl", *, monitor: bool = True) -> Duel:
    """Run a program against both sides. ``monitor``: each guest has one at first.

    Raises: Divergence; and whatever the mediator raises, which is a defect, too.
    """
    duel = Duel(platform, monitor=monitor)
    for act in acts_of(script, duel.layout):
        duel.act(act)
    duel.check()
    return duel
