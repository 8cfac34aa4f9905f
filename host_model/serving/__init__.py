"""Devices behind vfio-user sockets, on real time: what ``host-model serve`` and ``host-model boot`` run."""

from __future__ import annotations

from .boot import host_for_boot
from .gpu import ServedGpu
from .own import OwnPlace
from .vgpus import ServedHost, ServedType

__all__ = ("OwnPlace", "ServedGpu", "ServedHost", "ServedType", "host_for_boot")
