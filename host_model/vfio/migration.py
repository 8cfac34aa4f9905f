"""Migration as VFIO has it: a device goes from state to state, and its own state comes out or goes in as bytes meanwhile.

=============  ===========================================  ==========================
state          what the device does                         legal next
=============  ===========================================  ==========================
RUNNING        everything                                   STOP
STOP           nothing, inside or outside                   RUNNING STOP_COPY RESUMING
STOP_COPY      nothing, but its state can be read           STOP
RESUMING       nothing, but takes a state that is written   STOP
ERROR          nothing                                      none: it must be reset
=============  ===========================================  ==========================

Who asks for a state further off gets there by the shortest way. A reset leads to RUNNING from anywhere. The states between
(``RUNNING_P2P``, ``PRE_COPY`` and ``PRE_COPY_P2P``), which a device may leave out, a vGPU leaves out.

Source: linux:include/uapi/linux/vfio.h (enum vfio_device_mig_state)
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final, Protocol, final

from pvinfo.errors import StateError, UsageError

from ..mediator.saved.saving import read_saved, save_vgpu
from ..mediator.vgpu import Vgpu

__all__ = ("Migratable", "Migration", "MigrationState", "VgpuMigration")


class MigrationState(IntEnum):
    """Where a device is in its migration."""

    ERROR = 0
    STOP = 1
    RUNNING = 2
    STOP_COPY = 3
    RESUMING = 4
    RUNNING_P2P = 5
    PRE_COPY = 6
    PRE_COPY_P2P = 7


_ARCS: Final = {
    MigrationState.RUNNING: (MigrationState.STOP,),
    MigrationState.STOP: (MigrationState.RUNNING, MigrationState.STOP_COPY, MigrationState.RESUMING),
    MigrationState.STOP_COPY: (MigrationState.STOP,),
    MigrationState.RESUMING: (MigrationState.STOP,),
    MigrationState.ERROR: (),
}


class Migratable(Protocol):
    """What a device does on the way from state to state."""

    def stop(self) -> None:
        """Stand still. Raises: SaveRefused, and goes on."""

    def go_on(self) -> None:
        """Run again."""

    def save(self) -> bytes:
        """Its state."""

    def prepare(self) -> None:
        """Become as new, to take another's state."""

    def load(self, state: bytes) -> None:
        """Take the state. Raises: RestoreRefused, and is as new."""


@final
class Migration:
    """The migration of one device."""

    def __init__(self, name: str, device: Migratable) -> None:
        self._name = name
        self._device = device
        self._state = MigrationState.RUNNING
        self._outgoing = memoryview(b"")
        self._incoming = bytearray()

    @property
    def state(self) -> MigrationState:
        """Where the device is."""
        return self._state

    def go_to(self, state: MigrationState) -> None:
        """Go to ``state``, step by step. What fails leaves the device in the state that it had come to.

        Raises: StateError when no way leads there; UsageError for a state that the device has not; SaveRefused and RestoreRefused
        by the step to STOP.
        """
        if state not in _ARCS:
            raise UsageError(f"migration state {state.name} of {self._name}: it has {', '.join(known.name for known in _ARCS)}")
        if self._state is state:
            return
        if MigrationState.ERROR in (self._state, state):
            legal = ", ".join(known.name for known in _ARCS[self._state]) or "RUNNING, by a reset"
            raise StateError(f"going to {state.name} with {self._name}", f"{self._state.name}, from which it goes to {legal}", "one that leads there")
        while self._state is not state:
            self._step(state if state in _ARCS[self._state] else MigrationState.STOP)

    def _step(self, state: MigrationState) -> None:
        before, device = self._state, self._device
        if before is MigrationState.RUNNING:
            device.stop()
        elif before is MigrationState.RESUMING:
            state_bytes, self._incoming = bytes(self._incoming), bytearray()
            device.load(state_bytes)
        elif state is MigrationState.STOP_COPY:
            self._outgoing = memoryview(device.save())
        elif state is MigrationState.RESUMING:
            self._incoming = bytearray()
            device.prepare()
        elif state is MigrationState.RUNNING:
            device.go_on()
        else:
            self._outgoing = memoryview(b"")
        self._state = state

    def read(self, size: int) -> bytes:
        """The next bytes of the state, at most ``size``; none at its end. Raises: StateError unless in STOP_COPY."""
        self._require(MigrationState.STOP_COPY, "reading the state")
        piece, self._outgoing = bytes(self._outgoing[:size]), self._outgoing[size:]
        return piece

    def write(self, data: bytes) -> None:
        """The next bytes of a state. Raises: StateError unless in RESUMING."""
        self._require(MigrationState.RESUMING, "writing the state")
        self._incoming += data

    def _require(self, state: MigrationState, action: str) -> None:
        if self._state is not state:
            raise StateError(f"{action} of {self._name}", self._state.name, state.name)

    def device_reset(self) -> None:
        """The device was reset: it runs."""
        self._outgoing, self._incoming = memoryview(b""), bytearray()
        self._state = MigrationState.RUNNING
        self._device.go_on()


@final
class VgpuMigration:
    """What a vGPU does; a :class:`Migratable`."""

    def __init__(self, vgpu: Vgpu) -> None:
        self._vgpu = vgpu

    def stop(self) -> None:
        """See :class:`Migratable`."""
        self._vgpu.standstill.begin()

    def go_on(self) -> None:
        """See :class:`Migratable`."""
        self._vgpu.standstill.end()

    def save(self) -> bytes:
        """See :class:`Migratable`."""
        return save_vgpu(self._vgpu)

    def prepare(self) -> None:
        """See :class:`Migratable`."""
        self._vgpu.config.reset()  # else it would be the reset of a device that sleeps, which keeps address spaces
        self._vgpu.reset()

    def load(self, state: bytes) -> None:
        """See :class:`Migratable`."""
        saved = read_saved(state)
        saved.check_vgpu(self._vgpu)
        saved.put_into(self._vgpu)
