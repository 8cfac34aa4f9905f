"""The host's side of ``host-model boot``."""

from __future__ import annotations

from collections.abc import Sequence

from pvinfo.errors import UsageError
from pvinfo.units import MIB

from ..boot.host_side import HostRequest
from ..host import DEFAULT_APERTURE
from ..view.shows import Wanted
from .gpu import ServedGpu
from .own import OwnPlace
from .vgpus import ServedHost, ServedType

__all__ = ("host_for_boot",)


def _types(types: Sequence[str], guests: int) -> Sequence[str | None]:
    """The type of each guest's vGPU. Raises: UsageError."""
    if len(types) > 1 and len(types) != guests:
        raise UsageError(f"{len(types)} types for {guests} guests: give one for all of them, or one for each")
    return types if len(types) == guests else [types[0] if types else None] * guests


def host_for_boot(request: HostRequest) -> ServedHost | ServedGpu:
    """The host of a boot: a vGPU for each guest's socket, of which the first may be the host's own, or the physical GPU for the one
    machine there is."""
    aperture_size = DEFAULT_APERTURE if request.aperture_mib is None else request.aperture_mib * MIB
    wanted = Wanted(view=request.view, pictures=request.pictures)
    if not request.physical:
        own = None if request.own_weight is None else OwnPlace(request.sockets[0], request.own_weight, "guest 0, the host")
        first = 0 if own is None else 1
        paths = request.sockets[first:]
        types = _types(request.vgpu_types, len(paths))
        served = [ServedType(vgpu_type, path, f"guest {number}") for number, (vgpu_type, path) in enumerate(zip(types, paths, strict=True), first)]
        return ServedHost(
            request.platform, served, aperture_size=aperture_size, trace=request.trace, wanted=wanted, monitor=request.monitor,
            schedule=request.schedule, own=own,
        )  # fmt: skip
    if len(request.sockets) != 1:
        raise UsageError(f"{len(request.sockets)} machines want the physical GPU: it is the own of one")
    path = request.sockets[0]
    return ServedGpu(
        request.platform, path, aperture_size=aperture_size, trace=request.trace, wanted=wanted, title="guest 0", monitor=request.monitor
    )
