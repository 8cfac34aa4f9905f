"""Commands that reach memory: an address in the global table must be the vGPU's.

An address of the process is the page tables' affair.

Source: linux:drivers/gpu/drm/i915/gvt/cmd_parser.c
"""

from __future__ import annotations

from typing import Final

from pvinfo.commands.mi.flush import FlushAddress, FlushDwHeader
from pvinfo.commands.mi.memory import AtomicHeader, StoreAddress, StoreDataImmHeader
from pvinfo.commands.mi.register import REGISTER_MASK
from pvinfo.commands.pipe_control import PipeControlFlags, PipeControlHeader
from pvinfo.units import PAGE_SHIFT

from .flow import wrong_length
from .register_loads import refuse_register
from .scan import Scan

__all__ = ("atomic", "flush_dw", "pipe_control", "store_data_imm")

_STORE_LENGTH: Final = StoreDataImmHeader.length.mask
_STORE_GLOBAL: Final = StoreDataImmHeader.use_global_gtt.mask
_STORE_QWORD: Final = StoreDataImmHeader.store_qword.mask
_STORE_KIND: Final = _STORE_LENGTH | _STORE_QWORD
_STORE_DWORD: Final = 2
"""Of these, what the store of a dword has."""
_CORE_MODE: Final = StoreAddress.core_mode.mask
_ATOMIC_LENGTH: Final = AtomicHeader.length.mask
_ATOMIC_GLOBAL: Final = AtomicHeader.use_global_gtt.mask
_ATOMIC_INLINE: Final = AtomicHeader.inline_data.mask
_ATOMIC_SIZE: Final = AtomicHeader.size
_FLUSH_LENGTH: Final = FlushDwHeader.length.mask
_FLUSH_POST_SYNC: Final = FlushDwHeader.post_sync.mask
_FLUSH_INDEX: Final = FlushDwHeader.store_index.mask
_FLUSH_NOTIFY: Final = FlushDwHeader.notify.mask
_FLUSH_GLOBAL: Final = FlushAddress.use_global_gtt.mask
_PIPE_POST_SYNC: Final = PipeControlFlags.post_sync.mask
_PIPE_REGISTER: Final = PipeControlFlags.mmio_write.mask
_PIPE_INDEX: Final = PipeControlFlags.store_index.mask
_PIPE_GLOBAL: Final = PipeControlFlags.use_global_gtt.mask
_PIPE_NOTIFY: Final = PipeControlFlags.notify.mask
_PIPE_LOOKED_AT: Final = _PIPE_GLOBAL | _PIPE_REGISTER | _PIPE_NOTIFY
_PIPE_LENGTH: Final = PipeControlHeader.length.mask
_PIPE_WHOLE: Final = 4
"""The length field of the one form that it has."""
_HIGH: Final = 0xFFFF


def store_data_imm(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """A dword or quadword; in core mode one for each of two cores, side by side."""
    if not header & _STORE_GLOBAL:
        return at + (header & _STORE_LENGTH) + 2
    low = dwords[at + 1]
    if header & _STORE_KIND == _STORE_DWORD and not low & _CORE_MODE and low >> PAGE_SHIFT in scan.pages and not dwords[at + 2]:
        return at + 4
    length = (header & _STORE_LENGTH) + 2
    wanted = 5 if header & _STORE_QWORD else 4
    if length != wanted:
        raise wrong_length(scan, dwords, at, length, str(wanted))
    size = 4 * (length - 3)
    scan.audit_address(dwords, at, at + 1, low & ~3 | (dwords[at + 2] & _HIGH) << 32, 2 * size if low & _CORE_MODE else size)
    return at + length


def atomic(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """Memory that is read and written with nothing in between."""
    length = (header & _ATOMIC_LENGTH) + 2
    if header & _ATOMIC_GLOBAL:
        wanted = 11 if header & _ATOMIC_INLINE else 3
        if length != wanted:
            raise wrong_length(scan, dwords, at, length, str(wanted))
        address = dwords[at + 1] & ~3 | (dwords[at + 2] & _HIGH) << 32
        scan.audit_address(dwords, at, at + 1, address, 4 << ((header & _ATOMIC_SIZE.mask) >> _ATOMIC_SIZE.low))
    return at + length


def flush_dw(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """The index of a place in the engine's status page becomes its address."""
    length = (header & _FLUSH_LENGTH) + 2
    if length != 4 and length != 5:
        raise wrong_length(scan, dwords, at, length, "4 or 5")
    low = dwords[at + 1]
    if low & _FLUSH_GLOBAL and header & _FLUSH_POST_SYNC:
        if header & _FLUSH_INDEX or low >> PAGE_SHIFT not in scan.pages or dwords[at + 2]:
            address = low & ~7 | (dwords[at + 2] & _HIGH) << 32
            if header & _FLUSH_INDEX:
                dwords[at + 1] = scan.in_status_page(dwords, at, at + 1, address) | _FLUSH_GLOBAL
                dwords[at + 2] = 0
                dwords[at] = header & ~_FLUSH_INDEX
            else:
                scan.audit_address(dwords, at, at + 1, address, 8)
    if header & _FLUSH_NOTIFY:
        scan.notification = True
    return at + length


def pipe_control(scan: Scan, dwords: memoryview, at: int, header: int) -> int:
    """The same for the render engine, which can also write a register."""
    flags = dwords[at + 1]
    if flags & _PIPE_LOOKED_AT:
        if flags & _PIPE_NOTIFY:
            scan.notification = True
        if flags & _PIPE_REGISTER:
            _pipe_control_register(scan, dwords, at, header)
        elif flags & _PIPE_GLOBAL and flags & _PIPE_POST_SYNC:
            if header & _PIPE_LENGTH != _PIPE_WHOLE or flags & _PIPE_INDEX or dwords[at + 2] >> PAGE_SHIFT not in scan.pages or dwords[at + 3]:
                _pipe_control_address(scan, dwords, at, header, flags)
    return at + (header & _PIPE_LENGTH) + 2


def _pipe_control_address(scan: Scan, dwords: memoryview, at: int, header: int, flags: int) -> None:
    if header & _PIPE_LENGTH != _PIPE_WHOLE:
        raise wrong_length(scan, dwords, at, (header & _PIPE_LENGTH) + 2, "6")
    address = dwords[at + 2] & ~7 | (dwords[at + 3] & _HIGH) << 32
    if flags & _PIPE_INDEX:
        dwords[at + 2] = scan.in_status_page(dwords, at, at + 2, address)
        dwords[at + 3] = 0
        dwords[at + 1] = flags & ~_PIPE_INDEX
    else:
        scan.audit_address(dwords, at, at + 2, address, 8)


def _pipe_control_register(scan: Scan, dwords: memoryview, at: int, header: int) -> None:
    if header & _PIPE_LENGTH != _PIPE_WHOLE:
        raise wrong_length(scan, dwords, at, (header & _PIPE_LENGTH) + 2, "6")
    rule = scan.loads.get(dwords[at + 2] & REGISTER_MASK, refuse_register)
    if rule is not None:
        rule(scan, dwords, at, at + 2, at + 4)
