"""A guest, as a process of its own, that comes as far in its life as it is told, says so, and stays there until it is killed.

Run as a program: ``dying_guest.py SOCKET PHASE``.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from guest_driver import GuestDriver
from guest_driver.batch import Batch
from guest_driver.scenarios.work.acts import SPINS, make_spinner
from guest_driver.transport.vfio_user import VfioUserMachine, connect
from pvinfo.gtt_entry import GGTT_OFFSET
from pvinfo.page import PVINFO_BASE
from pvinfo.pci import COMMAND, CapabilityId, Command, PowerState
from pvinfo.platform import Engine
from pvinfo.units import MIB

__all__ = ("PHASES",)

_RAM: Final = 64 * MIB
_FIRST_OWN: Final = 128 * MIB
"""Graphics memory of the first vGPU of a host begins here."""
_PIPE_A_MASK: Final = 0x44404
"""Of display interrupts: 0 lets one pass. Source: linux:drivers/gpu/drm/i915/i915_reg.h (GEN8_DE_PIPE_IMR)"""
_MS: Final = 1_000_000
_PATIENCE_NS: Final = 10_000 * _MS


def _probed(machine: VfioUserMachine) -> GuestDriver:
    driver = GuestDriver(machine, vgpu_required=True)
    driver.probe()
    return driver


def _connected(machine: VfioUserMachine) -> None:
    machine.gpu.config.read(0, 4)


def _reading_the_page(machine: VfioUserMachine) -> None:
    machine.gpu.config.write(COMMAND, 2, Command.of(memory=True, master=True))
    bar = machine.gpu.bar(0)
    assert bar is not None
    bar.read(PVINFO_BASE, 4)


def _ready(machine: VfioUserMachine) -> None:
    _probed(machine)


def _worked(machine: VfioUserMachine) -> None:
    """Each engine has done something, and nothing is on its way."""
    driver = _probed(machine)
    driver.fill(driver.create_surface(64, 16), 0x123456).wait(_PATIENCE_NS)
    for engine in Engine:
        driver.submit(engine, Batch()).wait(_PATIENCE_NS)


def _half_a_table_entry(machine: VfioUserMachine) -> None:
    """The driver is up; then one half of an entry more."""
    _probed(machine)
    bar = machine.gpu.bar(0)
    assert bar is not None
    bar.write(GGTT_OFFSET + (_FIRST_OWN >> 12) * 8, 4, 0x1001)
    bar.read(PVINFO_BASE, 4)


def _at_the_aperture(machine: VfioUserMachine) -> None:
    """It draws by hand, as a text console does."""
    _probed(machine)
    registers, aperture = machine.gpu.bar(0), machine.gpu.bar(2)
    assert registers is not None and aperture is not None
    registers.write(GGTT_OFFSET + (_FIRST_OWN >> 12) * 8, 8, 0x1001)
    aperture.write(_FIRST_OWN, 4, 0x1234)
    assert aperture.read(_FIRST_OWN, 4) == 0x1234


def _submission_half_written(machine: VfioUserMachine) -> None:
    _probed(machine)
    bar = machine.gpu.bar(0)
    assert bar is not None
    for dword in (0, 0, 0x1234_5001):
        bar.write(0x2230, 4, dword)
    bar.read(PVINFO_BASE, 4)


def _spinning(machine: VfioUserMachine) -> None:
    """A batch without end on one engine, work that waits behind it, and none of it will ever be taken back."""
    driver = _probed(machine)
    spinners = [make_spinner(driver.client) for _ in range(2)]
    for spinner in spinners:
        driver.submit(Engine.BCS0, spinner)
    driver.submit(Engine.RCS0, spinners[0])
    while not spinners[0].read_dword(SPINS):
        machine.clock.wait_ns(_MS)


def _lit(machine: VfioUserMachine) -> None:
    """It is told of the end of each frame."""
    _probed(machine).display.set_mode()
    bar = machine.gpu.bar(0)
    assert bar is not None
    bar.write(_PIPE_A_MASK, 4, 0xFFFF_FFFE)
    bar.read(_PIPE_A_MASK, 4)


def _asleep(machine: VfioUserMachine) -> None:
    driver = _probed(machine)
    driver.display.set_mode()
    power = driver.pci.capabilities[CapabilityId.POWER_MANAGEMENT] + 4
    machine.gpu.config.write(power, 2, PowerState.D3HOT)


def _unloaded(machine: VfioUserMachine) -> None:
    _probed(machine).unload()


PHASES: Final[dict[str, Callable[[VfioUserMachine], None]]] = {
    "connected": _connected,
    "reading-the-page": _reading_the_page,
    "ready": _ready,
    "worked": _worked,
    "at-the-aperture": _at_the_aperture,
    "half-a-table-entry": _half_a_table_entry,
    "submission-half-written": _submission_half_written,
    "spinning": _spinning,
    "lit": _lit,
    "asleep": _asleep,
    "unloaded": _unloaded,
}


def _main(path: str, phase: str) -> None:
    with connect(Path(path), _RAM) as machine:
        PHASES[phase](machine)
        print("there", flush=True)
        signal.pause()


if __name__ == "__main__":
    _main(*sys.argv[1:])
