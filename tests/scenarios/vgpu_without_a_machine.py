"""An example: a vGPU without a virtual machine, as a container would use it.

Without arguments the host is in this process; with one, that is the socket of a ``host-model serve``.
"""

import sys
from pathlib import Path

from guest_driver import GuestDriver, Rectangle
from guest_driver.transport.vfio_user import connect
from host_model import Host
from host_model.vfio import use_vgpu
from pvinfo.bus import Machine
from pvinfo.units import MIB


def draw(machine: Machine) -> None:
    driver = GuestDriver(machine)
    driver.probe()
    picture = driver.create_surface(640, 480)
    driver.fill(picture, 0xFF336699)
    driver.fill(picture, 0xFFFFFFFF, Rectangle(0, 240, 2, 240)).wait(30_000_000_000)  # nanoseconds
    print(picture.read_row(239, 0, 12).hex(), picture.read_row(240, 0, 12).hex())
    driver.unload()


if len(sys.argv) > 1:
    with connect(Path(sys.argv[1]), 64 * MIB) as connected:
        draw(connected)
else:
    with use_vgpu(Host("skl"), 64 * MIB) as machine:  # a vGPU is made, opened and bound, memory mapped
        draw(machine)
