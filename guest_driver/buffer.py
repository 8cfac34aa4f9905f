"""Buffer objects: memory of a client, with a place in its address space, perhaps tiled.

Source: linux:drivers/gpu/drm/i915/gem/i915_gem_object.c, linux:drivers/gpu/drm/i915/gem/i915_gem_mman.c
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, final

from pvinfo.bus import GuestMemory, Region
from pvinfo.errors import GvtError, StateError, UsageError
from pvinfo.gtt_entry import canonical
from pvinfo.units import PAGE_SIZE

from .address_space import Node
from .ggtt import Binding
from .memory import Buffer
from .ppgtt import Mapping
from .tiling import Tiling, tiled_offset

if TYPE_CHECKING:
    from .client import Client
    from .device import Device

__all__ = ("ApertureView", "BufferObject", "make_buffer", "surface_shape")


@final
class ApertureView:
    """A buffer as the processor sees it through the aperture: linear, whatever its tiling."""

    def __init__(self, region: Region, binding: Binding) -> None:
        self._region = region
        self.binding = binding

    def read(self, offset: int, size: int) -> bytes:
        """``size`` bytes at ``offset``, dword by dword where they are aligned."""
        base = self.binding.address + offset
        if (base | size) % 4 == 0:
            return b"".join(self._region.read32(base + at).to_bytes(4, "little") for at in range(0, size, 4))
        return bytes(self._region.read(base + at, 1) for at in range(size))

    def write(self, offset: int, data: bytes) -> None:
        """Store ``data`` at ``offset``, dword by dword where it is aligned."""
        base = self.binding.address + offset
        if (base | len(data)) % 4 == 0:
            for at in range(0, len(data), 4):
                self._region.write32(base + at, int.from_bytes(data[at : at + 4], "little"))
        else:
            for at, byte in enumerate(data):
                self._region.write(base + at, 1, byte)


@final
class BufferObject(Buffer):
    """Memory of a client. Made by :meth:`guest_driver.GuestDriver.create_buffer`.

    ``read`` and ``write`` go to its memory as it lies there; :meth:`read_row` and :meth:`write_row` know of its tiling,
    and through :meth:`map_aperture` the hardware does.
    """

    def __init__(self, ram: GuestMemory, node: Node, owner: str) -> None:
        super().__init__(ram, node, owner)
        self._device: Device | None = None
        self._find_client: Callable[[], Client] | None = None
        self._client: Client | None = None
        self._mapping: Mapping | None = None
        self._page_size = PAGE_SIZE
        self._place: int | None = None
        self._read_only = False
        self._views = 0
        self.tiling = Tiling.LINEAR
        self.pitch = 0
        """Bytes from one row to the next, for a surface."""
        self.bits_per_pixel = 0

    def belong_to(self, device: Device, find_client: Callable[[], Client], *, page_size: int, address: int | None, read_only: bool) -> None:
        """Whose it is, and what was wished for its place. For its maker."""
        self._device = device
        self._find_client = find_client
        self._page_size = page_size
        self._place = address
        self._read_only = read_only

    def _require_device(self) -> Device:
        if self._device is None:
            raise StateError(f"use of {self.owner}", "released", "not released")
        return self._device

    @property
    def client(self) -> Client:
        """Whose address space it has its place in, or will have. Raises: StateError after its release."""
        self._require_device()
        if self._client is not None:
            return self._client
        assert self._find_client is not None, "set with the device"
        return self._find_client()

    # ---- its place ----

    @property
    def mapping(self) -> Mapping:
        """Its place in its client's address space, which it gets when it is first asked for, and then keeps.

        Raises: StateError after its release; DriverError when there is no room, or memory for tables is used up; UsageError
        when it cannot be where it was wished.
        """
        self._require_device()
        if self._mapping is None:
            client = self.client
            client.adopt(self)
            try:
                self._mapping = client.vm.map(self, address=self._place, page_size=self._page_size, read_only=self._read_only)
            except GvtError:
                client.buffers.remove(self)
                raise
            self._client = client
        return self._mapping

    @property
    def gpu_address(self) -> int:
        """Virtual address of its first byte, as batches carry it. Raises: as :attr:`mapping`."""
        return canonical(self.mapping.address)

    def leave(self) -> Mapping | None:
        """The place it had, which it no longer has; None when it never asked for one. For its client."""
        mapping, self._mapping = self._mapping, None
        self._device = self._find_client = self._client = None
        return mapping

    # ---- rows ----

    def _row(self, y: int, x: int, length: int) -> Iterator[tuple[int, int, int]]:
        """Where the bytes ``x`` to ``x + length`` of row ``y`` lie, in pieces: offset in memory, offset in the row, length."""
        if not self.pitch:
            raise UsageError(f"{self.owner} has no rows: it was made without a pitch")
        step = length if self.tiling is Tiling.LINEAR else 16
        at = x
        while at < x + length:
            count = min(step - at % step, x + length - at) if self.tiling is not Tiling.LINEAR else length
            yield tiled_offset(self.tiling, self.pitch, at, y), at - x, count
            at += count

    def read_row(self, y: int, x: int, length: int) -> bytes:
        """Bytes ``x`` to ``x + length`` of row ``y``. Raises: UsageError without rows, DriverError outside."""
        return b"".join(self.read(offset, count) for offset, _, count in self._row(y, x, length))

    def write_row(self, y: int, x: int, data: bytes) -> None:
        """Store ``data`` from byte ``x`` of row ``y`` on. Raises: UsageError without rows, DriverError outside."""
        for offset, at, count in self._row(y, x, len(data)):
            self.write(offset, data[at : at + count])

    # ---- the aperture ----

    @contextmanager
    def map_aperture(self) -> Iterator[ApertureView]:
        """Show it through the aperture for the length of a ``with`` block, through a fence where it is tiled.

        Raises: StateError after its release; DriverError when there is no room in the aperture, or no fence.
        """
        device = self._require_device()
        binding = device.ggtt.bind(self, mappable=True)
        tiling = self.tiling.fence
        fence = None
        self._views += 1
        try:
            fence = device.fences.set_up(binding, tiling, self.pitch) if tiling is not None else None
            yield ApertureView(device.aperture, binding)
        finally:
            self._views -= 1
            if fence is not None:
                device.fences.release(fence)
            device.ggtt.unbind(binding)

    # ---- the end ----

    def release(self) -> None:
        """Give it back. Its memory goes when no request of its client can use it any more.

        Raises: StateError the second time, or while it is shown through the aperture.
        """
        if self._views:
            raise StateError(f"release of {self.owner}", "shown through the aperture", "shown no more")
        device, client = self._require_device(), self._client
        self._device = None
        if client is not None:
            client.release_buffer(self)
        else:
            device.memory.release(self)


def make_buffer(
    device: Device, find_client: Callable[[], Client], size: int, name: str,
    *, tiling: Tiling = Tiling.LINEAR, pitch: int = 0, bits_per_pixel: int = 0,
    page_size: int = PAGE_SIZE, address: int | None = None, read_only: bool = False,
) -> BufferObject:  # fmt: skip
    """Memory of at least ``size`` bytes, zeroed, that belongs to the client of ``find_client`` as soon as engines are to see it.

    Raises: UsageError for a size, page size or pitch that cannot be; DriverError when memory is used up.
    """
    sizes = device.gt.page_sizes
    if size <= 0 or page_size not in sizes:
        raise UsageError(f"{name}: {size} bytes in pages of {page_size}; pages have {', '.join(map(str, sizes))} bytes")
    if tiling is not Tiling.LINEAR and (pitch <= 0 or pitch % tiling.row_bytes):
        raise UsageError(f"{name}: a pitch of {pitch} bytes; with tiling {tiling.value} it is a multiple of {tiling.row_bytes}")
    whole = (size + page_size - 1) & -page_size
    buffer = device.memory.allocate_as(BufferObject, whole // PAGE_SIZE, name, alignment=page_size)
    buffer.belong_to(device, find_client, page_size=page_size, address=address, read_only=read_only)
    buffer.tiling, buffer.pitch, buffer.bits_per_pixel = tiling, pitch, bits_per_pixel
    return buffer


def surface_shape(width: int, height: int, bits_per_pixel: int, tiling: Tiling) -> tuple[int, int]:
    """Pitch and size of a surface of ``height`` rows of ``width`` pixels. Raises: UsageError for one that cannot be."""
    if width <= 0 or height <= 0 or bits_per_pixel not in (8, 16, 32):
        raise UsageError(f"a surface of {width} x {height} pixels of {bits_per_pixel} bits; pixels have 8, 16 or 32 bits")
    pitch = -(-width * bits_per_pixel // 8 // tiling.row_bytes) * tiling.row_bytes
    return pitch, pitch * (-(-height // tiling.rows) * tiling.rows)
