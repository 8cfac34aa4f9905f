"""Messages out of a stream: cut anywhere, several at once, too short, too long, with file descriptors and without."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import pytest

from host_model.vfio.user.connection import READ_AHEAD, Phase, ServerConnection
from pvinfo.errors import PeerError
from pvinfo.vfio_user import MAX_MESSAGE_SIZE, REGION_ACCESS, Command, RegionAccess
from support.vfio_wire import (
    INVALID,
    NO_REPLY,
    REPLY,
    Irq,
    Peer,
    dma_map,
    memfd,
    message,
    open_fds,
    refusal,
    region_read,
    region_read_reply,
    region_write,
    region_write_reply,
    reply,
    set_irqs,
)

Ask = Callable[[Peer, bytes], bytes]

WAYS: dict[str, Ask] = {
    "whole": lambda peer, data: peer.ask(data),
    "bytewise": lambda peer, data: peer.ask_bytewise(data),
    "in halves": lambda peer, data: peer.ask(data[: len(data) // 2]) + peer.ask(data[len(data) // 2 :]),
}


@pytest.fixture(params=list(WAYS.values()), ids=list(WAYS))
def ask(request: pytest.FixtureRequest) -> Ask:
    way: Ask = request.param
    return way


def test_pipelined_requests_are_answered_in_order_however_the_stream_is_cut(ask: Ask) -> None:
    peer = Peer()
    stream = (
        region_write(0, 0x10, b"\x01\x02\x03\x04", number=7)
        + region_write(0, 0x14, b"\x05\x06\x07\x08", number=8, flags=NO_REPLY)
        + region_read(0, 0x10, 8, number=7)
        + message(Command.DEVICE_RESET, number=65535)
        + region_read(0, 0x10, 4, number=0)
    )
    assert ask(peer, stream) == (
        region_write_reply(0, 0x10, 4, number=7)
        + region_read_reply(0, 0x10, bytes(range(1, 9)), number=7)
        + reply(Command.DEVICE_RESET, number=65535)
        + region_read_reply(0, 0x10, bytes(4), number=0)
    )


@pytest.mark.parametrize("size", [0, 1, 15, MAX_MESSAGE_SIZE + 1, 0xFFFF_FFFF])
def test_a_message_whose_end_is_unknown_is_refused_and_nothing_after_it_is_read(ask: Ask, size: int) -> None:
    peer = Peer()
    wrong = message(Command.DEVICE_SET_IRQS, size=size, number=0xBAD1)
    assert ask(peer, wrong + region_read(0, 0, 4)) == refusal(Command.DEVICE_SET_IRQS, INVALID, number=0xBAD1)
    assert peer.connection.phase is Phase.ENDED
    assert str(peer.errors[0]) == f"message size {size}: a message has 16 to 1048608 bytes (errno 22)"
    assert peer.ask(region_read(0, 0, 4)) == b""


def test_a_message_without_end_that_forbids_an_answer_gets_none() -> None:
    peer = Peer()
    assert peer.ask(message(Command.REGION_WRITE, size=3, flags=NO_REPLY)) == b""
    assert peer.connection.phase is Phase.ENDED


def test_the_longest_message_is_accepted() -> None:
    peer = Peer()
    data = bytes(range(256)) * 4096
    assert len(region_write(2, 0, data)) == MAX_MESSAGE_SIZE
    assert peer.ask(region_write(2, 0, data)) == region_write_reply(2, 0, 1024 * 1024)
    assert peer.ask(region_read(2, 0, 1024 * 1024)) == region_read_reply(2, 0, data)


@pytest.mark.parametrize("command", [0, 14, 19, 255, 0xFFFF, Command.DMA_READ, Command.DMA_WRITE])
def test_a_command_that_no_client_has_is_refused_by_a_header_and_the_stream_goes_on(ask: Ask, command: int) -> None:
    peer = Peer()
    answer = ask(peer, message(command, b"whatever", number=3) + region_read(0, 0, 4, number=4))
    assert answer == refusal(command, INVALID, number=3) + region_read_reply(0, 0, bytes(4), number=4)


def test_an_unknown_command_that_forbids_an_answer_gets_none() -> None:
    assert Peer().ask(message(99, b"x", flags=NO_REPLY)) == b""


def test_a_reply_to_nothing_is_refused(ask: Ask) -> None:
    peer = Peer()
    assert ask(peer, message(Command.DEVICE_SET_IRQS, flags=REPLY, number=0xBAD2)) == refusal(Command.DEVICE_SET_IRQS, INVALID, number=0xBAD2)
    assert ask(peer, message(Command.DMA_READ, bytes(16), flags=REPLY)) == refusal(Command.DMA_READ, INVALID)
    assert ask(peer, region_read(0, 0, 4)) == region_read_reply(0, 0, bytes(4))


@pytest.mark.parametrize("flags", [0x02, 0x0F, 0x20, 0x21])
def test_a_message_that_is_neither_command_nor_expected_reply_is_refused(flags: int) -> None:
    assert Peer().ask(message(Command.REGION_READ, bytes(16), flags=flags)) == refusal(Command.REGION_READ, INVALID)


SHORTEST = {
    Command.DMA_MAP: 32,
    Command.DMA_UNMAP: 24,
    Command.DEVICE_GET_INFO: 16,
    Command.DEVICE_GET_REGION_INFO: 32,
    Command.DEVICE_GET_REGION_IO_FDS: 16,
    Command.DEVICE_GET_IRQ_INFO: 16,
    Command.DEVICE_SET_IRQS: 20,
    Command.REGION_READ: 16,
    Command.REGION_WRITE: 16,
    Command.REGION_WRITE_MULTI: 8,
    Command.DEVICE_FEATURE: 8,
    Command.MIG_DATA_READ: 8,
    Command.MIG_DATA_WRITE: 8,
}


@pytest.mark.parametrize(("command", "size"), SHORTEST.items(), ids=lambda value: getattr(value, "name", None))
def test_a_record_that_is_cut_short_is_refused_at_every_length(command: Command, size: int) -> None:
    peer = Peer()
    for length in range(size):
        assert peer.ask(message(command, b"\xff" * length)) == refusal(command, INVALID)
        assert f"{length} bytes given, the record needs {size}" in peer.errors[-1].rule
    assert peer.ask(region_read(0, 0, 4)) == region_read_reply(0, 0, bytes(4))


@pytest.mark.parametrize(
    "wrong",
    [
        message(Command.REGION_READ, REGION_ACCESS.pack(RegionAccess(0, 0, 4)) + b"\0"),
        message(Command.REGION_WRITE, REGION_ACCESS.pack(RegionAccess(0, 0, 4)) + bytes(3)),
        message(Command.REGION_WRITE, REGION_ACCESS.pack(RegionAccess(0, 0, 4)) + bytes(5)),
        message(Command.DEVICE_RESET, b"\0"),
        message(Command.REGION_READ, REGION_ACCESS.pack(RegionAccess(0, 2, 1024 * 1024 + 1))),
        message(Command.REGION_READ, REGION_ACCESS.pack(RegionAccess(0, 2, 0xFFFF_FFFF))),
    ],
)
def test_a_body_that_is_longer_or_shorter_than_it_says_is_refused(wrong: bytes) -> None:
    peer = Peer()
    command = int.from_bytes(wrong[2:4], "little")
    assert peer.ask(wrong) == refusal(command, INVALID)
    assert peer.device.resets == 0


@pytest.mark.parametrize("command", [command for command in SHORTEST if command not in (Command.REGION_READ, Command.REGION_WRITE, Command.REGION_WRITE_MULTI)])
def test_an_argsz_that_has_no_room_for_the_record_is_refused(command: Command) -> None:
    size = SHORTEST[command]
    body = (size - 1).to_bytes(4, "little") + bytes(size - 4)
    peer = Peer()
    assert peer.ask(message(command, body)) == refusal(command, INVALID)
    assert f"{command.name}.argsz {size - 1}: the record alone has {size} bytes" == peer.errors[0].rule


# ---- file descriptors ----


def wanted_reads(connection: ServerConnection, stream: bytes, fds_at: dict[int, Sequence[int]]) -> list[tuple[bytes, tuple[int, ...]]]:
    """The frames of ``stream`` when each read takes as much as is wanted, and ends, like the system's, behind the first
    piece that brings file descriptors."""
    frames = []
    starts = sorted(fds_at)
    at = 0
    while at < len(stream):
        end = min(at + connection.wanted, len(stream))
        fds: Sequence[int] = ()
        for start in starts:
            if at <= start < end:
                fds = fds_at[start]
                following = [other for other in starts if other > start]
                end = min(end, following[0]) if following else end
                break
        connection.receive(stream[at:end], fds)
        at = end
        while (frame := connection.next_frame()) is not None:
            frames.append((frame.data, frame.fds))
    return frames


def test_file_descriptors_belong_to_the_message_they_came_beside() -> None:
    messages = [
        message(Command.DEVICE_RESET),
        dma_map(0, 4096),
        region_read(0, 0, 4),
        set_irqs(1, Irq.EVENTFD | Irq.TRIGGER, count=1),
        set_irqs(0, Irq.EVENTFD | Irq.TRIGGER, count=1),
        dma_map(4096, 4096),
        region_write(0, 0, bytes(4)),
        region_write(0, 0, bytes(8)),
        dma_map(8192, 4096),
    ]
    connection = ServerConnection()
    connection.phase = Phase.OPEN
    fds = [(), (101,), (), (), (102, 103), (), (), (), (104,)]
    starts = [sum(map(len, messages[:index])) for index in range(len(messages))]
    frames = wanted_reads(connection, b"".join(messages), {start: own for start, own in zip(starts, fds, strict=True) if own})
    assert frames == list(zip(messages, fds, strict=True))


@pytest.mark.parametrize("behind", range(4))
def test_among_writes_that_are_not_answered_file_descriptors_belong_to_the_last_message_that_may_carry_any(behind: int) -> None:
    """Such writes are read by the hundred. The system ends a read behind the piece with the file descriptors, and its sender
    may have sent more in that piece, even half a message."""
    posted = region_write(2, 0, bytes(8), flags=NO_REPLY)
    messages = [posted] * 5 + [dma_map(0, 4096)] + [posted] * 3
    stream = b"".join(messages)
    end = len(posted) * (5 + behind) + len(dma_map(0, 4096)) + (7 if behind < 3 else 0)
    connection = ServerConnection()
    connection.phase = Phase.OPEN
    connection.receive(stream[:30])
    assert connection.wanted > len(stream)
    connection.receive(stream[30:end], (101,))
    connection.receive(stream[end:])
    frames = []
    while (frame := connection.next_frame()) is not None:
        frames.append((frame.data, frame.fds))
    assert frames == [(each, (101,) if index == 5 else ()) for index, each in enumerate(messages)]


def test_no_read_goes_so_far_that_file_descriptors_could_be_another_messages() -> None:
    connection = ServerConnection()
    assert connection.wanted == READ_AHEAD == 36 == len(set_irqs(0, 0))
    connection.receive(b"\0" * 4)
    assert connection.wanted == 12 + READ_AHEAD
    connection = ServerConnection()
    connection.receive(dma_map(0, 0)[:20])
    assert connection.wanted == 28 + READ_AHEAD
    connection = ServerConnection()
    connection.receive(message(Command.REGION_WRITE, size=MAX_MESSAGE_SIZE))
    assert connection.wanted == 1 << 18


@pytest.mark.parametrize(
    "carrier",
    [message(Command.DEVICE_RESET), region_read(0, 0, 4), region_write(0, 0, bytes(4)), message(99), message(Command.REGION_READ, b"short")],
)
def test_file_descriptors_with_a_message_that_carries_none_are_closed_and_it_is_refused(carrier: bytes) -> None:
    peer = Peer()
    read_end, write_end = os.pipe()
    before = open_fds()
    command = int.from_bytes(carrier[2:4], "little")
    assert peer.ask(carrier, (read_end, write_end)) == refusal(command, INVALID)
    assert peer.ask_bytewise(carrier, (read_end,)) == refusal(command, INVALID)
    assert open_fds() == before
    os.close(read_end)
    os.close(write_end)


def test_file_descriptors_in_the_middle_of_a_message_are_closed_and_it_is_refused() -> None:
    peer = Peer()
    ram = memfd(4096)
    before = open_fds()
    assert peer.ask(dma_map(0, 4096)[:20]) == b""
    assert peer.ask(dma_map(0, 4096)[20:], (ram,)) == refusal(Command.DMA_MAP, INVALID)
    assert "in the middle of a message" in peer.errors[0].rule
    assert open_fds() == before
    os.close(ram)


def test_more_file_descriptors_than_a_message_may_carry_are_closed_and_it_is_refused() -> None:
    peer = Peer()
    event = os.eventfd(0)
    before = open_fds()
    peer.connection.receive(set_irqs(1, Irq.EVENTFD | Irq.TRIGGER, count=1), [os.dup(event) for _ in range(16)], surplus=True)
    assert peer.work_off() == refusal(Command.DEVICE_SET_IRQS, INVALID)
    assert "more than 16 file descriptors" in peer.errors[0].rule
    assert open_fds() == before
    os.close(event)


def test_file_descriptors_that_wait_for_the_rest_of_their_message_are_closed_when_the_client_goes() -> None:
    peer = Peer()
    ram = memfd(4096)
    before = open_fds()
    peer.ask(dma_map(0, 4096)[:30], (ram,))
    assert open_fds() == before + 1
    peer.connection.close()
    assert open_fds() == before
    peer.connection.receive(b"late", [os.dup(ram)])
    assert open_fds() == before
    os.close(ram)


def test_file_descriptors_with_every_byte_of_an_endless_message_do_not_pile_up() -> None:
    peer = Peer()
    event = os.eventfd(0)
    before = open_fds()
    body = REGION_ACCESS.pack(RegionAccess(0, 0, 200)) + bytes(200)
    wrong = message(Command.REGION_WRITE, body)
    for index in range(len(wrong) - 1):
        assert peer.ask(wrong[index : index + 1], [event] * 16) == b""
        if index % 50 == 49:
            assert open_fds() == before + 32
    assert peer.ask(wrong[-1:]) == refusal(Command.REGION_WRITE, INVALID)
    assert open_fds() == before
    assert peer.ask(region_read(0, 0, 4)) == region_read_reply(0, 0, bytes(4))
    os.close(event)


def test_an_error_ends_with_what_broke_the_rule() -> None:
    connection = ServerConnection()
    connection.receive(message(Command.DEVICE_GET_INFO, bytes(16)))
    with pytest.raises(PeerError, match="VERSION is the first message") as caught:
        connection.next_request()
    assert caught.value.errno == INVALID
