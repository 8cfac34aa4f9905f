"""A machine of this process with the physical GPU in its slot: no mediator, no sharing."""

from __future__ import annotations

from typing import NamedTuple

from pvinfo.platform import DEFAULT_PLATFORM, platform_named

from .clock import VirtualClock
from .gpu.device import PhysicalGpu
from .host import DEFAULT_APERTURE, DEFAULT_RAM
from .hypervisor.local import LocalMachine, Ram
from .memory import DirectMemory

__all__ = ("PluggedGpu", "bare_machine")


class PluggedGpu(NamedTuple):
    """A GPU and the machine whose own it is."""

    gpu: PhysicalGpu
    machine: LocalMachine


def bare_machine(
    platform: str = DEFAULT_PLATFORM, *, aperture_size: int = DEFAULT_APERTURE, ram_size: int = DEFAULT_RAM
) -> PluggedGpu:
    """A machine on virtual time whose GPU is the physical one. Raises: UsageError for an unknown platform."""
    ram = Ram(ram_size)
    clock = VirtualClock()
    gpu = PhysicalGpu(platform_named(platform), aperture_size, DirectMemory(ram), clock)
    return PluggedGpu(gpu, LocalMachine(gpu, ram, clock))
