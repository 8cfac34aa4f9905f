"""Commands that write memory."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from pvinfo.commands.mi.memory import (
    MI_ATOMIC,
    MI_COPY_MEM_MEM,
    MI_STORE_DATA_IMM,
    MI_STORE_DATA_INDEX,
    MI_UPDATE_GTT,
    AtomicOpcode,
    AtomicSize,
    GttEntryData,
    MiAtomic,
    MiAtomicInline,
    MiCopyMemMem,
    MiStoreDwordImm,
    MiStoreDwordIndex,
    MiStoreQwordImm,
    MiStoreQwordIndex,
    MiUpdateGtt,
    StoreAddress,
    StoreDataImmHeader,
)
from pvinfo.errors import UsageError
from pvinfo.units import PAGE_SIZE

from .buffer import CommandBuffer, place

__all__ = ("MemoryCommands",)

_QWORD_OPERATIONS: Final = 0x20
_OCTWORD_OPERATIONS: Final = 0x40


def _index(offset: int, size: int) -> int:
    if offset not in range(0, PAGE_SIZE, size):
        raise UsageError(f"byte {offset:#x} of a status page: there are {PAGE_SIZE}, in steps of {size}")
    return offset


class MemoryCommands(CommandBuffer):
    """Stores, copies, atomics, entries of the global table."""

    def store_dword(self, address: int, value: int, *, use_global_gtt: bool = False) -> None:
        """MI_STORE_DATA_IMM: store the dword ``value`` at ``address``."""
        header = MI_STORE_DATA_IMM.header(4, use_global_gtt=use_global_gtt)
        self.add(MI_STORE_DATA_IMM.build(MiStoreDwordImm(header, StoreAddress(place(address, 4)), value)))

    def store_qword(self, address: int, value: int, *, use_global_gtt: bool = False) -> None:
        """MI_STORE_DATA_IMM: store the quadword ``value`` at ``address``."""
        header = StoreDataImmHeader(MI_STORE_DATA_IMM.header(5, use_global_gtt=use_global_gtt, store_qword=1))
        self.add(MI_STORE_DATA_IMM.build(MiStoreQwordImm(header, StoreAddress(place(address, 8)), value)))

    def store_dword_index(self, offset: int, value: int, *, per_process: bool = True) -> None:
        """MI_STORE_DATA_INDEX: store the dword ``value`` at byte ``offset`` of the context's status page, or of the engine's."""
        header = MI_STORE_DATA_INDEX.header(3, per_process=per_process)
        self.add(MI_STORE_DATA_INDEX.build(MiStoreDwordIndex(header, _index(offset, 4), value)))

    def store_qword_index(self, offset: int, value: int, *, per_process: bool = True) -> None:
        """MI_STORE_DATA_INDEX: store the quadword ``value`` at byte ``offset`` of the context's status page, or of the engine's."""
        header = MI_STORE_DATA_INDEX.header(4, per_process=per_process)
        self.add(MI_STORE_DATA_INDEX.build(MiStoreQwordIndex(header, _index(offset, 8), value)))

    def copy_dword(self, destination: int, source: int, *, destination_global_gtt: bool = False, source_global_gtt: bool = False) -> None:
        """MI_COPY_MEM_MEM: copy the dword at ``source`` to ``destination``."""
        header = MI_COPY_MEM_MEM.header(destination_global_gtt=destination_global_gtt, source_global_gtt=source_global_gtt)
        self.add(MI_COPY_MEM_MEM.build(MiCopyMemMem(header, place(destination, 4), place(source, 4))))

    def atomic(
        self, operation: AtomicOpcode, address: int, a: int | None = None, b: int = 0,
        *, return_data: bool = False, cs_stall: bool = False, use_global_gtt: bool = False,
    ) -> None:  # fmt: skip
        """MI_ATOMIC: read, change and write what is at ``address``, with nothing in between.

        ``a`` and ``b`` are the operands; without ``a`` they are in the general purpose registers. ``return_data``: what was
        in memory goes to those registers. ``cs_stall``: wait until it is done.
        """
        size = AtomicSize.DWORD
        if operation >= _OCTWORD_OPERATIONS:
            size = AtomicSize.OCTWORD
        elif operation >= _QWORD_OPERATIONS:
            size = AtomicSize.QWORD
        if size is AtomicSize.DWORD and max(a or 0, b) > 0xFFFF_FFFF:
            raise UsageError(f"operands {a or 0:#x} and {b:#x} of {operation.name}, which works on a dword")
        dwords = 3 if a is None else 11
        header = MI_ATOMIC.header(
            dwords, operation=operation, size=size, inline_data=a is not None,
            return_data=return_data, cs_stall=cs_stall, use_global_gtt=use_global_gtt,
        )  # fmt: skip
        where = place(address, 4 << size if size is not AtomicSize.OCTWORD else 16)
        record = MiAtomic(header, where) if a is None else MiAtomicInline.of(header, where, a, b)
        self.add(MI_ATOMIC.build(record))

    def update_gtt(self, address: int, entries: Iterable[int]) -> None:
        """MI_UPDATE_GTT: write ``entries`` of the global table, from that of graphics ``address`` on. Needs privilege."""
        self.add(MI_UPDATE_GTT.build(MiUpdateGtt(address=place(address, 4096)), [GttEntryData(entry) for entry in entries]))
