"""Power of the display engine: its wells, its buffer, and the low-power states that it must not be in while it is used.

Source: linux:drivers/gpu/drm/i915/display/intel_display_power.c, linux:drivers/gpu/drm/i915/display/intel_display_power_well.c
"""

from __future__ import annotations

from collections import Counter
from enum import Enum
from typing import Final, final

from pvinfo.connector import Port
from pvinfo.errors import DriverError
from pvinfo.registers import DbufControl, DcState, DisplayPower, FuseStatus, PowerWellControl, ResetWarning

from ..interrupts import Interrupts
from ..uncore import Uncore

__all__ = ("DisplayWells", "Well", "port_well")

_WELL_TIMEOUT_NS: Final = 1_000_000
_FUSE_TIMEOUT_NS: Final = 1_000_000
_BUFFER_TIMEOUT_NS: Final = 10_000
_STICKS: Final = 6
_TRIES: Final = 100


class Well(Enum):
    """A part of the display with a power switch of its own, by the bit that requests it; its state is the bit below."""

    MISC_IO = PowerWellControl.misc_io_request.mask
    DDI_A_E = PowerWellControl.ddi_a_e_request.mask
    DDI_B = PowerWellControl.ddi_b_request.mask
    DDI_C = PowerWellControl.ddi_c_request.mask
    DDI_D = PowerWellControl.ddi_d_request.mask
    PW1 = PowerWellControl.pw1_request.mask
    PW2 = PowerWellControl.pw2_request.mask
    """On gen8 the only one: everything outside pipe A."""


_PORT_WELLS: Final = {Port.A: Well.DDI_A_E, Port.E: Well.DDI_A_E, Port.B: Well.DDI_B, Port.C: Well.DDI_C, Port.D: Well.DDI_D}
_FUSES: Final = {Well.PW1: FuseStatus.pg1_distribution.mask, Well.PW2: FuseStatus.pg2_distribution.mask}
_FAR_PIPES: Final = ("PIPE_B", "PIPE_C")
"""They lose their interrupt registers with PW2."""


def port_well(platform: str, port: Port) -> Well | None:
    """The well of a port's buffer; None where ports have none of their own."""
    return None if platform in ("bdw", "bxt") else _PORT_WELLS[port]


@final
class DisplayWells:
    """Who needs which well. Each is on from its first user to its last."""

    def __init__(self, uncore: Uncore, interrupts: Interrupts) -> None:
        self._uncore = uncore
        self._interrupts = interrupts
        self._users: Counter[Well] = Counter()

    @property
    def on(self) -> tuple[Well, ...]:
        """The wells that are on, in the order of their bits."""
        return tuple(well for well in Well if self._users[well])

    # ---- the whole engine ----

    def init(self) -> None:
        """Wake what every use of the display needs (``skl_display_core_init``), all but its clock and its buffer.

        Raises: DriverError when a well does not come on in time, or a low-power state does not end.
        """
        uncore = self._uncore
        if uncore.platform.graphics_version >= 9:
            self._leave_low_power()
            handshake = ResetWarning.pch_handshake.mask
            # Broxton has no hub that could answer.
            uncore.modify(DisplayPower.nde_rstwrn_opt, handshake, 0 if uncore.platform.name == "bxt" else handshake)
            self.get(Well.PW1)
            if uncore.platform.name != "bxt":
                self.get(Well.MISC_IO)

    def end(self) -> None:
        """Let go of every well, the last first, whoever has it."""
        for well in reversed(self.on):
            self._users[well] = 1
            self.put(well)

    def _leave_low_power(self) -> None:
        """Write 0 until that is what is read, several times in a row (``gen9_set_dc_state``)."""
        uncore, register = self._uncore, DisplayPower.dc_state_en
        uncore.write(register, 0)
        state, rewritten, same = DcState(0), False, 0
        for _ in range(_TRIES):
            state = uncore.read(register)
            if state:
                # The firmware of the power states may write it too.
                uncore.write(register, 0)
                rewritten, same = True, 0
                continue
            same += 1
            if same == (_STICKS if rewritten else 1):
                return
        raise DriverError(f"{register.title} at {register.at():#x} reads {int(state):#x} however often 0 is written: {_TRIES} times")

    def switch_buffer(self, on: bool) -> None:
        """Give the buffer that planes share power, or take it (``gen9_dbuf_slices_update``); gen8's always has.

        Raises: WaitTimeout.
        """
        if self._uncore.platform.graphics_version < 9:
            return
        request, state = DbufControl.power_request.mask, DbufControl.power_state.mask
        self._uncore.modify(DisplayPower.dbuf_ctl, request, request if on else 0)
        self._uncore.wait_for(DisplayPower.dbuf_ctl, state, state if on else 0, _BUFFER_TIMEOUT_NS)

    # ---- one well ----

    def get(self, well: Well) -> None:
        """Need ``well``. Raises: WaitTimeout when it does not come on, or its fuses do not."""
        if not self._users[well]:
            try:
                self._enable(well)
            except DriverError:
                self._uncore.modify(DisplayPower.well_driver, well.value, 0)
                raise
        self._users[well] += 1

    def put(self, well: Well) -> None:
        """Need it no more."""
        self._users[well] -= 1
        if not self._users[well]:
            self._uncore.modify(DisplayPower.well_driver, well.value, 0)

    def _enable(self, well: Well) -> None:
        uncore, has_fuses = self._uncore, self._uncore.platform.graphics_version >= 9
        if has_fuses and well is Well.PW1:
            self._await_fuse(FuseStatus.pg0_distribution.mask)
        uncore.modify(DisplayPower.well_driver, 0, well.value)
        state = well.value >> 1
        uncore.wait_for(DisplayPower.well_driver, state, state, _WELL_TIMEOUT_NS)
        if has_fuses and well in _FUSES:
            self._await_fuse(_FUSES[well])
        if well is Well.PW2:
            self._interrupts.open_pipes(_FAR_PIPES)

    def _await_fuse(self, mask: int) -> None:
        self._uncore.wait_for(DisplayPower.fuse_status, mask, mask, _FUSE_TIMEOUT_NS)
