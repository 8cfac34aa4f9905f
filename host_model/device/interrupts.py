"""A GPU's interrupts: events, the tree of registers they pass through, and the message to the processor at its top.

An event sets its bit in its group's IIR unless IMR masks it; events that are masked when they happen are lost. IIR and
IER of a group together make the group's bits in the master register, and while the master register is enabled and has
a bit set, every write that could have opened the way sends a message: there is no memory of one that was sent. That is
what lets a guest which acknowledged one event, while another came, get its next interrupt when it enables the master again.

IIR holds two events of a kind: one that comes when the guest has read of an earlier one waits behind it, and shows as soon as
that is acknowledged. A guest's writes are posted: when the acknowledgement arrives, the guest may long have looked after what
it had read of, and an event that came on the way would be wiped out unseen. The kernel's mediator forgets it; its
guests' writes arrive at once. On hardware an event that nobody has read of holds up a second one as well: that one would
interrupt the guest for nothing.

Source: linux:drivers/gpu/drm/i915/gvt/interrupt.c, linux:drivers/gpu/drm/i915/i915_irq.c (gen3_irq_reset: two events)
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, NamedTuple, final

from pvinfo.platform import Engine, Platform
from pvinfo.registers.interrupt import InterruptGroup, MasterControl, MasterInterrupt

if TYPE_CHECKING:
    from .base import RegisterDevice

__all__ = ("CONTEXT_SWITCH_EVENTS", "Event", "EventPlace", "InterruptTree", "event_places")


class Event(Enum):
    """What a guest can be interrupted for."""

    RCS_USER = auto()
    RCS_NOTIFY = auto()
    RCS_CONTEXT_SWITCH = auto()
    BCS_USER = auto()
    BCS_NOTIFY = auto()
    BCS_CONTEXT_SWITCH = auto()
    VCS0_USER = auto()
    VCS0_NOTIFY = auto()
    VCS0_CONTEXT_SWITCH = auto()
    VECS_USER = auto()
    VECS_NOTIFY = auto()
    VECS_CONTEXT_SWITCH = auto()
    PIPE_A_VBLANK = auto()
    PIPE_B_VBLANK = auto()
    PIPE_C_VBLANK = auto()
    PIPE_A_PRIMARY_FLIP = auto()
    PIPE_B_PRIMARY_FLIP = auto()
    PIPE_C_PRIMARY_FLIP = auto()
    PIPE_A_SPRITE_FLIP = auto()
    PIPE_B_SPRITE_FLIP = auto()
    PIPE_C_SPRITE_FLIP = auto()
    AUX_A = auto()
    AUX_B = auto()
    AUX_C = auto()
    AUX_D = auto()
    HOTPLUG_A = auto()
    HOTPLUG_B = auto()
    HOTPLUG_C = auto()
    HOTPLUG_D = auto()
    CRT_HOTPLUG = auto()
    GMBUS = auto()
    GSE = auto()
    PCU_THERMAL = auto()
    PCU_MAILBOX = auto()


class EventPlace(NamedTuple):
    """Where an event shows."""

    group: str
    """Instance of :class:`~pvinfo.registers.interrupt.InterruptGroup`."""
    bit: int


_ON_EVERY_PLATFORM: Final[dict[Event, EventPlace]] = {
    Event.RCS_USER: EventPlace("GT0", 0),
    Event.RCS_NOTIFY: EventPlace("GT0", 4),
    Event.RCS_CONTEXT_SWITCH: EventPlace("GT0", 8),
    Event.BCS_USER: EventPlace("GT0", 16),
    Event.BCS_NOTIFY: EventPlace("GT0", 20),
    Event.BCS_CONTEXT_SWITCH: EventPlace("GT0", 24),
    Event.VCS0_USER: EventPlace("GT1", 0),
    Event.VCS0_NOTIFY: EventPlace("GT1", 4),
    Event.VCS0_CONTEXT_SWITCH: EventPlace("GT1", 8),
    Event.VECS_USER: EventPlace("GT3", 0),
    Event.VECS_NOTIFY: EventPlace("GT3", 4),
    Event.VECS_CONTEXT_SWITCH: EventPlace("GT3", 8),
    Event.PIPE_A_VBLANK: EventPlace("PIPE_A", 0),
    Event.PIPE_B_VBLANK: EventPlace("PIPE_B", 0),
    Event.PIPE_C_VBLANK: EventPlace("PIPE_C", 0),
    Event.AUX_A: EventPlace("DE_PORT", 0),
    Event.GSE: EventPlace("DE_MISC", 27),
    Event.PCU_THERMAL: EventPlace("PCU", 24),
    Event.PCU_MAILBOX: EventPlace("PCU", 25),
}
_SOUTH_DISPLAY: Final[dict[Event, EventPlace]] = {
    Event.GMBUS: EventPlace("SDE", 17),
    Event.HOTPLUG_B: EventPlace("SDE", 21),
    Event.HOTPLUG_C: EventPlace("SDE", 22),
    Event.HOTPLUG_D: EventPlace("SDE", 23),
}
_BROADWELL: Final[dict[Event, EventPlace]] = {
    Event.HOTPLUG_A: EventPlace("DE_PORT", 3),
    Event.CRT_HOTPLUG: EventPlace("SDE", 19),
}
_SKYLAKE: Final[dict[Event, EventPlace]] = {
    Event.HOTPLUG_A: EventPlace("SDE", 24),
}
"""The hub of Skylake and its successors; the kernel's mediator leaves it out, as it never plugs anything into port A."""
_BROXTON: Final[dict[Event, EventPlace]] = {
    Event.GMBUS: EventPlace("DE_PORT", 1),
    Event.HOTPLUG_A: EventPlace("DE_PORT", 3),
    Event.HOTPLUG_B: EventPlace("DE_PORT", 4),
    Event.HOTPLUG_C: EventPlace("DE_PORT", 5),
}
_GEN8: Final[dict[Event, EventPlace]] = {
    Event.PIPE_A_PRIMARY_FLIP: EventPlace("PIPE_A", 4),
    Event.PIPE_B_PRIMARY_FLIP: EventPlace("PIPE_B", 4),
    Event.PIPE_C_PRIMARY_FLIP: EventPlace("PIPE_C", 4),
    Event.PIPE_A_SPRITE_FLIP: EventPlace("PIPE_A", 5),
    Event.PIPE_B_SPRITE_FLIP: EventPlace("PIPE_B", 5),
    Event.PIPE_C_SPRITE_FLIP: EventPlace("PIPE_C", 5),
    Event.AUX_B: EventPlace("SDE", 25),
    Event.AUX_C: EventPlace("SDE", 26),
    Event.AUX_D: EventPlace("SDE", 27),
}
_GEN9: Final[dict[Event, EventPlace]] = {
    Event.PIPE_A_PRIMARY_FLIP: EventPlace("PIPE_A", 3),
    Event.PIPE_B_PRIMARY_FLIP: EventPlace("PIPE_B", 3),
    Event.PIPE_C_PRIMARY_FLIP: EventPlace("PIPE_C", 3),
    Event.PIPE_A_SPRITE_FLIP: EventPlace("PIPE_A", 4),
    Event.PIPE_B_SPRITE_FLIP: EventPlace("PIPE_B", 4),
    Event.PIPE_C_SPRITE_FLIP: EventPlace("PIPE_C", 4),
    Event.AUX_B: EventPlace("DE_PORT", 25),
    Event.AUX_C: EventPlace("DE_PORT", 26),
    Event.AUX_D: EventPlace("DE_PORT", 27),
}

CONTEXT_SWITCH_EVENTS: Final = {
    Engine.RCS0: Event.RCS_CONTEXT_SWITCH,
    Engine.BCS0: Event.BCS_CONTEXT_SWITCH,
    Engine.VCS0: Event.VCS0_CONTEXT_SWITCH,
    Engine.VECS0: Event.VECS_CONTEXT_SWITCH,
}
"""The event that announces a new context status of each engine."""


def event_places(platform: Platform) -> dict[Event, EventPlace]:
    """Where each event of the platform shows."""
    if platform.graphics_version == 8:
        return {**_ON_EVERY_PLATFORM, **_GEN8, **_SOUTH_DISPLAY, **_BROADWELL}
    if platform.name == "bxt":
        return {**_ON_EVERY_PLATFORM, **_GEN9, **_BROXTON}
    return {**_ON_EVERY_PLATFORM, **_GEN9, **_SOUTH_DISPLAY, **_SKYLAKE}


class _Upstream(NamedTuple):
    """Bits of a group that stand behind one bit of the master register."""

    group: str
    mask: int
    master: int


_LOW: Final = 0x0000FFFF
_HIGH: Final = 0xFFFF0000
_ALL: Final = 0xFFFFFFFF
_TREE: Final = (
    _Upstream("GT0", _LOW, MasterControl.rcs0.mask),
    _Upstream("GT0", _HIGH, MasterControl.bcs0.mask),
    _Upstream("GT1", _LOW, MasterControl.vcs0.mask),
    _Upstream("GT1", _HIGH, MasterControl.vcs1.mask),
    _Upstream("GT2", _LOW, MasterControl.power.mask),
    _Upstream("GT3", _LOW, MasterControl.vecs0.mask),
    _Upstream("PIPE_A", _ALL, MasterControl.pipe_a.mask),
    _Upstream("PIPE_B", _ALL, MasterControl.pipe_b.mask),
    _Upstream("PIPE_C", _ALL, MasterControl.pipe_c.mask),
    _Upstream("DE_PORT", _ALL, MasterControl.de_port.mask),
    _Upstream("DE_MISC", _ALL, MasterControl.de_misc.mask),
    _Upstream("SDE", _ALL, MasterControl.pch.mask),
    _Upstream("PCU", _ALL, MasterControl.pcu.mask),
)
_UPSTREAM: Final = [(InterruptGroup.iir.at(group) >> 2, InterruptGroup.ier.at(group) >> 2, mask, master) for group, mask, master in _TREE]
"""The tree by dwords of the register file: it is walked at each event and each acknowledgement."""
_MASTER: Final = MasterInterrupt.control.at() >> 2
_ENABLE: Final = MasterControl.enable.mask


@final
class InterruptTree:
    """The interrupt tree of one device."""

    def __init__(self, device: RegisterDevice) -> None:
        self._device = device
        self._places = event_places(device.platform)
        self._groups = {name: InterruptGroup(device.registers, name) for name in InterruptGroup.bases}
        self._dwords = device.registers.dwords
        # By group, and of bits that are set in IIR only: others mean nothing, as when the registers were reset.
        self.read_of = dict.fromkeys(self._groups, 0)
        """Events that the guest has read of."""
        self.behind = dict.fromkeys(self._groups, 0)
        """Events that have come again since."""

    def raise_event(self, event: Event) -> None:
        """Let ``event`` happen. Raises: KeyError when the platform has no such event."""
        place = self._places[event]
        self.raise_bits(place.group, 1 << place.bit)

    def raise_bits(self, group: str, bits: int) -> None:
        """Let the events of ``group`` happen whose bits are set, as far as its mask is open."""
        registers = self._groups[group]
        pending, happened = registers.iir, bits & ~registers.imr
        self.read_of[group] &= pending
        self.behind[group] = self.behind[group] & pending | happened & self.read_of[group]
        registers.iir = pending | happened
        self.check_pending()

    def read_identity(self, group: str) -> int:
        """The guest reads IIR of ``group``."""
        pending = self.read_of[group] = self._groups[group].iir
        return pending

    def acknowledge(self, group: str, bits: int) -> None:
        """The guest writes ``bits`` to IIR of ``group``: they are cleared, and what waited behind them comes up."""
        registers = self._groups[group]
        pending = registers.iir
        again = pending & bits & self.behind[group]
        registers.iir = pending & ~bits | again
        self.read_of[group] &= ~bits
        self.behind[group] &= ~bits
        if again:
            self.check_pending()
        else:
            self.update_master()

    @property
    def asserted(self) -> bool:
        """The interrupt line would be active now: the master register is enabled and a group has something to tell."""
        control = self._dwords[_MASTER]
        return bool(control & _ENABLE and control & ~_ENABLE)

    def update_master(self) -> None:
        """Make the master register's bits follow the groups."""
        dwords = self._dwords
        control = dwords[_MASTER] & _ENABLE
        for identity, enabled, mask, master in _UPSTREAM:
            if dwords[identity] & dwords[enabled] & mask:
                control |= master
        dwords[_MASTER] = control

    def check_pending(self) -> None:
        """Send an interrupt if anything is pending and may be told."""
        self.update_master()
        if self.asserted:
            self._device.inject_msi()
