"""Commands as tests of engines write them into rings and batches."""

from __future__ import annotations

from .gpu_rig import GpuRig

__all__ = (
    "ARB_CHECK", "ATOMIC_INCREMENT", "BATCH_END", "BATCH_START", "FLUSH_NOTIFY", "LRI", "PRIVILEGED", "RUN_LIST", "SDI",
    "SDI_GLOBAL", "SECOND_LEVEL", "SEMAPHORE_EQUAL", "SIGNAL", "SIGNAL_WAIT", "SRM_GLOBAL", "USER_INTERRUPT", "mark",
    "stored",
)  # fmt: skip

SDI = 0x10000002
SDI_GLOBAL = 0x10400002
SRM_GLOBAL = 0x12400002
LRI = 0x11000001
ATOMIC_INCREMENT = 0x17C00501
BATCH_START, PRIVILEGED, SECOND_LEVEL = 0x18800101, 0x18800001, 1 << 22
BATCH_END = 0x05000000
SEMAPHORE_EQUAL = 0x0E40C002
SIGNAL_WAIT = 0x0E404002
SIGNAL = 0x0D800000
ARB_CHECK = 0x02800000
USER_INTERRUPT = 0x01000000
FLUSH_NOTIFY = 0x13000102
RUN_LIST = 1 << 15


def mark(rig: GpuRig, place: int, value: int) -> tuple[int, int, int, int]:
    return SDI_GLOBAL, rig.status_page + place, 0, value


def stored(rig: GpuRig, place: int) -> int:
    return rig.ggtt.read32(rig.status_page + place)
