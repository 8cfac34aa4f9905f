"""The cursor of a pipe: a small picture above all planes, and the pixel of it that points.

Where it points a vGPU's driver tells the host in the PVINFO page, for a viewer on the host draws the cursor itself.
Source: linux:drivers/gpu/drm/i915/display/intel_cursor.c, linux:drivers/gpu/drm/i915/i915_pvinfo.h
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, final

from pvinfo.errors import StateError, UsageError
from pvinfo.page import PvInfo
from pvinfo.registers import Cursor, CursorControl, CursorMode, CursorPosition, PlaneSurface
from pvinfo.units import KIB

from ..buffer import BufferObject
from ..ggtt import Binding
from .vblank import Vblanks

if TYPE_CHECKING:
    from ..driver import GuestDriver

__all__ = ("ScreenCursor",)

_PIXEL: Final = 4
_MODES: Final = {64: CursorMode.X64_ARGB, 128: CursorMode.X128_ARGB, 256: CursorMode.X256_ARGB}
_ALIGNMENT: Final = 256 * KIB


@final
class ScreenCursor:
    """The cursor of one screen; it is off until :meth:`show`."""

    def __init__(self, driver: GuestDriver, vblanks: Vblanks) -> None:
        self._driver = driver
        self._vblanks = vblanks
        self._registers = Cursor(driver.uncore.regs, vblanks.pipe)
        self._buffer: BufferObject | None = None
        self._binding: Binding | None = None
        self._control = CursorControl(0)
        self._surface = PlaneSurface(0)
        self.position = (0, 0)
        """Of the pixel that points, on the screen."""
        self.hot_spot = (0, 0)
        """The pixel of the picture that points."""

    @property
    def visible(self) -> bool:
        """It is on."""
        return self._binding is not None

    @property
    def corner(self) -> tuple[int, int]:
        """Where the picture's upper left corner is: it may be outside the screen."""
        return self.position[0] - self.hot_spot[0], self.position[1] - self.hot_spot[1]

    def show(self, rows: list[bytes], hot_spot: tuple[int, int] = (0, 0), at: tuple[int, int] | None = None) -> None:
        """Show a picture of 64, 128 or 256 pixels square, of blue, green, red and alpha, that points with pixel ``hot_spot``
        at ``at``, by default where it did.

        Raises: UsageError for another size, or a hot spot outside; DriverError without room.
        """
        size = len(rows)
        if size not in _MODES or any(len(row) != size * _PIXEL for row in rows):
            raise UsageError(f"a cursor of {size} rows of {max(map(len, rows), default=0)} bytes; one has {', '.join(map(str, _MODES))} of that many pixels")
        if not (0 <= hot_spot[0] < size and 0 <= hot_spot[1] < size):
            raise UsageError(f"a hot spot {hot_spot} outside the {size} pixels of the cursor")
        driver, old = self._driver, (self._binding, self._buffer)
        buffer = driver.create_buffer(size * size * _PIXEL, "cursor")
        buffer.write(0, b"".join(rows))
        binding = driver.ggtt.bind(buffer, mappable=True, alignment=_ALIGNMENT)
        self._buffer, self._binding = buffer, binding
        self._surface = PlaneSurface(binding.address)
        self._control = CursorControl.of(mode=_MODES[size])
        self.hot_spot = hot_spot
        if driver.virtual:
            driver.uncore.write(PvInfo.cursor_x_hot, hot_spot[0])
            driver.uncore.write(PvInfo.cursor_y_hot, hot_spot[1])
        if at is not None:
            self.position = at
        self._registers.fbc_ctl = 0
        self._registers.ctl = self._control
        self._place()
        self._give_back(*old)

    def _place(self) -> None:
        x, y = self.corner
        self._registers.pos = CursorPosition.of(x=abs(x), x_negative=x < 0, y=abs(y), y_negative=y < 0)
        self._registers.surf = self._surface

    def move(self, x: int, y: int) -> None:
        """Point at a pixel of the screen, from the next vertical blank on. Raises: StateError while it is off."""
        if self._binding is None:
            raise StateError("moving the cursor", "off", "shown")
        self.position = x, y
        self._place()

    def hide(self) -> None:
        """Switch it off. Nothing happens when it is."""
        if self._binding is None:
            return
        self._control, self._surface = CursorControl(0), PlaneSurface(0)
        self._registers.fbc_ctl = 0
        self._registers.ctl = self._control
        self._registers.pos = CursorPosition(0)
        self._registers.surf = self._surface
        old, self._binding, self._buffer = (self._binding, self._buffer), None, None
        self._give_back(*old)

    def _give_back(self, binding: Binding | None, buffer: BufferObject | None) -> None:
        """Release the memory of a picture at the next vertical blank: until then it is shown."""
        if binding is None or buffer is None:
            return
        ggtt = self._driver.ggtt

        def release() -> None:
            ggtt.unbind(binding)
            buffer.release()

        self._vblanks.once(release)
