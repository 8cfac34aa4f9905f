"""vGPUs that are moved, machine and all, in one process or from one to another."""

from __future__ import annotations

from typing import NamedTuple

from host_model.clock import VirtualClock
from host_model.host import Host, PluggedVgpu
from pvinfo.bus import GuestMemory
from pvinfo.units import GuestAddress

__all__ = ("HostCounts", "counts_of", "keep_time_with", "move", "ram_of")


class HostCounts(NamedTuple):
    """What of a host is in use."""

    vgpus: tuple[int, ...]
    free: tuple[int, ...]
    pages: int
    """Pages of the host's own memory."""
    machines: tuple[int, ...]
    fences: tuple[int, ...]
    table: bytes


def counts_of(host: Host) -> HostCounts:
    """What of ``host`` is in use now."""
    return HostCounts(
        tuple(host.vgpus), tuple(host.pool.free), host.memory.own_pages, tuple(host.guard.machines), tuple(host.gpu.fences),
        bytes(host.gpu.ggtt.entries),
    )  # fmt: skip


def ram_of(memory: GuestMemory, size: int) -> bytes:
    """All of a machine's memory."""
    return bytes(memory.read(GuestAddress(0), size))


def keep_time_with(host: Host, other: Host) -> None:
    """Let it be as late at ``host`` as at ``other``: time stamps are a host's own."""
    assert isinstance(host.clock, VirtualClock)
    host.clock.wait_ns(other.clock.now_ns() - host.clock.now_ns())


def move(plugged: PluggedVgpu, source: Host, target: Host, ram_size: int) -> PluggedVgpu:
    """Save, destroy, restore. What is restored, and saved again, gives the same bytes; it stands still."""
    saved = source.save(plugged.vgpu)
    ram = ram_of(plugged.machine.memory, ram_size)
    source.destroy_vgpu(plugged.vgpu)
    if target is not source:
        keep_time_with(target, source)
    moved = target.plug_saved(saved, ram)
    assert target.save(moved.vgpu) == saved
    return moved
