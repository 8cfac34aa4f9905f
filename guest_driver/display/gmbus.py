"""The I2C controller: reads a monitor's memory over an HDMI cable.

Source: linux:drivers/gpu/drm/i915/display/intel_gmbus.c
"""

from __future__ import annotations

from typing import Final, final

from pvinfo.connector import Port
from pvinfo.errors import DriverError, WaitTimeout
from pvinfo.registers import Gmbus, GmbusCommand, GmbusCycle, GmbusSelect, GmbusStatus

from ..uncore import Uncore

__all__ = ("HdmiBus", "pin_of")

_READY_TIMEOUT_NS: Final = 50_000_000
_IDLE_TIMEOUT_NS: Final = 10_000_000
_TRIES: Final = 2
_LONGEST: Final = 256
_PINS: Final = {Port.B: 5, Port.C: 4, Port.D: 6}
_LATER_PINS: Final = {Port.B: 1, Port.C: 2, Port.D: 4}
"""Of Cannon Point, and, as far as it has ports, of Broxton."""


def pin_of(platform: str, port: Port) -> int:
    """Number of the pair of pins that goes to a port. Raises: DriverError where there is none."""
    pins = _LATER_PINS if platform in ("bxt", "cfl") else _PINS
    if port not in pins:
        raise DriverError(f"port {port.value} has no pins for an HDMI cable; ports {', '.join(known.value for known in pins)} have")
    return pins[port]


@final
class HdmiBus:
    """The bus in the cable of one port."""

    def __init__(self, uncore: Uncore, port: Port) -> None:
        self._uncore = uncore
        self._pin = pin_of(uncore.platform.name, port)

    def read_from(self, address: int, offset: int, size: int) -> bytes | None:
        """As :class:`~guest_driver.display.i2c.I2cBus` has it: the offset goes along with the command (``do_gmbus_xfer``)."""
        uncore = self._uncore
        uncore.write(Gmbus.gmbus4, 0)
        try:
            for _ in range(_TRIES):
                uncore.write(Gmbus.gmbus0, GmbusSelect(self._pin))
                data = self._transfer(address, offset, size)
                if data is not None:
                    self._stop()
                    return data
                self._recover()
            return None
        finally:
            uncore.write(Gmbus.gmbus0, 0)

    def _wait(self, wanted: int, what: str) -> bool:
        """Until one of ``wanted`` or the refusal shows; False when it was refused. Raises: DriverError."""
        clock = self._uncore.clock
        deadline, pause = clock.now_ns() + _READY_TIMEOUT_NS, 1_000
        while True:
            status = self._uncore.read(Gmbus.gmbus2)
            if status & wanted or status.nak:
                return not status.nak
            if clock.now_ns() >= deadline:
                raise DriverError(
                    f"{Gmbus.gmbus2.title} at {Gmbus.gmbus2.at():#x} reads {int(status):#x}: {what} for {_READY_TIMEOUT_NS // 1_000_000} ms"
                )
            clock.wait_ns(pause)
            pause = min(2 * pause, 1_000_000)

    def _transfer(self, address: int, offset: int, size: int) -> bytes | None:
        """The bytes; None when the monitor does not answer."""
        uncore, data = self._uncore, b""
        while len(data) < size:
            part = min(_LONGEST, size - len(data))
            index = offset + len(data)
            uncore.write(
                Gmbus.gmbus1,
                GmbusCommand.of(read=1, address=address, index=index, byte_count=part, cycle=GmbusCycle.INDEX_WAIT, software_ready=1),
            )
            taken = b""
            while len(taken) < part:
                if not self._wait(GmbusStatus.hardware_ready.mask, "no bytes are ready"):
                    return None
                taken += int(uncore.read(Gmbus.gmbus3)).to_bytes(4, "little")
            data += taken[:part]
            if not self._wait(GmbusStatus.wait_phase.mask, "the transfer does not end"):
                return None
        return data

    def _stop(self) -> None:
        """Let go of the bus. Raises: DriverError when it stays in use."""
        self._uncore.write(Gmbus.gmbus1, GmbusCommand.of(cycle=GmbusCycle.STOP, software_ready=1))
        self._await_idle()

    def _await_idle(self) -> None:
        try:
            self._uncore.wait_for(Gmbus.gmbus2, GmbusStatus.active.mask, 0, _IDLE_TIMEOUT_NS)
        except WaitTimeout as error:
            raise DriverError(f"the I2C controller does not let go of the bus: {error}") from error

    def _recover(self) -> None:
        """Reset the controller after a refusal."""
        self._await_idle()
        self._uncore.write(Gmbus.gmbus1, GmbusCommand.clear_interrupt.mask)
        self._uncore.write(Gmbus.gmbus1, 0)
