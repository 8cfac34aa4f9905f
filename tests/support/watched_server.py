"""A server of vGPUs in a process of its own, and what that process holds, as it says itself and as the system says."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

__all__ = ("HELD_BY_NOBODY", "Held", "WatchedServer", "watched_server")


HELD_BY_NOBODY = {"pinned_pages": 0, "address_spaces": 0, "shadow_tables": 0, "shadow_pages": 0, "workloads": 0}


class Held(NamedTuple):
    """What the server holds: all that it took for a guest comes back when the guest goes."""

    descriptors: int
    mappings: int
    """Of guests' memory."""
    pages: int
    """Of the host's own memory: shadow tables, contexts, rings."""
    timers: int
    of_guest: dict[str, int]
    """Pins, tables and work of one guest."""


class WatchedServer:
    """A running ``host-model serve``."""

    def __init__(self, process: subprocess.Popen[str], sockets: Sequence[Path], own: Path | None, url: str) -> None:
        self.sockets = sockets
        """Of the vGPUs."""
        self.own = own
        """Of the host's own device."""
        self.url = url
        self._process = process

    def state(self) -> dict[str, Any]:
        """What the live view tells as JSON."""
        with urllib.request.urlopen(f"{self.url}state.json", timeout=20) as answer:
            told: dict[str, Any] = json.loads(answer.read())
        return told

    def vgpu(self, place: int) -> dict[str, Any]:
        """The report of one vGPU, with what is on its screen."""
        state = self.state()
        return {**state["vgpus"][place], "screen": state["screens"][place + (self.own is not None)]}

    def held(self, place: int) -> Held:
        """What is held now, of the guest at ``place`` in particular."""
        state = self.state()
        held = state["gpu"]["held"]
        # The view hangs up a moment after it has answered.
        time.sleep(0.02)
        folder = Path("/proc", str(self._process.pid))
        mappings = sum("/memfd:" in line for line in (folder / "maps").read_text().splitlines())
        return Held(len(os.listdir(folder / "fd")), mappings, held["pages"], held["timers"], state["vgpus"][place]["held"])

    def at_rest(self, place: int, expected: Held | None = None) -> Held:
        """What is held once nobody looks: the view holds something for who looked a moment ago. Looks until it is ``expected``, or long enough."""
        deadline = time.monotonic() + (20 if expected is not None else 0.3)
        least = self.held(place)
        while least != expected and time.monotonic() < deadline:
            time.sleep(0.02)
            held = self.held(place)
            least = held._replace(descriptors=min(held.descriptors, least.descriptors), timers=min(held.timers, least.timers))
        return least

    def until(self, happened: Callable[[dict[str, Any]], bool], place: int, patience_s: float = 60, pause_s: float = 0.02) -> bool:
        """Look at a vGPU again and again, until something can be seen of it."""
        deadline = time.monotonic() + patience_s
        while not happened(self.vgpu(place)):
            if time.monotonic() > deadline:
                return False
            time.sleep(pause_s)
        return True


@contextmanager
def watched_server(
    folder: Path, *types: str, aperture: int = 512, own: Path | None = None, words: Sequence[str] = ()
) -> Iterator[WatchedServer]:
    """A server with a vGPU of each of the types, and with the host's own device at ``own``."""
    sockets = [folder / f"{number}.sock" for number in range(len(types))]
    asked = [f"--vgpu={name}={path}" for name, path in zip(types, sockets, strict=True)]
    served = [*([] if own is None else [own]), *sockets]
    if own is not None:
        asked.append(f"--own={own}")
    command = [sys.executable, "-m", "host_model", "serve", "--aperture", str(aperture), "--view", "0", *asked, *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert [process.stdout.readline().strip() for _ in served] == [f"ready {path}" for path in served]
            word, url = process.stdout.readline().split()
            assert word == "view"
            yield WatchedServer(process, sockets, own, url)
        finally:
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=20)
    assert process.returncode == 0
    assert not any(path.exists() for path in served)
