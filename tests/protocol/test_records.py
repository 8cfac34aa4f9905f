"""The vfio-user records as they lie on the wire."""

from __future__ import annotations

import json
import random
import struct
from typing import Any

import pytest

from pvinfo.errors import WireError
from pvinfo.vfio_user import (
    CAPABILITY_HEADER,
    COMMAND_DOC,
    DEVICE_FEATURE,
    DEVICE_INFO,
    DMA_ACCESS,
    DMA_MAP,
    DMA_UNMAP,
    HEADER,
    IO_EVENT_FD,
    IRQ_INFO,
    IRQ_SET,
    MAX_MESSAGE_SIZE,
    MIGRATION_DATA,
    REGION_ACCESS,
    REGION_INFO,
    REGION_IO_FDS,
    SPARSE_AREA,
    SPARSE_MMAP,
    TYPED_REGION,
    VERSION,
    WRITE_MULTI,
    WRITE_MULTI_ENTRY,
    Capabilities,
    Command,
    Header,
    HeaderFlags,
    IrqAction,
    IrqSetFlags,
    MessageType,
    capability_text,
    read_capabilities,
)
from pvinfo.wire import Codec
from support.vfio_wire import QEMU_CAPABILITIES

LAYOUTS: list[tuple[Codec[Any], str]] = [
    (HEADER, "HHIII"),
    (VERSION, "HH"),
    (DMA_MAP, "IIQQQ"),
    (DMA_UNMAP, "IIQQ"),
    (DMA_ACCESS, "QQ"),
    (DEVICE_INFO, "IIII"),
    (REGION_INFO, "IIIIQQ"),
    (CAPABILITY_HEADER, "HHI"),
    (SPARSE_MMAP, "I4s"),
    (SPARSE_AREA, "QQ"),
    (TYPED_REGION, "II"),
    (REGION_IO_FDS, "IIII"),
    (IO_EVENT_FD, "QQIII4sQ"),
    (IRQ_INFO, "IIII"),
    (IRQ_SET, "IIIII"),
    (REGION_ACCESS, "QII"),
    (WRITE_MULTI, "Q"),
    (WRITE_MULTI_ENTRY, "QII8s"),
    (DEVICE_FEATURE, "II"),
    (MIGRATION_DATA, "II"),
]


@pytest.mark.parametrize(("codec", "layout"), LAYOUTS, ids=lambda value: getattr(value, "name", ""))
def test_a_record_lies_on_the_wire_as_the_protocol_says(codec: Codec[Any], layout: str) -> None:
    expected = struct.Struct("<" + layout)
    assert codec.size == expected.size
    data = bytearray(random.Random(codec.name).randbytes(codec.size))
    if codec is IO_EVENT_FD:
        data[20:24] = bytes(4)
    assert tuple(codec.unpack_from(data)) == expected.unpack(data)
    assert codec.parse(data) == codec.unpack_from(data)
    assert codec.pack(codec.unpack_from(data)) == bytes(data)


def test_a_message_has_room_for_a_mebibyte_of_data_behind_header_and_record() -> None:
    assert MAX_MESSAGE_SIZE == HEADER.size + REGION_ACCESS.size + 1024 * 1024 == 1048608


def test_every_command_is_described_and_number_14_is_free() -> None:
    assert set(COMMAND_DOC) == set(Command)
    assert sorted(Command) == [*range(1, 14), 15, 16, 17, 18]


def test_header_flags_name_type_no_reply_and_error() -> None:
    assert HeaderFlags.of(MessageType.REPLY, error=True) == 0x21
    assert HeaderFlags(0x10).no_reply and HeaderFlags(0x10).type is MessageType.COMMAND
    assert HeaderFlags(0x2).type == 2
    assert HEADER.pack(Header(0xBAD1, Command.REGION_READ, 32, HeaderFlags(0), 0)) == bytes.fromhex("d1ba 0900 20000000 00000000 00000000")


def test_interrupt_flags_have_the_numbers_of_the_kernels_vfio() -> None:
    assert IrqSetFlags.of(data_eventfd=True, action=IrqAction.TRIGGER) == 0x24
    assert IrqSetFlags.of(data_none=True, action=IrqAction.MASK) == 0x09
    assert IrqSetFlags.of(data_none=True, action=IrqAction.UNMASK) == 0x11
    assert IrqSetFlags(0x30).action == 6


def test_the_capabilities_that_qemu_opens_with_are_read_and_unknown_ones_passed_over() -> None:
    assert read_capabilities(QEMU_CAPABILITIES) == Capabilities(16, 1048576, 65535, 4096, True)


@pytest.mark.parametrize("text", [b"", b"{}\0", b'{"capabilities":{}}\0', b'{"other":1}\0', b'{"capabilities":{"twin_socket":{"supported":true}}}\0'])
def test_capabilities_may_all_be_missing(text: bytes) -> None:
    assert read_capabilities(text) == Capabilities(None, None, None, None, None)


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        (b"{}", "ends with a NUL byte"),
        (b"\0", "not a JSON text"),
        (b"{\0", "not a JSON text"),
        (b"\xff\xfe{}\0", "not a JSON text"),
        (b"[" * 100_000 + b"\0", "not a JSON text"),
        (b"[]\0", "not an object"),
        (b'"capabilities"\0', "not an object"),
        (b'{"capabilities":[]}\0', "not an object"),
        (b'{"capabilities":null}\0', "not an object"),
        (b'{"capabilities":{"max_msg_fds":-1}}\0', "-1 is no number from 0 to 1024"),
        (b'{"capabilities":{"max_msg_fds":1025}}\0', "1025 is no number"),
        (b'{"capabilities":{"max_msg_fds":true}}\0', "True is no number"),
        (b'{"capabilities":{"max_msg_fds":1.5}}\0', "1.5 is no number"),
        (b'{"capabilities":{"max_msg_fds":"1"}}\0', "1 is no number"),
        (b'{"capabilities":{"max_data_xfer_size":0}}\0', "0 is no number from 1 to 67108864"),
        (b'{"capabilities":{"max_data_xfer_size":67108865}}\0', "67108865 is no number"),
        (b'{"capabilities":{"pgsizes":2048}}\0', "2048 is no number from 4096"),
        (b'{"capabilities":{"write_multiple":1}}\0', "1 is neither true nor false"),
        (b'{"capabilities":{"max_dma_maps":' + b"9" * 5000 + b"}}\0", "not a JSON text"),
    ],
)
def test_capabilities_that_mean_nothing_are_refused_with_the_rule(text: bytes, rule: str) -> None:
    with pytest.raises(WireError, match=rule):
        read_capabilities(text)


def test_capabilities_are_written_without_those_not_given() -> None:
    text = capability_text(Capabilities(max_msg_fds=16, write_multiple=True))
    assert text[-1] == 0
    assert json.loads(text[:-1]) == {"capabilities": {"max_msg_fds": 16, "write_multiple": True}}
    assert read_capabilities(text) == Capabilities(max_msg_fds=16, write_multiple=True)
