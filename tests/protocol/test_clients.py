"""Clients on a real socket: they come, go, come back, come twice, and die in the middle of a message."""

from __future__ import annotations

import errno
import os
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.memory import HostMemory
from pvinfo.units import GuestAddress
from pvinfo.vfio_user import MAX_MESSAGE_SIZE, Command
from support.vfio_wire import (
    INVALID,
    NO_REPLY,
    Irq,
    Peer,
    Received,
    Served,
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
    version,
)


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    before = open_fds()
    with Served(tmp_path) as server:
        yield server
    assert open_fds() == before
    assert list(tmp_path.iterdir()) == []


def test_a_client_reads_writes_and_leaves(served: Served) -> None:
    client = served.connect()
    assert client.ask(region_write(0, 8, b"abcd"), 32) == region_write_reply(0, 8, 4)
    assert client.ask(region_read(0, 8, 4, number=5), 36) == region_read_reply(0, 8, b"abcd", number=5)
    assert served.served.connected and served.served.clients_seen == 1
    client.close()
    assert served.until(lambda: not served.served.connected)
    assert len(served.findings) == 0


@pytest.mark.parametrize("cut", [1, 15, 16, 17, 31, 35, 36, 37, 40])
def test_a_stream_that_is_cut_anywhere_is_answered_the_same(served: Served, cut: int) -> None:
    client = served.connect()
    stream = region_write(0, 0, b"12345678") + region_read(0, 0, 4, number=1) + region_read(0, 4, 4, number=2)
    expected = region_write_reply(0, 0, 8) + region_read_reply(0, 0, b"1234", number=1) + region_read_reply(0, 4, b"5678", number=2)
    client.send(stream[:cut])
    served.step()
    client.send(stream[cut:])
    assert client.receive(len(expected)).data == expected


def test_a_stream_that_comes_byte_by_byte_is_answered_the_same(served: Served) -> None:
    client = served.connect()
    stream = region_write(0, 0, b"abc", flags=NO_REPLY) + message(99) + region_read(0, 0, 3)
    for index in range(len(stream)):
        client.send(stream[index : index + 1])
        served.step()
    expected = refusal(99, INVALID) + region_read_reply(0, 0, b"abc")
    assert client.receive(len(expected)).data == expected


def test_thousands_of_pipelined_accesses_are_answered_in_order(served: Served) -> None:
    client = served.connect()
    stream, expected = b"", b""
    for index in range(1500):
        offset = index * 8
        stream += region_write(0, offset, index.to_bytes(8, "little"), flags=NO_REPLY)
        stream += region_read(0, offset, 4, number=index)
        expected += region_read_reply(0, offset, index.to_bytes(4, "little"), number=index)
    client.socket.setblocking(False)
    sent, received = 0, b""
    while len(received) < len(expected):
        if sent < len(stream):
            try:
                sent += client.socket.send(stream[sent : sent + 5000])
            except BlockingIOError:
                pass
        served.step()
        try:
            received += client.socket.recv(1 << 16)
        except BlockingIOError:
            pass
    assert received == expected


def test_descriptors_reach_their_message_in_a_pipelined_stream(served: Served) -> None:
    client = served.connect()
    first, second = memfd(0x1000, b"first"), memfd(0x1000, b"second")
    event = os.eventfd(0, os.EFD_NONBLOCK)
    client.send(region_write(0, 0, bytes(8), flags=NO_REPLY))
    client.send(message(Command.DEVICE_RESET))
    client.send(dma_map(0, 0x1000), (first,))
    client.send(region_read(0, 0, 4))
    client.send(dma_map(0x1000, 0x1000), (second,))
    client.send(set_irqs(1, Irq.EVENTFD | Irq.TRIGGER, count=1), (event,))
    client.send(dma_map(0x2000, 0x1000, flags=1))
    client.send(region_read(0, 0, 4))
    expected = (
        reply(Command.DEVICE_RESET) + reply(Command.DMA_MAP) + region_read_reply(0, 0, bytes(4)) + reply(Command.DMA_MAP)
        + reply(Command.DEVICE_SET_IRQS) + reply(Command.DMA_MAP) + region_read_reply(0, 0, bytes(4))
    )  # fmt: skip
    assert client.receive(len(expected)).data == expected
    assert served.ram.read(0, 5) == b"first" and served.ram.read(0x1000, 6) == b"second" and served.ram.read(0x2000, 1) is None
    served.device.interrupt()
    assert os.eventfd_read(event) == 1
    for fd in (first, second, event):
        os.close(fd)


def test_more_descriptors_than_fit_are_refused_and_none_stays_open(served: Served) -> None:
    client = served.connect()
    event = os.eventfd(0)
    before = open_fds()
    client.send(set_irqs(1, Irq.EVENTFD | Irq.TRIGGER, count=1), [event] * 17)
    assert client.receive(16).data == refusal(Command.DEVICE_SET_IRQS, INVALID)
    client.send(message(99), [event] * 200)
    assert client.receive(16).data == refusal(99, INVALID)
    assert open_fds() == before
    os.close(event)


def test_descriptors_are_not_handed_down_to_child_processes(served: Served) -> None:
    client = served.connect()
    event = os.eventfd(0)
    client.ask(set_irqs(1, Irq.EVENTFD | Irq.TRIGGER, count=1), 16, (event,))
    received = [fd for fd in range(event + 1, event + 50) if os.path.exists(f"/proc/self/fd/{fd}") and "eventfd" in os.readlink(f"/proc/self/fd/{fd}")]
    assert len(received) == 1
    assert not os.get_inheritable(received[0])
    os.close(event)


def random_message(chance: random.Random, number: int) -> bytes:
    """Mostly accesses, some of them wrong; now and then something else, or nonsense of a known length."""
    region, offset = chance.choice([0, 0, 0, 2, 7, 1, 9]), chance.choice([0, 4, 8, 0x30, 0xFFC, 0xFFFC, 0xFFFE, 1 << 40])
    length = chance.choice([4, 4, 4, 8, 8, 1, 2, 3, 200])
    kind = chance.random()
    if kind < 0.4:
        return region_read(region, offset, length, number=number)
    if kind < 0.8:
        return region_write(region, offset, chance.randbytes(length), number=number, flags=chance.choice([0, NO_REPLY]))
    if kind < 0.9:
        return message(chance.choice([*Command, 14, 99]), chance.randbytes(chance.randrange(60)), number=number, flags=chance.choice([0, NO_REPLY]))
    return dma_map(chance.randrange(64) << 12, 0x1000, flags=chance.choice([0, 1]), number=number)


@pytest.mark.parametrize("seed", range(6))
def test_a_random_stream_gets_the_same_answers_over_a_socket_as_without_one(served: Served, seed: int) -> None:
    chance = random.Random(seed)
    stream = b"".join(random_message(chance, number) for number in range(400))
    peer = Peer()
    expected = peer.ask(stream)
    client = served.connect()
    received = b""
    at = 0
    while at < len(stream):
        cut = chance.choice([1, 7, 16, 32, 36, 40, 500, 4000])
        client.send(stream[at : at + cut])
        at += cut
        served.step()
        try:
            received += client.socket.recv(1 << 20)
        except BlockingIOError:
            pass
    received += client.receive(len(expected) - len(received)).data
    assert received == expected
    assert served.device.bars[0].bytes == peer.device.bars[0].bytes
    assert served.device.config.bytes == peer.device.config.bytes
    assert list(served.ram.ranges()) == list(peer.ram.ranges())


# ---- going and coming back ----


def test_whatever_a_client_gave_is_let_go_when_it_goes_and_the_device_stays_as_it_is(tmp_path: Path) -> None:
    port = VfioUserPort(HostMemory())
    with Served(tmp_path, memory=port) as served:
        before = open_fds()
        ram, event = memfd(0x4000), os.eventfd(0)
        client = served.connect()
        assert client.ask(dma_map(0, 0x4000), 16, (ram,)) == reply(Command.DMA_MAP)
        client.ask(set_irqs(0, Irq.EVENTFD | Irq.TRIGGER, count=1), 16, (event,))
        client.ask(set_irqs(0, Irq.EVENTFD | Irq.UNMASK, count=1), 16, (event,))
        client.ask(set_irqs(1, Irq.EVENTFD | Irq.TRIGGER, count=1), 16, (event,))
        client.ask(region_write(0, 0, b"kept"), 32)
        assert port.map_guest_page(GuestAddress(0)) is not None
        client.close()
        os.close(ram)
        os.close(event)
        assert served.until(lambda: not served.served.connected)
        assert open_fds() == before
        assert port.read_guest(GuestAddress(0), 1) is None and port.mapped_pages == 0
        served.device.interrupt()
        again = served.connect()
        assert again.ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, b"kept")
        assert served.device.resets == 0 and served.served.clients_seen == 2
        again.close()


def test_a_client_comes_back_fifty_times_and_no_descriptor_is_lost(served: Served) -> None:
    before = open_fds()
    for _ in range(50):
        client = served.connect()
        ram = memfd(0x1000)
        client.ask(dma_map(0, 0x1000), 16, (ram,))
        os.close(ram)
        client.close()
        assert served.until(lambda: not served.served.connected)
    assert open_fds() == before
    assert served.served.clients_seen == 50


@pytest.mark.parametrize("length", [1, 15, 16, 20, 47])
def test_a_client_that_dies_in_the_middle_of_a_message_leaves_nothing_behind(served: Served, length: int) -> None:
    before = open_fds()
    ram = memfd(0x1000)
    client = served.connect()
    client.send(dma_map(0, 0x1000)[:length], (ram,))
    os.close(ram)
    served.step()
    client.close()
    assert served.until(lambda: not served.served.connected)
    assert open_fds() == before
    (finding,) = served.findings.of_rule("vfio-user-client")
    assert finding.text == "the client went in the middle of a message"
    assert served.connect().ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes(4))


def test_a_client_that_dies_before_its_opening_leaves_room_for_the_next(served: Served) -> None:
    for _ in range(3):
        served.connect(opened=False).close()
        assert served.until(lambda: not served.served.connected)
    assert served.connect().ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes(4))


def test_what_a_client_posted_before_it_died_is_done(served: Served) -> None:
    client = served.connect()
    for index in range(200):
        client.send(region_write(0, 8 * index, b"posted!!", flags=NO_REPLY))
    client.close()
    assert served.until(lambda: not served.served.connected)
    assert bytes(served.device.bars[0].bytes[: 8 * 200]) == b"posted!!" * 200


def test_a_client_that_has_gone_with_much_left_to_do_does_not_keep_the_next_one_out(served: Served) -> None:
    gone = served.connect()
    for index in range(250):
        gone.send(region_write(0, 8 * index, b"posted!!", flags=NO_REPLY))
    gone.close()
    client = served.connect()
    assert client.ask(region_read(0, 8 * 249, 4), 36) == region_read_reply(0, 8 * 249, b"post")
    assert served.served.clients_seen == 2


# ---- two at once ----


def test_a_second_client_is_told_that_there_is_one_and_the_first_notices_nothing(served: Served) -> None:
    first = served.connect()
    for _ in range(3):
        second = served.connect(opened=False)
        second.send(version(number=77))
        assert second.receive(17) == Received(refusal(Command.VERSION, errno.EBUSY, number=77), ended=True)
        second.close()
    assert first.ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes(4))
    assert served.served.clients_seen == 1


def test_descriptors_of_a_second_client_are_closed(served: Served) -> None:
    served.connect()
    before = open_fds()
    event = os.eventfd(0)
    second = served.connect(opened=False)
    second.send(version(), (event,))
    assert second.receive(17) == Received(refusal(Command.VERSION, INVALID), ended=True)
    second.close()
    os.close(event)
    assert open_fds() == before


def test_clients_that_wait_in_line_without_a_word_do_not_pile_up(served: Served) -> None:
    first = served.connect()
    quiet = [served.connect(opened=False) for _ in range(12)]
    for _ in range(20):
        served.step()
    assert served.served.connections == 1 + 8
    ended = []
    for waiting in quiet:
        try:
            ended.append(waiting.socket.recv(1) == b"")
        except BlockingIOError:
            ended.append(False)
    assert ended == [True] * 4 + [False] * 8, "who has waited longest goes"
    for waiting in quiet:
        waiting.close()
    assert served.until(lambda: served.served.connections == 1)
    assert first.ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes(4))


def test_a_client_that_opens_at_once_is_served_however_many_stand_around_in_silence(served: Served) -> None:
    for _ in range(60):
        served.connect(opened=False)
    client = served.connect()
    for _ in range(60):
        served.connect(opened=False)
    assert client.ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes(4))
    assert served.served.connected and served.served.connections <= 1 + 8


# ---- rude ones ----


def test_a_message_without_end_is_answered_and_then_the_server_hangs_up(served: Served) -> None:
    client = served.connect()
    client.send(message(Command.REGION_WRITE, b"more", size=MAX_MESSAGE_SIZE + 1, number=3))
    assert client.receive(17) == Received(refusal(Command.REGION_WRITE, INVALID, number=3), ended=True)
    assert served.until(lambda: not served.served.connected)
    (finding,) = served.findings.of_rule("vfio-user-request")
    assert "message size 1048609" in finding.where


def test_a_failed_opening_is_answered_and_then_the_server_hangs_up(served: Served) -> None:
    client = served.connect(opened=False)
    client.send(region_read(0, 0, 4))
    assert client.receive(17) == Received(refusal(Command.REGION_READ, INVALID), ended=True)
    assert served.until(lambda: not served.served.connected)


def test_a_client_that_does_not_read_its_replies_is_read_no_further_until_it_does(served: Served) -> None:
    client = served.connect()
    length, requests = 32 * 1024, 40
    accesses: list[tuple[str, int, int, int]] = []
    served.device.bars[2].accesses = accesses
    for number in range(requests):
        client.send(region_read(2, 0, length, number=number))
        served.step()
    assert 0 < len(accesses) * 8 < 12 * length
    expected = b"".join(region_read_reply(2, 0, bytes(length), number=number) for number in range(requests))
    assert client.receive(len(expected)).data == expected
    assert client.ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes(4))


def test_a_client_that_dies_with_replies_unread_is_let_go(served: Served) -> None:
    client = served.connect()
    for _ in range(8):
        client.send(region_read(2, 0, 64 * 1024))
        served.step()
    client.close()
    assert served.until(lambda: not served.served.connected)


def test_a_client_that_only_stops_sending_still_gets_its_last_reply(served: Served) -> None:
    client = served.connect()
    client.send(region_read(0, 0, 4))
    client.socket.shutdown(socket.SHUT_WR)
    assert client.receive(37) == Received(region_read_reply(0, 0, bytes(4)), ended=True)
