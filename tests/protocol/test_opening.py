"""VERSION: what is agreed, and what ends the connection."""

from __future__ import annotations

import errno
import json
import os

import pytest

from host_model.vfio.user.connection import Phase, ServerConnection
from pvinfo.errors import PeerError
from pvinfo.vfio_user import Capabilities, Command
from support.vfio_wire import (
    INVALID,
    NO_REPLY,
    QEMU_CAPABILITIES,
    Peer,
    message,
    open_fds,
    refusal,
    region_read,
    region_read_reply,
    reply,
    version,
)


def agreed(data: bytes) -> object:
    """The capabilities in a reply."""
    return json.loads(data[20:-1])["capabilities"]


def test_qemus_opening_is_answered_in_no_more_bytes_than_it_has() -> None:
    peer = Peer(opened=False)
    opening = version(QEMU_CAPABILITIES)
    assert len(opening) == 214
    answer = peer.ask(opening)
    assert len(answer) <= len(opening)
    assert answer[:4] == b"\0\0\1\0" and answer[8:20] == b"\x01\0\0\0" + bytes(4) + bytes(4)
    assert agreed(answer) == {
        "max_msg_fds": 16, "max_data_xfer_size": 1048576, "max_dma_maps": 65535, "pgsizes": 4096, "write_multiple": True,
    }  # fmt: skip
    assert peer.connection.client == Capabilities(16, 1048576, 65535, 4096, True)


def test_an_opening_without_text_gets_a_reply_without_text() -> None:
    assert Peer(opened=False).ask(version()) == reply(Command.VERSION, bytes(4))


@pytest.mark.parametrize(("proposed", "answered"), [(0, 0), (1, 0), (0xFFFF, 0)])
def test_the_minor_version_is_the_smaller_of_both(proposed: int, answered: int) -> None:
    assert Peer(opened=False).ask(version(minor=proposed)) == reply(Command.VERSION, bytes(2) + answered.to_bytes(2, "little"))


def test_only_what_the_client_proposed_is_agreed_upon() -> None:
    text = b'{"capabilities":{"write_multiple":true,"twin_socket":{"supported":true},"max_dma_maps":100,"colour":"red"}}\0'
    assert agreed(Peer(opened=False).ask(version(text))) == {"write_multiple": True, "max_dma_maps": 100}
    text = b'{"capabilities":{"write_multiple":false,"max_msg_fds":1,"pgsizes":2097152}}     \0'
    assert agreed(Peer(opened=False).ask(version(text))) == {"max_msg_fds": 16}


@pytest.mark.parametrize("padding", range(0, 40, 3))
def test_the_reply_is_never_longer_than_the_opening(padding: int) -> None:
    text = b'{"capabilities":{"write_multiple":true,"max_msg_fds":1' + b" " * padding + b"}}\0"
    opening = version(text)
    answer = Peer(opened=False).ask(opening)
    assert len(answer) <= len(opening)
    assert answer[20:] == b"" or answer[-1] == 0


def test_a_reply_that_has_no_room_for_any_text_has_none() -> None:
    assert Peer(opened=False).ask(version(b"{}\0")) == reply(Command.VERSION, bytes(4))


@pytest.mark.parametrize(
    ("opening", "rule"),
    [
        (version(major=1), "VERSION 1.0: this is 0.0"),
        (version(b"{}"), "ends with a NUL"),
        (version(b"{\0"), "not a JSON text"),
        (message(Command.VERSION), "0 bytes given, the record needs 4"),
        (message(Command.VERSION, b"\0\0\0"), "3 bytes given, the record needs 4"),
        (region_read(0, 0, 4), "VERSION is the first message"),
        (message(99), "no such command"),
        (version()[:8] + b"\x01" + version()[9:], "reply to command 1"),
    ],
)
def test_an_opening_that_fails_is_answered_and_ends_the_connection(opening: bytes, rule: str) -> None:
    peer = Peer(opened=False)
    command = int.from_bytes(opening[2:4], "little")
    assert peer.ask(opening + version()) == refusal(command, INVALID)
    assert rule in peer.errors[0].rule
    assert peer.connection.phase is Phase.ENDED
    assert peer.ask(version()) == b""


def test_an_opening_with_file_descriptors_is_refused_and_they_are_closed() -> None:
    peer = Peer(opened=False)
    event = os.eventfd(0)
    before = open_fds()
    assert peer.ask(version(), (event,)) == refusal(Command.VERSION, INVALID)
    assert open_fds() == before
    os.close(event)


def test_a_second_opening_is_refused_and_the_connection_stays() -> None:
    peer = Peer()
    assert peer.ask(version(number=9)) == refusal(Command.VERSION, INVALID, number=9)
    assert peer.ask(region_read(0, 0, 4)) == region_read_reply(0, 0, bytes(4))


def test_an_opening_that_forbids_an_answer_opens_all_the_same() -> None:
    peer = Peer(opened=False)
    silent = message(Command.VERSION, bytes(4), flags=NO_REPLY)
    assert peer.ask(silent) == b""
    assert peer.ask(region_read(0, 0, 4)) == region_read_reply(0, 0, bytes(4))


def test_a_client_that_is_not_admitted_is_told_why_and_the_connection_ends() -> None:
    connection = ServerConnection(lambda: errno.EBUSY)
    connection.receive(version(QEMU_CAPABILITIES, number=7))
    with pytest.raises(PeerError, match="the device has another client"):
        connection.next_request()
    assert connection.data_to_send() == refusal(Command.VERSION, errno.EBUSY, number=7)
    assert connection.phase is Phase.ENDED


def test_nobody_is_admitted_who_does_not_open_in_good_form() -> None:
    asked: list[int] = []

    def admit() -> int:
        asked.append(1)
        return 0

    for wrong in (version(major=1), version(b"{\0"), region_read(0, 0, 4)):
        connection = ServerConnection(admit)
        connection.receive(wrong)
        with pytest.raises(PeerError):
            connection.next_request()
    assert asked == []
