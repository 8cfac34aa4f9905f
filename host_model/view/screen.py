"""A device's screen as people and programs ask for it: now, now and then, or as it was when the client left."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, final

from ..scanout import Frame, png_pieces, same_picture, scan_out

if TYPE_CHECKING:
    from ..gpu.device import PhysicalGpu
    from ..mediator.host_path.screen import HostScreen
    from ..mediator.vgpu import Vgpu

__all__ = ("Glance", "PngInPieces", "Screen", "ShowingDevice")

_GLANCE_NS: Final = 500_000_000
"""However many people look, a screen is looked at no more often."""

ShowingDevice: TypeAlias = "Vgpu | PhysicalGpu | HostScreen"
"""What has a screen."""


class Glance(NamedTuple):
    """What is on a screen: ``sequence`` grows whenever that has changed; ``frame`` is None where nothing is shown."""

    sequence: int
    frame: Frame | None


@final
class PngInPieces:
    """A frame as a PNG, made as far as somebody has asked for it."""

    def __init__(self, frame: Frame) -> None:
        self._rest = png_pieces(frame)
        self._made: list[bytes] = []

    def piece(self, number: int) -> bytes | None:
        """Piece ``number``, from 0; None after the last."""
        while len(self._made) <= number:
            piece = next(self._rest, None)
            if piece is None:
                return None
            self._made.append(piece)
        return self._made[number]


@final
class Screen:
    """The screen of ``device``; ``abandoned`` tells that its client has gone."""

    def __init__(self, device: ShowingDevice, title: str, abandoned: Callable[[], bool] = lambda: False) -> None:
        self.device: Final = device
        self.title: Final = title
        """What the device is called where people read of it."""
        self._abandoned: Final = abandoned
        self._last: Frame | None = None
        self._glance = Glance(0, None)
        self._glanced_ns: int | None = None
        self._png: PngInPieces | None = None

    def look(self) -> Frame | None:
        """What is shown now or, when the client has gone and taken its memory along, what it showed last."""
        return self._last if self._abandoned() else scan_out(self.device)

    def glance(self) -> Glance:
        """What is shown now, or was half a second ago at most."""
        now_ns = self.device.clock.now_ns()
        if self._glanced_ns is None or now_ns - self._glanced_ns >= _GLANCE_NS:
            frame = self.look()
            if not same_picture(frame, self._glance.frame):
                self._glance = Glance(self._glance.sequence + 1, frame)
                self._png = None
            self._glanced_ns = self.device.clock.now_ns()
        return self._glance

    def glanced_png(self) -> PngInPieces | None:
        """The last glance as a PNG, made once however often it is asked for; None where nothing is shown."""
        frame = self.glance().frame
        if frame is not None and self._png is None:
            self._png = PngInPieces(frame)
        return self._png

    def keep_last(self) -> None:
        """The client has gone, but what it showed can still be read: remember it."""
        self._last = scan_out(self.device)

    @property
    def nothing_shown(self) -> str:
        """Why there is no frame, in words."""
        when = "was on when its client left" if self._abandoned() else "is on"
        return f"{self.title} shows nothing: no pipe {when}"
