"""A process that keeps a vGPU behind a socket busy: ``python -m support.vgpu_client SOCKET COLOR``.

It says ``ready``, awaits a line, says ``drawn`` for each five pictures that are as they should be, and ends when its input ends.
"""

from __future__ import annotations

import select
import sys
from pathlib import Path
from typing import Final

from guest_driver import GuestDriver, Rectangle
from guest_driver.transport.vfio_user import connect
from pvinfo.units import MIB

WIDTH: Final = 512
HEIGHT: Final = 256
PATIENCE_NS: Final = 60_000_000_000


def main(path: Path, color: int) -> None:
    with connect(path, 32 * MIB, timeout_s=60, slower=20) as machine:
        driver = GuestDriver(machine, vgpu_required=True)
        driver.probe()
        sources = [driver.create_surface(WIDTH, HEIGHT) for _ in range(2)]
        target = driver.create_surface(WIDTH, HEIGHT)
        print("ready", flush=True)
        sys.stdin.readline()
        drawn = 0
        ended = False
        while not ended:
            for source in sources:
                driver.fill(source, color)
                driver.fill(source, ~color & 0xFFFFFFFF, Rectangle(0, drawn % HEIGHT, WIDTH, 1))
            driver.copy(target, sources[drawn % 2]).wait(PATIENCE_NS)
            for y in range(0, HEIGHT, 8):
                expected = ~color & 0xFFFFFFFF if y == drawn % HEIGHT else color
                assert target.read_row(y, 0, 4 * WIDTH) == expected.to_bytes(4, "little") * WIDTH, f"row {y} of picture {drawn}"
            drawn += 1
            if drawn % 5 == 0:
                print("drawn", flush=True)
            ended = bool(select.select([sys.stdin], [], [], 0)[0])
        driver.unload()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2], 16))
