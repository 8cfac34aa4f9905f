"""The host's side of ``host-model boot``."""

from __future__ import annotations

from pvinfo.errors import UsageError
from pvinfo.units import MIB

from ..boot.host_side import HostRequest
from ..host import DEFAULT_APERTURE
from ..view.shows import Wanted
from .gpu import ServedGpu
from .vgpus import ServedHost, ServedType

__all__ = ("host_for_boot",)


def host_for_boot(request: HostRequest) -> ServedHost | ServedGpu:
    """The host of a boot: a vGPU for each guest's socket, or the physical GPU for the one machine there is."""
    aperture_size = DEFAULT_APERTURE if request.aperture_mib is None else request.aperture_mib * MIB
    wanted = Wanted(view=request.view, pictures=request.pictures)
    if not request.physical:
        served = [ServedType(request.vgpu_type, path, f"guest {number}") for number, path in enumerate(request.sockets)]
        return ServedHost(
            request.platform, served, aperture_size=aperture_size, trace=request.trace, wanted=wanted, monitor=request.monitor,
            schedule=request.schedule,
        )  # fmt: skip
    if len(request.sockets) != 1:
        raise UsageError(f"{len(request.sockets)} machines want the physical GPU: it is the own of one")
    path = request.sockets[0]
    return ServedGpu(
        request.platform, path, aperture_size=aperture_size, trace=request.trace, wanted=wanted, title="guest 0", monitor=request.monitor
    )
