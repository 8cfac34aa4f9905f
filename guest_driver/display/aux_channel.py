"""An AUX channel: messages of up to 20 bytes to a DisplayPort monitor, its own registers, and a two-wire bus behind it.

Source: linux:drivers/gpu/drm/i915/display/intel_dp_aux.c, linux:drivers/gpu/drm/display/drm_dp_helper.c
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, final

from pvinfo.errors import DriverError, WaitTimeout
from pvinfo.registers import AuxChannel, AuxControl, AuxRequest, AuxTimeout, BroadwellClocks, PchAuxChannel

from ..uncore import Uncore

__all__ = ("DisplayPortAux",)

_TIMEOUT_NS: Final = 10_000_000
_TRIES: Final = 5
"""Of one message that is lost or garbled."""
_GARBLED_PAUSE_NS: Final = 400_000
_BUSY_TRIES: Final = 3
_BUSY_PAUSE_NS: Final = 1_000_000
_DEFERRED_TRIES: Final = 32
_DEFERRED_PAUSE_NS: Final = 500_000
_LONGEST: Final = 16
_MESSAGE: Final = 20
_ACKNOWLEDGE: Final = 0
_NOBODY: Final = 4
"""The bus behind the monitor says that nobody is at the address."""
_DEFERRED: Final = (2, 8)
_FAST_WAKE_LENGTH: Final = 18
_SYNCHRONISATION_LENGTH: Final = 32
"""Lengths in bits, minus nothing: gen9 has them, minus one, where gen8 has its clock divider."""
_PRECHARGE: Final = 3
_MIDDLE: Final = int(AuxRequest.I2C_WRITE_MOT)
"""The bit that keeps the bus."""


@final
class DisplayPortAux:
    """The channel of one port. ``connected`` says whether a monitor is there; without one nothing is sent."""

    def __init__(self, uncore: Uncore, port: str, connected: Callable[[], bool]) -> None:
        self._uncore = uncore
        self._connected = connected
        name = f"AUX_{port}"
        self._in_hub = uncore.platform.graphics_version == 8 and port != "A"
        block = PchAuxChannel if self._in_hub else AuxChannel
        self._control = block.control
        self._name = name
        self._data = block(uncore.regs, name).data

    # ---- one message ----

    def _setting(self, size: int) -> AuxControl:
        acknowledge = AuxControl.of(done=1, timeout_error=1, receive_error=1)
        common = AuxControl.of(acknowledge, busy=1, interrupt=1, message_size=size)
        if self._uncore.platform.graphics_version >= 9:
            lengths = (_FAST_WAKE_LENGTH - 1) << 5 | (_SYNCHRONISATION_LENGTH - 1)
            return AuxControl.of(common, timeout=AuxTimeout.LONGEST, bit_clock_2x=lengths)
        return AuxControl.of(common, timeout=AuxTimeout.US_600, precharge=_PRECHARGE, bit_clock_2x=self._divider())

    def _divider(self) -> int:
        """To 2 MHz from the hub's clock; port A's channel counts the core display clock."""
        return max(1, self._uncore.read(BroadwellClocks.rawclk_freq).frequency // 2)

    def _await_free(self) -> None:
        for _ in range(_BUSY_TRIES):
            if not self._uncore.read(self._control, self._name).busy:
                return
            self._uncore.clock.wait_ns(_BUSY_PAUSE_NS)
        raise DriverError(f"{self._control.title} of {self._name} at {self._control.at(self._name):#x} is busy before anything was sent")

    def _send(self, message: bytes) -> bytes | None:
        """Hand over ``message`` and wait for the reply (``intel_dp_aux_xfer``); None when none came.

        Raises: DriverError when the channel stays busy, or every reply is garbled.
        """
        if not self._connected():
            return None
        uncore, register, base = self._uncore, self._control, self._name
        self._await_free()
        status = AuxControl(0)
        for _ in range(_TRIES):
            for number in range(0, len(message), 4):
                self._data[number // 4] = int.from_bytes(message[number : number + 4].ljust(4, b"\0"), "big")
            uncore.write(register, self._setting(len(message)), base)
            try:
                status = AuxControl(uncore.wait_for(register, AuxControl.busy.mask, 0, _TIMEOUT_NS, base))
            except WaitTimeout as error:
                raise DriverError(f"{base} never ends a transfer: {error}") from error
            uncore.write(register, AuxControl.of(status, done=1, timeout_error=1, receive_error=1), base)
            if status.timeout_error:
                continue
            if status.receive_error:
                uncore.clock.wait_ns(_GARBLED_PAUSE_NS)
                continue
            if status.done:
                break
        if status.timeout_error:
            return None
        if status.receive_error or not status.done:
            raise DriverError(f"{base}: a message of {len(message)} bytes ends with {status.describe()}, {_TRIES} times")
        if not 0 < status.message_size <= _MESSAGE:
            raise DriverError(f"{base}: a reply of {status.message_size} bytes; there are 1 to {_MESSAGE}")
        reply = b"".join(int(self._data[number]).to_bytes(4, "big") for number in range(-(-status.message_size // 4)))
        return reply[: status.message_size]

    def _ask(self, request: int, address: int, size: int, data: bytes = b"") -> bytes | None:
        """One request, again while the monitor defers it (``drm_dp_dpcd_access``); what it replied, None when nobody is there.

        ``size`` 0 is a bare address. Raises: DriverError when it refuses or defers for ever.
        """
        header = bytes((request << 4 | address >> 16, address >> 8 & 0xFF, address & 0xFF))
        message = header + (bytes((size - 1,)) if size else b"") + data
        for _ in range(_DEFERRED_TRIES):
            reply = self._send(message)
            if reply is None:
                return None
            verdict = reply[0] >> 4
            if verdict == _ACKNOWLEDGE:
                return reply[1:]
            if verdict == _NOBODY:
                return None
            if verdict not in _DEFERRED:
                raise DriverError(f"{self._name}: request {request:#x} of {size} bytes at {address:#x} is refused: the reply is {verdict:#x}")
            self._uncore.clock.wait_ns(_DEFERRED_PAUSE_NS)
        raise DriverError(f"{self._name}: request {request:#x} of {size} bytes at {address:#x} was deferred {_DEFERRED_TRIES} times")

    # ---- the monitor's own registers ----

    def read_registers(self, address: int, size: int) -> bytes | None:
        """``size`` bytes of the monitor's registers; None when there is no monitor.

        Raises: DriverError when it refuses, or answers with fewer.
        """
        read = b""
        while len(read) < size:
            wanted = min(_LONGEST, size - len(read))
            reply = self._ask(AuxRequest.NATIVE_READ, address + len(read), wanted)
            if reply is None:
                return None
            if not reply:
                raise DriverError(f"{self._name}: a reply without data to a read of {wanted} bytes at {address + len(read):#x}")
            read += reply[:wanted]
        return read

    def write_registers(self, address: int, data: bytes) -> bool:
        """Write the monitor's registers; False when there is no monitor. Raises: DriverError when it refuses."""
        for at in range(0, len(data), _LONGEST):
            part = data[at : at + _LONGEST]
            if self._ask(AuxRequest.NATIVE_WRITE, address + at, len(part), part) is None:
                return False
        return True

    # ---- the bus behind it ----

    def read_from(self, address: int, offset: int, size: int) -> bytes | None:
        """As :class:`~guest_driver.display.i2c.I2cBus` has it: the offset is written, then bytes are read, as many at a time as
        the monitor gives (``drm_dp_i2c_xfer``)."""
        write, read = int(AuxRequest.I2C_WRITE) | _MIDDLE, int(AuxRequest.I2C_READ) | _MIDDLE
        try:
            if self._ask(write, address, 0) is None or self._ask(write, address, 1, bytes((offset,))) is None:
                return None
            if self._ask(read, address, 0) is None:
                return None
            got, step = b"", _LONGEST
            while len(got) < size:
                wanted = min(step, size - len(got))
                reply = self._ask(read, address, wanted)
                if reply is None:
                    return None
                if not reply:
                    raise DriverError(f"{self._name}: device {address:#x} gives no byte {offset + len(got)}")
                got += reply[:wanted]
                step = min(step, len(reply))
            return got
        finally:
            self._ask(int(AuxRequest.I2C_READ), address, 0)
