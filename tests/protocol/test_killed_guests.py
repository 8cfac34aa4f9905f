"""A guest is killed at some point of its life: what the host held for it comes back, counted, and its neighbour does not notice.

The guests are processes of their own on the sockets of a server. Real ones die in tests/linux/test_killed_guests.py.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support import dying_guest
from support.dying_guest import PHASES
from support.watched_server import HELD_BY_NOBODY, WatchedServer, watched_server

from guest_driver import GuestDriver
from guest_driver.transport.vfio_user import connect
from pvinfo.units import MIB

SECOND_NS = 1_000_000_000
DYING, NEIGHBOUR = 0, 1
WITHOUT_TRANSLATIONS = {"connected", "reading-the-page"}
OF_A_GUEST = {"at-the-aperture", "half-a-table-entry"}
"""Phases in which graphics memory of a vGPU is used."""


class Beside:
    """A server of two, and the neighbour's driver, which has work on its way whatever becomes of the other guest."""

    def __init__(self, server: WatchedServer, driver: GuestDriver) -> None:
        self.server = server
        self._driver = driver
        self._surface = driver.create_surface(64, 16)
        self._colour = 0

    def draw(self) -> None:
        """Fill, fill again, and look."""
        for _ in range(8):
            self._colour += 0x010203
            self._driver.fill(self._surface, self._colour).wait(30 * SECOND_NS)
            row = self._surface.read_row(7, 0, 64 * 4)
            assert row == self._colour.to_bytes(4, "little") * 64


@pytest.fixture(scope="module")
def beside(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Beside]:
    folder = tmp_path_factory.mktemp("k")
    served = watched_server(folder, "GVTg_V5_8", "GVTg_V5_8", own=folder / "own.sock", words=["--monitor", "DP-B"])
    with served as server, connect(server.sockets[NEIGHBOUR], 64 * MIB) as machine:
        driver = GuestDriver(machine, vgpu_required=True)
        driver.probe()
        yield Beside(server, driver)
        driver.unload()


@contextmanager
def guest_in(phase: str, path: Path) -> Iterator[None]:
    """A guest that has come to ``phase``; it is killed."""
    with subprocess.Popen([sys.executable, dying_guest.__file__, str(path), phase], stdout=subprocess.PIPE, text=True) as guest:
        try:
            assert guest.stdout is not None
            assert guest.stdout.readline() == "there\n"
            yield
        finally:
            guest.kill()


@pytest.mark.parametrize("phase", PHASES)
def test_all_that_was_held_for_a_killed_guest_comes_back(beside: Beside, phase: str) -> None:
    server = beside.server
    beside.draw()
    before = server.at_rest(DYING)
    assert before.of_guest == HELD_BY_NOBODY
    with guest_in(phase, server.sockets[DYING]):
        there = server.held(DYING)
        assert there.mappings == before.mappings + 1 and there.descriptors > before.descriptors
        assert (there.of_guest["pinned_pages"] > 0) is (phase not in WITHOUT_TRANSLATIONS)
        if phase == "spinning":
            assert there.of_guest["workloads"] > 0 and there.of_guest["shadow_tables"] > 0
    beside.draw()
    assert server.at_rest(DYING, before) == before
    state = server.state()
    assert state["gpu"]["isolation_violations"] == 0
    neighbour = state["vgpus"][NEIGHBOUR]
    assert [finding for finding in neighbour["findings"] if finding["kind"] != "note"] == []
    assert neighbour["resets_by_kind"].get("engine", 0) == 0


@pytest.mark.parametrize("phase", sorted(PHASES.keys() - OF_A_GUEST))
def test_all_that_the_hosts_own_killed_machine_had_comes_back_and_the_next_one_works(beside: Beside, phase: str) -> None:
    server = beside.server
    assert server.own is not None
    beside.draw()
    before = server.at_rest(DYING)
    with guest_in(phase, server.own):
        assert server.held(DYING).mappings == before.mappings + 1
    beside.draw()
    assert server.at_rest(DYING, before) == before
    with connect(server.own, 64 * MIB) as machine:
        driver = GuestDriver(machine, vgpu_required=True)
        driver.probe()
        Beside(server, driver).draw()
        driver.unload()
    state = server.state()
    assert state["gpu"]["isolation_violations"] == 0
    for client in (state["host"], state["vgpus"][NEIGHBOUR]):
        assert [finding for finding in client["findings"] if finding["kind"] != "note"] == []
    assert state["vgpus"][NEIGHBOUR]["resets_by_kind"].get("engine", 0) == 0


@pytest.mark.parametrize("phase", ["worked", "at-the-aperture", "spinning", "lit"])
def test_the_last_one_leaves_nothing_though_nobody_follows(tmp_path: Path, phase: str) -> None:
    """A GPU that has no more work remembers nothing of the guest that it has done some for."""
    with watched_server(tmp_path, "GVTg_V5_8") as server:
        before = server.at_rest(DYING)
        with guest_in(phase, server.sockets[DYING]):
            assert server.held(DYING) != before
        assert server.at_rest(DYING, before) == before


def test_who_comes_to_its_place_finds_a_device_that_works(beside: Beside) -> None:
    server = beside.server
    for phase in ("spinning", "asleep"):
        with guest_in(phase, server.sockets[DYING]):
            pass
        with connect(server.sockets[DYING], 64 * MIB) as machine:
            driver = GuestDriver(machine, vgpu_required=True)
            driver.probe()
            Beside(server, driver).draw()
            driver.unload()
