"""The live view: what is at which path."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from importlib.resources import files
from typing import Final, NamedTuple, final

from .facts import DeviceFacts
from .http import Response, refusal
from .page import ViewedDevice, render_page
from .screen import Screen

__all__ = ("Site", "View", "Viewed")

_ASSETS: Final = {"/view.css": "text/css; charset=utf-8", "/view.js": "text/javascript; charset=utf-8"}
_PAGE: Final = "text/html; charset=utf-8"
_JSON: Final = "application/json"
_PNG: Final = "image/png"


class Viewed(NamedTuple):
    """A device that can be looked at."""

    number: int
    kind: str
    socket: str
    screen: Screen
    connected: Callable[[], bool]
    facts: Callable[[], DeviceFacts]


class Site(NamedTuple):
    """All that is looked at: ``report`` is the object of ``--json``, ``totals`` stand on top of the page. ``devices`` may come and go."""

    platform: str
    devices: Sequence[Viewed]
    report: Callable[[], Mapping[str, object]]
    totals: Callable[[], Sequence[tuple[str, int, bool]]]


@final
class View:
    """The page, its pictures, and the same as JSON; :meth:`answer` is what a :class:`~.server.ViewServer` asks."""

    def __init__(self, site: Site) -> None:
        self._site: Final = site
        self._assets: Final = {
            path: Response(files("host_model.view").joinpath(path[1:]).read_bytes(), content_type) for path, content_type in _ASSETS.items()
        }

    def answer(self, path: str) -> Response:
        """What is at ``path``."""
        if path == "/":
            return Response(self._page().encode(), _PAGE)
        if path == "/state.json":
            return Response(json.dumps(self._state()).encode(), _JSON)
        if path in self._assets:
            return self._assets[path]
        screens = {f"/screen/{device.number}.png": device.screen for device in self._site.devices}
        screen = screens.get(path)
        if screen is None:
            return refusal(HTTPStatus.NOT_FOUND, f"there are /, /state.json and {', '.join(screens)}")
        png = screen.glanced_png()
        if png is None:
            return refusal(HTTPStatus.NOT_FOUND, screen.nothing_shown)
        return Response(png, _PNG)

    def _page(self) -> str:
        site = self._site
        devices = [
            ViewedDevice(
                viewed.number, viewed.screen.title, viewed.kind, viewed.socket, viewed.connected(), viewed.screen.glance(), viewed.facts()
            )
            for viewed in site.devices
        ]
        return render_page(site.platform, site.totals(), devices)

    def _state(self) -> dict[str, object]:
        screens = []
        for viewed in self._site.devices:
            sequence, frame = viewed.screen.glance()
            screens.append(
                {
                    "number": viewed.number,
                    "title": viewed.screen.title,
                    "connected": viewed.connected(),
                    "sequence": sequence,
                    "width": frame.width if frame else 0,
                    "height": frame.height if frame else 0,
                    "picture": f"/screen/{viewed.number}.png" if frame else None,
                }
            )
        return {**self._site.report(), "screens": screens}
