"""The device of the host's own driver behind a socket, beside the vGPUs'."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, final

from ..host import Host
from ..mediator.host_path.device import HOST_WEIGHT
from ..mediator.host_path.memory import SharedHostRam
from ..monitor_choice import PHYSICAL_RESOLUTION, MonitorChoice
from ..vfio.user.serve import VfioUserServer

__all__ = ("OwnPlace", "ServedOwn")


class OwnPlace(NamedTuple):
    """Where the host's own driver finds its device, and what it has of the GPU's time there."""

    path: Path
    weight: int = HOST_WEIGHT
    title: str = "the host"
    """What it is called where its screen is shown."""


@final
class ServedOwn:
    """The device on its socket. The physical display is its: a monitor is there where one is chosen.

    Raises: as :meth:`~host_model.host.Host.create_own_device`; UsageError for a monitor that cannot be; SetupError for a socket.
    """

    def __init__(self, host: Host, place: OwnPlace, server: VfioUserServer, monitor: MonitorChoice) -> None:
        self.place = place
        plugged_in = None if monitor.open else monitor.monitor(host.platform, PHYSICAL_RESOLUTION)
        with ExitStack() as undo:
            ram = SharedHostRam(host.memory)
            undo.callback(ram.close)
            self.device = host.create_own_device(ram, weight=place.weight)
            undo.callback(self.device.close)
            if plugged_in is not None:
                host.gpu.display.plug(plugged_in)
            ram.on_leaving = self.device.machine_gone
            self.served = server.listen(place.path, self.device, ram, self.device.findings)
            undo.pop_all()
