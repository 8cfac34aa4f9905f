"""The monitor as a region of the device: who runs the guest's machine plugs in another one, at run time.

Where this differs from the kernel's mediator, on purpose: the region has the size that it really has (there, 128 bytes are
reported, and the EDID is at 2048); an EDID may have extension blocks; what is written is only a draft until the link goes up,
and a draft that is refused leaves the monitor as it is (there, the monitor's own EDID is overwritten at once); the limits of the
resolution are those of a pipe, and hold (there, the type's resolution is named, and nothing checks it).

Source: linux:drivers/gpu/drm/i915/gvt/kvmgt.c (intel_vgpu_reg_rw_edid), linux:include/uapi/linux/vfio.h
"""

from __future__ import annotations

import errno
from typing import Final, final

from pvinfo.connector import Connector
from pvinfo.edid.layout import BLOCK_SIZE
from pvinfo.edid.reading import MAX_HEIGHT, MAX_WIDTH
from pvinfo.errors import PeerError, UsageError
from pvinfo.gfx_edid import GFX_EDID_REGISTERS, GfxEdidRegisters, GfxLinkState
from pvinfo.vfio_user import GFX_EDID_TYPE

from .display import Display
from .monitor import Monitor

__all__ = ("EDID_AT", "EDID_MAX_SIZE", "EdidRegion")

EDID_AT: Final = 2048
"""Where the EDID begins. Source: linux:drivers/gpu/drm/i915/gvt/kvmgt.c"""
EDID_MAX_SIZE: Final = 256 * BLOCK_SIZE
"""As many blocks as a monitor's memory can have."""
_REGISTER: Final = 4
_EDID_SIZE: Final = GFX_EDID_REGISTERS.offset_of("edid_size")
_LINK_STATE: Final = GFX_EDID_REGISTERS.offset_of("link_state")


@final
class EdidRegion:
    """The region of one device. A monitor that was never there before is plugged in at ``connector``."""

    type = GFX_EDID_TYPE
    size = EDID_AT + EDID_MAX_SIZE

    def __init__(self, display: Display, connector: Connector) -> None:
        self._display = display
        self._connector = connector
        self._draft = bytearray()
        self._last: Monitor | None = None
        """The last monitor that was seen plugged in."""

    def _look(self) -> None:
        """Somebody else may have plugged in a monitor: the draft begins anew with that one."""
        monitor = self._display.monitor
        if monitor is not None and monitor is not self._last:
            self._last = monitor
            self._begin_anew()

    def _begin_anew(self) -> None:
        self._draft = bytearray(self._last.edid if self._last is not None else b"")

    def _registers(self) -> bytes:
        state = GfxLinkState.DOWN if self._display.monitor is None else GfxLinkState.UP
        return GFX_EDID_REGISTERS.pack(GfxEdidRegisters(EDID_AT, EDID_MAX_SIZE, len(self._draft), MAX_WIDTH, MAX_HEIGHT, state))

    def read(self, offset: int, length: int) -> bytes:
        """A register, or bytes of the EDID. Raises: PeerError for anything else."""
        self._look()
        if offset < EDID_AT:
            self._check_register(offset, length)
            return self._registers()[offset : offset + length]
        start = self._check_edid(offset, length)
        return bytes(self._draft[start : start + length])

    def write(self, offset: int, data: bytes) -> None:
        """Change a register, or bytes of the EDID.

        Raises: PeerError, with nothing changed, for anything else, for a register that cannot be written, and for an EDID that is
        none when the link is to go up.
        """
        self._look()
        if offset >= EDID_AT:
            start = self._check_edid(offset, len(data))
            self._draft[start : start + len(data)] = data
            return
        self._check_register(offset, len(data))
        value = int.from_bytes(data, "little")
        if offset == _EDID_SIZE:
            self._resize(value)
        elif offset == _LINK_STATE:
            self._switch(value)
        else:
            register = GFX_EDID_REGISTERS.field_at(offset)
            raise PeerError(errno.EPERM, f"EDID region: {register.path if register is not None else hex(offset)} can only be read")

    def client_gone(self) -> None:
        """A draft that was not plugged in goes with its writer."""
        self._begin_anew()

    def _resize(self, size: int) -> None:
        if size > EDID_MAX_SIZE:
            raise PeerError(errno.EINVAL, f"EDID region: edid_size {size}, must be {EDID_MAX_SIZE} at most")
        self._draft = bytearray(self._draft[:size].ljust(size, b"\0"))

    def _switch(self, state: int) -> None:
        if state == GfxLinkState.DOWN:
            self._display.unplug()
        elif state == GfxLinkState.UP:
            connector = self._last.connector if self._last is not None else self._connector
            try:
                self._last = Monitor(connector, bytes(self._draft))
            except UsageError as error:
                raise PeerError(errno.EINVAL, f"EDID region: link_state 1 (up): {error}") from None
            self._display.plug(self._last)
        else:
            raise PeerError(errno.EINVAL, f"EDID region: link_state {state}, must be 1 (up) or 2 (down)")

    @staticmethod
    def _check_register(offset: int, length: int) -> None:
        if length != _REGISTER or offset % _REGISTER or offset + length > GFX_EDID_REGISTERS.size:
            raise PeerError(
                errno.EINVAL,
                f"EDID region: {length} bytes at {offset:#x}; registers are dwords from 0 to {GFX_EDID_REGISTERS.size - _REGISTER:#x}, and the EDID begins at {EDID_AT:#x}",
            )

    def _check_edid(self, offset: int, length: int) -> int:
        """Where in the EDID the bytes begin."""
        start = offset - EDID_AT
        if start + length > len(self._draft):
            raise PeerError(errno.EINVAL, f"EDID region: bytes {start} to {start + length} of the EDID, whose edid_size is {len(self._draft)}")
        return start
