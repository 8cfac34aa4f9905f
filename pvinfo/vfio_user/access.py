"""Reads and writes of a vfio-user device's regions.

Source: vfio-user:VFIO_USER_REGION_READ
"""

from __future__ import annotations

from typing import Annotated, Final, NamedTuple

from ..wire import Codec, raw, u32, u64

__all__ = (
    "REGION_ACCESS",
    "RegionAccess",
    "WRITE_MULTI",
    "WRITE_MULTI_ENTRY",
    "WriteMulti",
    "WriteMultiEntry",
)


class RegionAccess(NamedTuple):
    """An access to a region. Data stands behind a read's reply and a write's request."""

    offset: Annotated[int, u64("where it begins in the region", unit="bytes")]
    region: Annotated[int, u32("which region")]
    length: Annotated[int, u32("length of the data", unit="bytes")]


class WriteMulti(NamedTuple):
    """Several writes: as many :class:`WriteMultiEntry` follow. The reply says how many were done."""

    wr_cnt: Annotated[int, u64("how many writes")]


class WriteMultiEntry(NamedTuple):
    """One small write."""

    offset: Annotated[int, u64("where it begins in the region", unit="bytes")]
    region: Annotated[int, u32("which region")]
    length: Annotated[int, u32("length of the data, 8 at most", unit="bytes")]
    data: Annotated[bytes, raw(8, "the data, unused bytes last")]


REGION_ACCESS: Final = Codec(
    RegionAccess, doc="body of REGION_READ, REGION_WRITE and their replies", source="vfio-user:VFIO_USER_REGION_READ", size=16
)
WRITE_MULTI: Final = Codec(
    WriteMulti, doc="start of the body of REGION_WRITE_MULTI, and its reply", source="vfio-user:VFIO_USER_REGION_WRITE_MULTI", size=8
)
WRITE_MULTI_ENTRY: Final = Codec(
    WriteMultiEntry, doc="one write of REGION_WRITE_MULTI", source="vfio-user:VFIO_USER_REGION_WRITE_MULTI", size=24
)
