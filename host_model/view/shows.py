"""What a host shows of its devices while it serves them: their screens, the live view, a frame in shared memory."""

from __future__ import annotations

import selectors
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple, final

from ..clock import HostClock
from .screen import Screen
from .server import ViewAddress, ViewServer
from .shared_frame import SharedFrame
from .view import Site, View, Viewed

__all__ = ("Shows", "Wanted", "file_of")


class Wanted(NamedTuple):
    """What is to be shown, beside what is asked for later."""

    view: ViewAddress | None = None
    """Where to serve the page."""
    frame: Path | None = None
    """The file of the shared frame; with several devices each has its own, as :func:`file_of` names it."""
    pictures: bool = False
    """Pictures will be asked for."""

    @property
    def anything(self) -> bool:
        """Somebody will look."""
        return self.view is not None or self.frame is not None or self.pictures


def file_of(path: Path, number: int, *, alone: bool) -> Path:
    """The file for device ``number`` where the user named ``path``: that one, or one each."""
    return path if alone else path.with_name(f"{number}-{path.name}")


@final
class Shows:
    """Everything that is shown of ``site``'s devices, until it is closed.

    Raises: SetupError for an address or a file that cannot be had.
    """

    def __init__(self, site: Site, selector: selectors.BaseSelector, clock: HostClock, wanted: Wanted) -> None:
        self.devices: Final[Sequence[Viewed]] = site.devices
        self.view_url: str | None = None
        with ExitStack() as stack:
            if wanted.view is not None:
                server = ViewServer(selector, clock, wanted.view, View(site).answer)
                stack.callback(server.close)
                self.view_url = server.url
            if wanted.frame is not None:
                for viewed in site.devices:
                    path = file_of(wanted.frame, viewed.number, alone=len(site.devices) == 1)
                    stack.callback(SharedFrame(path, viewed.screen, clock).close)
            self._resources: Final = stack.pop_all()

    def close(self) -> None:
        """Show nothing any more."""
        self._resources.close()
