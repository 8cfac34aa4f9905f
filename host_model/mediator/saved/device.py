"""What a vGPU is as a PCI device: configuration space, registers, what its guest knows and is trusted with, interrupts."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

from pvinfo.notify import Notification
from pvinfo.registers.interrupt import InterruptGroup
from pvinfo.registers.tracked import MMIO_SIZE
from pvinfo.wire import Codec, u8, u16, u32, u64

from ...device.config_space import CONFIG_SIZE
from ..failsafe import FailsafeReason
from .cursor import Cursor
from .section import Apply, Section, Shape

if TYPE_CHECKING:
    from ..vgpu import Vgpu

__all__ = ("CONFIG", "FAILSAFE", "INTERRUPTS", "PVINFO", "REGISTERS", "SIDEBAND")


# ---- configuration space and registers: as they are ----


def _load_config(cursor: Cursor, shape: Shape) -> Apply:
    data = cursor.bytes(CONFIG_SIZE)

    def apply(vgpu: Vgpu) -> None:
        vgpu.config.bytes[:] = data

    return apply


CONFIG: Final = Section("config", 1, True, lambda vgpu: bytes(vgpu.config.bytes), _load_config)


def _load_registers(cursor: Cursor, shape: Shape) -> Apply:
    data = cursor.bytes(MMIO_SIZE)
    return lambda vgpu: vgpu.registers.load(data)


REGISTERS: Final = Section("registers", 1, True, lambda vgpu: bytes(vgpu.registers.bytes), _load_registers)


# ---- the hub behind the side-band interface ----


class SavedSideband(NamedTuple):
    """A register of the hub that was written."""

    destination: Annotated[int, u16("unit of the hub")]
    register: Annotated[int, u16("its register")]
    value: Annotated[int, u32("what was written last")]


SAVED_SIDEBAND: Final = Codec(SavedSideband, doc="a register behind the side-band interface", size=8)


def _save_sideband(vgpu: Vgpu) -> bytes:
    return b"".join(SAVED_SIDEBAND.pack(SavedSideband(*place, value)) for place, value in vgpu.sideband.values.items())


def _load_sideband(cursor: Cursor, shape: Shape) -> Apply:
    written = cursor.rest(SAVED_SIDEBAND)

    def apply(vgpu: Vgpu) -> None:
        for register in written:
            vgpu.sideband.write(*register)

    return apply


SIDEBAND: Final = Section("sideband", 1, True, _save_sideband, _load_sideband)


# ---- what guest and host know of each other ----


class SavedPvState(NamedTuple):
    """What the guest has said through the PVINFO page. The page itself is among the registers."""

    guest_is_aware: Annotated[int, u8("1: it has read the page")]
    display_ready: Annotated[int, u8("1: it has said so")]
    kinds: Annotated[int, u16("kinds of notifications that came")]
    unknown: Annotated[int, u32("notifications that there are not")]


class SavedNotification(NamedTuple):
    """A kind of notification that came."""

    notification: Annotated[Notification, u32("which")]
    times: Annotated[int, u32("how often")]


SAVED_PV_STATE: Final = Codec(SavedPvState, doc="what the guest has said through the PVINFO page", size=8)
SAVED_NOTIFICATION: Final = Codec(SavedNotification, doc="a kind of notification", size=8)


def _save_pvinfo(vgpu: Vgpu) -> bytes:
    pv = vgpu.pv
    head = SavedPvState(pv.guest_is_aware, pv.display_ready, len(pv.notifications), pv.unknown_notifications)
    return SAVED_PV_STATE.pack(head) + b"".join(SAVED_NOTIFICATION.pack(SavedNotification(*told)) for told in pv.notifications.items())


def _load_pvinfo(cursor: Cursor, shape: Shape) -> Apply:
    head = cursor.record(SAVED_PV_STATE)
    told = cursor.records(SAVED_NOTIFICATION, head.kinds)

    def apply(vgpu: Vgpu) -> None:
        pv = vgpu.pv
        pv.guest_is_aware, pv.display_ready = bool(head.guest_is_aware), bool(head.display_ready)
        pv.notifications = Counter(dict(told))
        pv.unknown_notifications = head.unknown

    return apply


PVINFO: Final = Section("pvinfo", 1, True, _save_pvinfo, _load_pvinfo)


# ---- failsafe mode ----

_REASONS: Final = (None, *FailsafeReason)


class SavedFailsafe(NamedTuple):
    """Whether the guest is trusted."""

    reason: Annotated[int, u8("0: it is; else why it is not, by number")]
    entered: Annotated[int, u32("how often it was not")]


SAVED_FAILSAFE: Final = Codec(SavedFailsafe, doc="failsafe mode", size=5)


def _save_failsafe(vgpu: Vgpu) -> bytes:
    return SAVED_FAILSAFE.pack(SavedFailsafe(_REASONS.index(vgpu.failsafe.reason), vgpu.failsafe.entered))


def _load_failsafe(cursor: Cursor, shape: Shape) -> Apply:
    saved = cursor.record(SAVED_FAILSAFE)
    cursor.require(saved.reason < len(_REASONS), "reason", saved.reason, f"below {len(_REASONS)}")
    return lambda vgpu: vgpu.failsafe.take_over(_REASONS[saved.reason], saved.entered)


FAILSAFE: Final = Section("failsafe", 1, True, _save_failsafe, _load_failsafe)


# ---- interrupts: pending bits and masks are among the registers ----


class SavedInterrupts(NamedTuple):
    """Messages to the guest."""

    owed: Annotated[int, u8("1: one is to be sent as soon as the vGPU goes on")]
    sent: Annotated[int, u64("how many were sent")]
    lost: Annotated[int, u64("how many could not be")]


SAVED_INTERRUPTS: Final = Codec(SavedInterrupts, doc="messages to the guest", size=17)


class SavedIdentity(NamedTuple):
    """What the identity register of a group holds beside what it shows."""

    read_of: Annotated[int, u32("events that the guest has read of")]
    behind: Annotated[int, u32("events that wait behind those")]


SAVED_IDENTITY: Final = Codec(SavedIdentity, doc="an identity register beside what it shows", size=8)


def _save_interrupts(vgpu: Vgpu) -> bytes:
    messages = SavedInterrupts(vgpu.standstill.message_owed, vgpu.interrupts_sent, vgpu.interrupts_lost)
    tree = vgpu.interrupts
    identities = (SavedIdentity(tree.read_of[group], tree.behind[group]) for group in InterruptGroup.bases)
    return SAVED_INTERRUPTS.pack(messages) + b"".join(map(SAVED_IDENTITY.pack, identities))


def _load_interrupts(cursor: Cursor, shape: Shape) -> Apply:
    saved = cursor.record(SAVED_INTERRUPTS)
    identities = dict(zip(InterruptGroup.bases, cursor.records(SAVED_IDENTITY, len(InterruptGroup.bases)), strict=True))

    def apply(vgpu: Vgpu) -> None:
        vgpu.standstill.message_owed = bool(saved.owed)
        vgpu.interrupts_sent, vgpu.interrupts_lost = saved.sent, saved.lost
        for group, (read_of, behind) in identities.items():
            vgpu.interrupts.read_of[group], vgpu.interrupts.behind[group] = read_of, behind

    return apply


INTERRUPTS: Final = Section("interrupts", 1, True, _save_interrupts, _load_interrupts)
