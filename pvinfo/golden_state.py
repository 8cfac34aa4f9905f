"""The golden hardware state: a file of what a physical GPU's configuration space and registers hold at rest.

The kernel's mediator offers it (``gvt_firmware`` in the device's sysfs directory) and takes one from the
firmware directory in place of its own snapshot. Every vGPU begins as a copy of it, so a file taken from a
machine with the hardware lets a model begin exactly there.

The file is a header, then the configuration space, then the registers, at offsets that the header gives.
"""

from __future__ import annotations

import zlib
from typing import Annotated, Final, NamedTuple, Self

from .errors import WireError
from .page import VGT_MAGIC
from .pci import CONFIG_HEADER, CONFIG_SIZE, ConfigHeader
from .registers.tracked import MMIO_SIZE
from .wire import Codec, u32, u64

__all__ = ("FIRMWARE_HEADER", "FIRMWARE_VERSION", "FirmwareHeader", "GoldenState", "firmware_file_name")

SOURCE: Final = "linux:drivers/gpu/drm/i915/gvt/firmware.c"

FIRMWARE_VERSION: Final = 0


class FirmwareHeader(NamedTuple):
    """The kernel's ``struct gvt_firmware_header``."""

    magic: Annotated[int, u64("0x4776544776544776, the same as in the PVINFO page")]
    crc32: Annotated[int, u32("CRC-32 of everything after this field, begun with 0 and not inverted")]
    version: Annotated[int, u32("0")]
    cfg_space_size: Annotated[int, u64("length of the configuration space: 4096", unit="bytes")]
    cfg_space_offset: Annotated[int, u64("where in the file it begins", unit="bytes")]
    mmio_size: Annotated[int, u64("length of the registers: 2 MiB", unit="bytes")]
    mmio_offset: Annotated[int, u64("where in the file they begin", unit="bytes")]


FIRMWARE_HEADER: Final = Codec(FirmwareHeader, doc="head of a golden hardware state file", source=SOURCE, size=48)

_RECORD: Final = FIRMWARE_HEADER.name
_CRC_START: Final = FIRMWARE_HEADER.offset_of("version")


def firmware_file_name(vendor_id: int, device_id: int, revision: int) -> str:
    """The name under which the kernel looks for the file, below ``i915/gvt`` of the firmware directory."""
    return f"vid_0x{vendor_id:04x}_did_0x{device_id:04x}_rid_0x{revision:02x}.golden_hw_state"


def _crc32(data: bytes | memoryview) -> int:
    """The kernel's ``crc32_le(0, data)``. zlib inverts before and after, which is undone here."""
    return zlib.crc32(data, 0xFFFFFFFF) ^ 0xFFFFFFFF


def _wrong(field: str, rule: str) -> WireError:
    return WireError(_RECORD, field, FIRMWARE_HEADER.offset_of(field), rule)


class GoldenState(NamedTuple):
    """What a physical GPU holds at rest."""

    config: bytes
    """Configuration space, 4096 bytes."""
    mmio: bytes
    """Registers, 2 MiB; what the kernel does not track is 0."""

    @property
    def pci_header(self) -> ConfigHeader:
        """The standard header of the configuration space."""
        return CONFIG_HEADER.unpack_from(self.config)

    @property
    def file_name(self) -> str:
        """The name under which the kernel looks for this state."""
        header = self.pci_header
        return firmware_file_name(header.vendor_id, header.device_id, header.class_code.revision)

    def to_bytes(self) -> bytes:
        """The file, as the kernel offers it. Raises: WireError when a part has not the length it must have."""
        for field, part, size in (("cfg_space_size", self.config, CONFIG_SIZE), ("mmio_size", self.mmio, MMIO_SIZE)):
            if len(part) != size:
                raise _wrong(field, f"{len(part)} bytes given, the kernel takes exactly {size}")
        header = FirmwareHeader(
            VGT_MAGIC, 0, FIRMWARE_VERSION,
            CONFIG_SIZE, FIRMWARE_HEADER.size,
            MMIO_SIZE, FIRMWARE_HEADER.size + CONFIG_SIZE,
        )  # fmt: skip
        body = FIRMWARE_HEADER.pack(header)[_CRC_START:] + self.config + self.mmio
        return FIRMWARE_HEADER.pack(header._replace(crc32=_crc32(body)))[:_CRC_START] + body

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a file, holding it to every rule of the kernel and to its own length.

        Raises: WireError naming the field and the rule.
        """
        header = FIRMWARE_HEADER.unpack_from(data)
        if header.magic != VGT_MAGIC:
            raise _wrong("magic", f"{header.magic:#x} is not {VGT_MAGIC:#x}: this is no golden hardware state")
        if header.version != FIRMWARE_VERSION:
            raise _wrong("version", f"version {header.version}, the kernel takes only {FIRMWARE_VERSION}")
        crc = _crc32(memoryview(data)[_CRC_START:])
        if header.crc32 != crc:
            raise _wrong("crc32", f"{header.crc32:#010x} stands in the file, its content gives {crc:#010x}")
        config = _part(data, "cfg_space", header.cfg_space_size, header.cfg_space_offset, CONFIG_SIZE)
        mmio = _part(data, "mmio", header.mmio_size, header.mmio_offset, MMIO_SIZE)
        if max(header.cfg_space_offset, header.mmio_offset) < min(
            header.cfg_space_offset + CONFIG_SIZE, header.mmio_offset + MMIO_SIZE
        ):
            raise _wrong("mmio_offset", f"registers at {header.mmio_offset:#x} lie over the configuration space at {header.cfg_space_offset:#x}")
        return cls(config, mmio)

    def require_device(self, vendor_id: int, device_id: int, revision: int) -> None:
        """Hold the state to be that of one GPU model, as the kernel does before it uses a file.

        Raises: WireError naming the field that differs.
        """
        header = self.pci_header
        found = {"vendor_id": header.vendor_id, "device_id": header.device_id, "class_code": int(header.class_code.revision)}
        for (field, value), wanted in zip(found.items(), (vendor_id, device_id, revision), strict=True):
            if value != wanted:
                rule = f"the state was taken from a GPU with {value:#x} here, this one has {wanted:#x}"
                raise WireError(CONFIG_HEADER.name, field, CONFIG_HEADER.offset_of(field), rule)


def _part(data: bytes, name: str, size: int, offset: int, wanted: int) -> bytes:
    """The part of ``data`` that the header puts at ``offset``. Raises: WireError."""
    if size != wanted:
        raise _wrong(f"{name}_size", f"{size} bytes, the kernel takes exactly {wanted}")
    if offset < FIRMWARE_HEADER.size:
        raise _wrong(f"{name}_offset", f"{offset:#x} lies inside the header of {FIRMWARE_HEADER.size} bytes")
    if offset + size > len(data):
        raise _wrong(f"{name}_offset", f"{offset:#x} and {size} bytes go beyond the end of the file at {len(data):#x}")
    return data[offset : offset + size]
