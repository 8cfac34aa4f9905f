"""Random clients against the vfio-user server, without a socket, over one, and as a process of its own.

Invariant: whatever a client sends, nothing but an answer comes of it. Every message gets exactly one reply or error, or
none when it forbids that; no exception escapes; every file descriptor that came is closed in the end; the next client
finds the device in order.
"""

from __future__ import annotations

import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.duel import SMALL
from support.protocol_script import (
    MESSAGE_BYTES,
    Descriptors,
    Piece,
    answers_in,
    answers_to,
    pieces_of,
    tell,
)
from support.sample import sampled
from support.shrink import hold
from support.vfio_wire import FdWatch, message, open_fds, region_read, region_read_reply, region_write, reply, version

from host_model.clock import HostClock, RealClock
from host_model.host import Host
from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.vfio.user.connection import MemoryReadReply, Phase, ServerConnection
from host_model.vfio.user.device_server import DeviceServer
from host_model.vfio.user.serve import VfioUserServer
from pvinfo.errors import PeerError
from pvinfo.page import PVINFO_BASE, VGT_MAGIC
from pvinfo.units import GIB, MIB
from pvinfo.vfio_user import Command

MESSAGES_PER_CLIENT = 60


def random_script(seed: int, messages: int = MESSAGES_PER_CLIENT) -> bytes:
    return random.Random(seed).randbytes(messages * MESSAGE_BYTES)


class Served:
    """A vGPU with its port, ready to be served."""

    def __init__(self, clock: HostClock | None = None) -> None:
        self.host = Host(aperture_size=256 * MIB, ggtt_size=GIB, clock=clock)
        self.port = VfioUserPort(self.host.memory)
        self.vgpu = self.host.create_vgpu(SMALL, self.port)

    def close(self) -> None:
        self.host.destroy_vgpu(self.vgpu)
        self.port.close()


# ---- without a server's loop ----


class Conversation:
    """A client's pieces go through a pair of sockets, so that they are cut and carry descriptors as the system does it."""

    def __init__(self, served: Served, descriptors: Descriptors, cut: random.Random | None) -> None:
        self._descriptors = descriptors
        self._cut = cut
        self._ours, self._theirs = socket.socketpair()
        self.server = DeviceServer(served.vgpu, served.port, FdWatch(), served.vgpu.findings)
        self.connection = ServerConnection()
        self.stream = bytearray()
        self.sent = bytearray()
        self.opened = False

    def __enter__(self) -> Conversation:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def say(self, piece: Piece) -> None:
        if self.connection.phase is Phase.ENDED:
            return
        try:
            went = self._descriptors.send(self._ours, piece)
        except OSError:
            return  # more descriptors than the system lets anybody send
        assert went == len(piece.data)
        self.stream += piece.data
        self._hear()

    def _hear(self) -> None:
        while self.connection.phase is not Phase.ENDED:
            wanted = self.connection.wanted if self._cut is None else self._cut.randint(1, self.connection.wanted)
            try:
                data, ancillary, flags, _ = self._theirs.recvmsg(wanted, socket.CMSG_SPACE(16 * 4), socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            fds = [
                int.from_bytes(raw[at : at + 4], sys.byteorder)
                for _, _, raw in ancillary
                for at in range(0, len(raw) - len(raw) % 4, 4)
            ]
            self.connection.receive(data, fds, surplus=bool(flags & socket.MSG_CTRUNC))
            self._work_off()
            self.sent += self.connection.data_to_send()
            self.opened |= self.connection.phase is Phase.OPEN

    def check(self) -> None:
        """Each message has got its answer. Raises: AssertionError."""
        expected, ended = answers_to(bytes(self.stream), opened=self.opened)
        assert answers_in(bytes(self.sent)) == expected
        if self.stream:
            assert (self.connection.phase is Phase.ENDED) is ended

    def _work_off(self) -> None:
        while True:
            try:
                request = self.connection.next_request()
                if request is None:
                    return
                assert not isinstance(request, MemoryReadReply), "nobody asked for memory"
                try:
                    body = self.server.handle(request)
                except PeerError as error:
                    self.connection.reject(request, error.errno)
                else:
                    self.connection.reply(request, body)
            except PeerError:
                continue

    def end(self) -> None:
        self.connection.close()
        self.server.client_gone()
        self._ours.close()
        self._theirs.close()


def converse(script: bytes, cut: random.Random | None = None) -> bytes:
    """Run a program; what the server sent. Raises: AssertionError where the protocol's rules are broken."""
    served = Served()
    with Descriptors() as descriptors:
        before = open_fds()
        with Conversation(served, descriptors, cut) as conversation:
            for piece in pieces_of(script):
                conversation.say(piece)
            conversation.check()
        assert list(served.port.ram.ranges()) == []
        assert open_fds() == before, "a file descriptor was not closed"
        with Conversation(served, descriptors, None) as honest:
            for data in (version(), message(Command.DEVICE_RESET), region_read(0, PVINFO_BASE, 8)):
                honest.say(Piece(data, (), "honest"))
            magic = region_read_reply(0, PVINFO_BASE, VGT_MAGIC.to_bytes(8, "little"))
            assert honest.sent.endswith(reply(Command.DEVICE_RESET) + magic)
    served.close()
    return bytes(conversation.sent)


def hold_client(script: bytes) -> None:
    hold(script, converse, tell, "converse({})", MESSAGE_BYTES, "the_server_answers_every_message")


@pytest.mark.parametrize("seed", sampled(range(10), range(3)))
def test_a_few_random_clients_get_one_answer_to_each_message(seed: int) -> None:
    hold_client(random_script(seed))


@pytest.mark.fuzz
def test_many_random_clients_get_one_answer_to_each_message(request: pytest.FixtureRequest) -> None:
    first = request.config.getoption("--fuzz-seed")
    for seed in range(first, first + max(request.config.getoption("--fuzz-messages") // MESSAGES_PER_CLIENT, 1)):
        hold_client(random_script(seed))


@pytest.mark.parametrize("seed", sampled(range(8), range(2)))
def test_however_a_stream_is_cut_into_reads_the_answers_are_the_same(seed: int) -> None:
    script = b"\0" + random_script(100 + seed, 25)[1:]
    assert converse(script, random.Random(seed)) == converse(script)


@pytest.mark.parametrize("seed", sampled(range(12), range(4)))
def test_pure_noise_ends_the_connection_or_waits_for_more(seed: int) -> None:
    rng = random.Random(seed)
    served = Served()
    with Descriptors() as descriptors, Conversation(served, descriptors, rng) as conversation:
        if seed % 2:
            conversation.say(Piece(version(), (), "the opening"))
        for _ in range(20):
            conversation.say(Piece(rng.randbytes(rng.randrange(1, 200)), (), "noise"))
        conversation.check()
    served.close()


ACCESSED = (0x4, 0x10, 0xFFC, 0x2030, 0x78000, 0x78818, 0x140000, 0x800000, 0xFFFFF8)


@pytest.mark.parametrize("seed", sampled(range(6), range(2)))
def test_an_access_answered_from_its_bytes_is_answered_as_the_long_way_does(seed: int) -> None:
    rng = random.Random(seed)
    short, long = Served(), Served()
    regions = DeviceServer(short.vgpu, short.port, FdWatch(), short.vgpu.findings).regions
    answered = 0
    with Descriptors() as descriptors, Conversation(long, descriptors, None) as conversation:
        conversation.say(Piece(version(), (), "the opening"))
        for number in range(400):
            region, offset = rng.choice((0, 0, 0, 2, 7, 1)), rng.choice(ACCESSED) + rng.choice((0, 0, 0, 4, 8, 2))
            data = rng.randbytes(rng.choice((4, 4, 8, 2)))
            if rng.random() < 0.5:
                asked = region_read(region, offset, len(data), number=number)
            else:
                asked = region_write(region, offset, data, number=number, flags=rng.choice((0, 0x10)))
            quick = regions.answer(asked)
            del conversation.sent[:]
            if quick is not None:
                answered += 1
                conversation.say(Piece(asked, (), "an access"))
                assert quick == conversation.sent
    assert answered > 100
    assert short.vgpu.registers.bytes == long.vgpu.registers.bytes
    assert short.vgpu.config.bytes == long.vgpu.config.bytes
    short.close()
    long.close()


# ---- over a real socket ----


def drive(path: Path, script: bytes, descriptors: Descriptors, serve: object, rng: random.Random) -> None:
    """A client that sends a program, reads when it feels like it, and goes without a word, perhaps in mid-message."""
    assert callable(serve)
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(os.fspath(path))
        client.setblocking(False)
        for piece in pieces_of(script):
            try:
                descriptors.send(client, piece)
            except BlockingIOError:
                pass  # the server is behind, and this client does not repeat itself: the stream is out of step
            except OSError:
                break
            serve()
            if rng.random() < 0.7:
                try:
                    if not client.recv(1 << 20):
                        break
                except (BlockingIOError, ConnectionResetError):
                    pass
        if rng.random() < 0.5:
            cut = region_read(0, 0, 4)[: rng.randrange(1, 32)]
            try:
                client.send(cut, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
            except OSError:
                pass


def serve_random_clients(folder: Path, seeds: range) -> None:
    """Clients one after another and side by side on one server; afterwards an honest one is served."""
    served = Served(RealClock())
    with Descriptors() as descriptors, selectors.DefaultSelector() as selector, VfioUserServer(selector, served.host.clock) as server:
        device = server.listen(folder / "gpu", served.vgpu, served.port, served.vgpu.findings)

        def serve() -> None:
            server.step(0)

        serve()
        before = open_fds()
        for seed in seeds:
            rng = random.Random(seed)
            with socket.socket(socket.AF_UNIX) as silent:
                silent.connect(os.fspath(device.path))
                drive(device.path, random_script(seed), descriptors, serve, rng)
                for _ in range(4):
                    server.step(0.001)
        for _ in range(200):
            server.step(0.002)
            if open_fds() == before and not device.connected:
                break
        assert (open_fds(), device.connected) == (before, False), "a client that has gone left something behind"
        assert list(served.port.ram.ranges()) == []
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(os.fspath(device.path))
            client.sendall(version() + message(Command.DEVICE_RESET) + region_read(0, PVINFO_BASE, 8))
            client.settimeout(0.01)
            got = b""
            for _ in range(500):
                serve()
                try:
                    got += client.recv(4096)
                except TimeoutError:
                    continue
                if got.endswith(VGT_MAGIC.to_bytes(8, "little")):
                    break
            assert got == reply(Command.VERSION, bytes(4)) + reply(Command.DEVICE_RESET) + region_read_reply(0, PVINFO_BASE, VGT_MAGIC.to_bytes(8, "little"))
    served.close()


def test_a_few_random_clients_leave_the_server_as_they_found_it(tmp_path: Path) -> None:
    serve_random_clients(tmp_path, range(4))


@pytest.mark.fuzz
def test_many_random_clients_leave_the_server_as_they_found_it(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    first = request.config.getoption("--fuzz-seed")
    serve_random_clients(tmp_path, range(first, first + max(request.config.getoption("--fuzz-messages") // (4 * MESSAGES_PER_CLIENT), 1)))


# ---- a process of its own ----


def fds_of(process: int) -> int:
    return len(os.listdir(f"/proc/{process}/fd"))


@pytest.mark.parametrize("clients", [6, pytest.param(200, marks=pytest.mark.fuzz)])
def test_the_served_process_lives_through_random_clients_and_ends_when_it_is_told(tmp_path: Path, clients: int) -> None:
    path, report = tmp_path / "gpu", tmp_path / "report.json"
    command = [sys.executable, "-X", "dev", "-bb", "-m", "host_model", "serve", "--socket", str(path), "--json", str(report)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process, Descriptors() as descriptors:
        try:
            assert process.stdout is not None and process.stderr is not None
            assert process.stdout.readline() == f"ready {path}\n"
            before = fds_of(process.pid)
            for seed in range(clients):
                drive(path, random_script(7000 + seed), descriptors, lambda: None, random.Random(seed))
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(20)
                client.connect(os.fspath(path))
                client.sendall(version() + region_read(7, 0, 2))
                expected = reply(Command.VERSION, bytes(4)) + region_read_reply(7, 0, (0x8086).to_bytes(2, "little"))
                got = b""
                while len(got) < len(expected):
                    more = client.recv(4096)
                    assert more, got
                    got += more
                assert got == expected
                assert fds_of(process.pid) <= before + 2, "its client's socket, and perhaps a listener's waiting one"
            process.send_signal(signal.SIGTERM)
            _, complaints = process.communicate(timeout=20)
            assert (process.returncode, complaints) == (0, "")
            assert json.loads(report.read_text())["platform"] == "skl"
        finally:
            process.kill()
