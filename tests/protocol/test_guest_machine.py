"""A machine of this process whose GPU is served by another: against our server, and against bad ones."""

from __future__ import annotations

import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guest_driver.transport.vfio_user import VfioUserMachine, connect
from host_model.hypervisor.vfio_user import VfioUserPort
from host_model.memory import HostMemory
from pvinfo.bus import Machine
from pvinfo.errors import PeerError, SetupError, StateError, UsageError
from pvinfo.units import MIB, GuestAddress
from pvinfo.vfio_user import DEVICE_INFO, DMA_ACCESS, HEADER, REGION_INFO, Command, DeviceFlags, DeviceInfo, DmaAccess, RegionFlags, RegionInfo
from support.plain_device import PlainDevice
from support.vfio_wire import ERROR, REPLY, Served, message, open_fds, refusal, region_read_reply, reply


class Background:
    """Our server, run by a thread."""

    def __init__(self, folder: Path) -> None:
        self.port = VfioUserPort(HostMemory())
        self.served = Served(folder, memory=self.port)
        self.device: PlainDevice = self.served.device
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        while not self._stop.is_set():
            self.served.step()

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.served.__exit__()

    def until(self, condition: Callable[[], bool]) -> bool:
        end = time.monotonic() + 5.0
        while not condition() and time.monotonic() < end:
            time.sleep(0.001)
        return condition()


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Background]:
    before = open_fds()
    with Background(tmp_path) as background:
        yield background
    assert open_fds() == before


def plug(host: Background) -> VfioUserMachine:
    return connect(host.served.path, MIB)


def test_the_machine_is_one_that_a_guest_driver_can_be_handed(host: Background) -> None:
    with plug(host) as machine:
        handed: Machine = machine
        assert handed.gpu.config.read(0, 4) == 0x1912_8086
        assert handed.memory.size == MIB
        bars = [handed.gpu.bar(index) for index in range(6)]
        assert [bar.size if bar else None for bar in bars] == [64 * 1024, None, MIB, None, None, None]


def test_registers_are_read_and_written_in_every_width(host: Background) -> None:
    with plug(host) as machine:
        bar = machine.gpu.bar(0)
        assert bar is not None
        bar.write32(0x10, 0x1_DEADBEEF)
        assert bar.read32(0x10) == 0xDEADBEEF
        bar.write(0x18, 8, 0x1122334455667788)
        bar.write(0x18, 1, 0x1FF)
        assert [bar.read(0x18, size) for size in (1, 2, 4, 8)] == [0xFF, 0x77FF, 0x556677FF, 0x11223344556677FF]
        assert bar.read(0x13, 4) == 0xDE
        machine.gpu.config.write(0x04, 2, 0xFFFF)
        assert machine.gpu.config.read(0x04, 2) == 0x0507


def test_where_nothing_answers_a_machine_reads_all_ones_and_writes_into_the_void(host: Background) -> None:
    with plug(host) as machine:
        bar = machine.gpu.bar(0)
        assert bar is not None
        assert bar.read32(bar.size) == 0xFFFFFFFF
        assert bar.read32(bar.size - 2) == 0xFFFFFFFF
        assert [bar.read(bar.size - size + 1, size) for size in (1, 2, 4, 8)] == [0xFF, 0xFFFF, 0xFFFFFFFF, (1 << 64) - 1]
        bar.write32(bar.size - 2, 1)
        bar.write(bar.size, 8, 1)
        assert machine.gpu.config.read(4095, 2) == 0xFFFF
        machine.gpu.config.write(4095, 2, 0x1234)
        assert bar.read32(bar.size - 4) == 0


def test_memory_is_shared_with_the_device(host: Background) -> None:
    with plug(host) as machine:
        machine.memory.write(GuestAddress(0xFFE), b"from the guest")
        assert host.port.read_guest(GuestAddress(0xFFE), 14) == b"from the guest"
        assert host.port.write_guest(GuestAddress(0x2000), b"from the device")
        assert machine.memory.read(GuestAddress(0x2000), 15) == b"from the device"
        for address, size in ((MIB, 1), (MIB - 1, 2), (-1, 1), (0, MIB + 1)):
            with pytest.raises(IndexError, match="RAM is"):
                machine.memory.read(GuestAddress(address), size)
        with pytest.raises(IndexError, match="RAM is"):
            machine.memory.write(GuestAddress(MIB - 1), b"ab")


def test_interrupts_come_while_time_passes(host: Background) -> None:
    with plug(host) as machine:
        heard: list[int] = []
        machine.gpu.on_interrupt(lambda: heard.append(machine.clock.now_ns()))
        host.device.interrupt()
        assert heard == []
        machine.clock.wait_ns(0)
        assert len(heard) == 1
        host.device.interrupt()
        machine.clock.wait_ns(50_000)
        assert len(heard) == 2
        threading.Timer(0.02, host.device.interrupt).start()
        start = machine.clock.now_ns()
        machine.clock.wait_ns(200_000_000)
        assert len(heard) == 3 and heard[2] < start + 200_000_000 <= machine.clock.now_ns()
        machine.gpu.on_interrupt(None)
        host.device.interrupt()
        machine.clock.wait_ns(0)
        assert len(heard) == 3
        machine.gpu.on_interrupt(lambda: heard.append(0))
        machine.gpu.on_interrupt(lambda: heard.append(1))
        host.device.interrupt()
        machine.clock.wait_ns(1000)
        assert heard[3:] == [1]


@pytest.mark.parametrize("slower", [1, 7, 1000])
def test_a_machines_clock_goes_as_much_slower_as_it_is_asked_to(host: Background, slower: int) -> None:
    before_ns = time.monotonic_ns()
    with connect(host.served.path, MIB, slower=slower) as machine:
        machine.clock.wait_ns(5_000)
        now_ns = machine.clock.now_ns()
        assert 5_000 <= now_ns <= (time.monotonic_ns() - before_ns) // slower


def test_a_clock_does_not_go_faster_than_real_time(host: Background) -> None:
    with pytest.raises(UsageError, match="^a clock 0 times as slow as real time: it is a whole number from 1 on"):
        connect(host.served.path, MIB, slower=0)


def test_a_machine_powers_its_gpu_on_and_can_reset_it(host: Background) -> None:
    with plug(host) as machine:
        assert host.device.resets == 1
        bar = machine.gpu.bar(0)
        assert bar is not None
        bar.write32(0, 1)
        machine.gpu.reset()
        assert bar.read32(0) == 0 and host.device.resets == 2


def test_a_second_machine_is_told_that_the_gpu_is_taken_and_may_have_it_afterwards(host: Background) -> None:
    with plug(host):
        with pytest.raises(SetupError, match="has another client already"):
            plug(host)
    assert host.until(lambda: not host.served.served.connected)
    with plug(host) as machine:
        assert machine.gpu.config.read(2, 2) == 0x1912


def test_a_closed_machine_holds_nothing_and_says_so(host: Background) -> None:
    before = open_fds()
    machine = plug(host)
    machine.gpu.on_interrupt(lambda: None)
    bar = machine.gpu.bar(0)
    machine.close()
    assert host.until(lambda: not host.served.served.connected)
    assert open_fds() == before
    assert bar is not None
    for act in (lambda: bar.read32(0), lambda: bar.write32(0, 0), machine.gpu.reset):
        with pytest.raises(StateError, match="the state is closed"):
            act()
    machine.close()


# ---- servers that are none, or none of ours ----


class BadServer:
    """Says what it is told to say, whatever it is asked; then hangs up."""

    def __init__(self, path: Path, answers: list[bytes], *, hang_up: bool = True) -> None:
        self._answers = answers
        self._hang_up = hang_up
        self.received: list[bytes] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run)
        self._done = threading.Event()

    def _run(self) -> None:
        client, _ = self._listener.accept()
        with client:
            for answer in self._answers:
                data, fds, _, _ = socket.recv_fds(client, 1 << 16, 4)
                for fd in fds:
                    os.close(fd)
                self.received.append(data)
                if not data:
                    return
                if answer:
                    client.sendall(answer)
            if not self._hang_up:
                self._done.wait(10.0)

    def __enter__(self) -> BadServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Hang up, if that has not happened yet."""
        self._done.set()
        self._thread.join()
        self._listener.close()


VERSION_REPLY = reply(Command.VERSION, bytes(4), number=1)
INFO_REPLY = reply(Command.DEVICE_GET_INFO, DEVICE_INFO.pack(DeviceInfo(16, DeviceFlags(3), 9, 5)), number=2)
OPENED = [VERSION_REPLY, INFO_REPLY, reply(Command.DMA_MAP, number=3)] + [
    reply(Command.DEVICE_GET_REGION_INFO, REGION_INFO.pack(RegionInfo(32, RegionFlags(3), bar, 0, 4096 if bar == 0 else 0, 0)), number=4 + bar)
    for bar in range(6)
] + [reply(Command.DEVICE_RESET, number=10)]


def failure(path: Path, *, timeout_s: float = 5.0, held: int = 0) -> str:
    """How connecting to ``path`` fails; nothing stays open but what the server holds."""
    before = open_fds()
    with pytest.raises(SetupError) as caught:
        connect(path, MIB, timeout_s=timeout_s)
    assert open_fds() == before + held
    return str(caught.value)


def test_a_path_without_a_server_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    assert failure(path) == f"no vfio-user server at {path}: there is no such socket"
    path.write_text("a file")
    assert failure(path) == f"no vfio-user server at {path}: nobody listens there"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(path))
    assert failure(path) == f"no vfio-user server at {path}: nobody listens there"
    assert "path too long" in failure(tmp_path / ("x" * 108))


@pytest.mark.parametrize(
    ("answer", "rule"),
    [
        (b"", "ended while an answer was due"),
        (VERSION_REPLY[:10], "ended after 10 bytes of a message"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "breaks the protocol"),
        (bytes(64), "breaks the protocol: a message of 0 bytes"),
        (reply(Command.VERSION, bytes(4), number=2), "message 2 about command 1, where the reply 1 to VERSION was due"),
        (reply(Command.DMA_MAP, bytes(4), number=1), "where the reply 1 to VERSION was due"),
        (reply(Command.VERSION, bytes(3), number=1), "3 bytes given, the record needs 4"),
        (reply(Command.VERSION, bytes(4) + b"{", number=1), "ends with a NUL"),
    ],
)
def test_what_is_no_vfio_user_server_is_said_to_be_none(tmp_path: Path, answer: bytes, rule: str) -> None:
    with BadServer(tmp_path / "gpu", [answer]):
        said = failure(tmp_path / "gpu")
    assert said.startswith(f"what listens at {tmp_path}/gpu is no vfio-user server: ") and rule in said


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refusal(Command.VERSION, errno.EINVAL, number=1), "refuses version 0.0 of vfio-user: EINVAL, Invalid argument"),
        (refusal(Command.VERSION, 0, number=1), "refuses version 0.0 of vfio-user: no reason given"),
        (refusal(Command.VERSION, errno.EBUSY, number=1), "has another client already"),
        (reply(Command.VERSION, b"\1\0\0\0", number=1), "answers with version 1.0 of vfio-user; 0.0 was proposed"),
        (reply(Command.VERSION, b"\0\0\1\0", number=1), "answers with version 0.1 of vfio-user; 0.0 was proposed"),
    ],
)
def test_a_server_that_refuses_the_opening_is_quoted(tmp_path: Path, answer: bytes, said: str) -> None:
    with BadServer(tmp_path / "gpu", [answer]):
        assert said in failure(tmp_path / "gpu")


def test_a_server_that_says_nothing_is_given_up(tmp_path: Path) -> None:
    with BadServer(tmp_path / "gpu", [b""], hang_up=False):
        assert "did not answer within 0.05 s" in failure(tmp_path / "gpu", timeout_s=0.05, held=1)


def test_a_server_of_something_else_than_a_gpu_is_refused(tmp_path: Path) -> None:
    for index, info in enumerate((DeviceInfo(16, DeviceFlags(1), 9, 5), DeviceInfo(16, DeviceFlags(3), 7, 5), DeviceInfo(16, DeviceFlags(3), 9, 1))):
        path = tmp_path / str(index)
        with BadServer(path, [VERSION_REPLY, reply(Command.DEVICE_GET_INFO, DEVICE_INFO.pack(info), number=2)]):
            assert "serves no PCI device" in failure(path)
    with BadServer(tmp_path / "refuses", [VERSION_REPLY, refusal(Command.DEVICE_GET_INFO, errno.EIO, number=2)]):
        assert "does not serve a GPU: the server refuses DEVICE_GET_INFO: EIO" in failure(tmp_path / "refuses")


@pytest.mark.parametrize(
    ("answer", "number", "rule"),
    [
        (b"", errno.ECONNRESET, "ended while an answer was due"),
        (region_read_reply(0, 0, bytes(4), number=11)[:20], errno.ECONNRESET, "ended after 20 bytes of a message"),
        (region_read_reply(0, 0, bytes(4), number=12), errno.EPROTO, "message 12 about command 9"),
        (region_read_reply(0, 0, bytes(8), number=11), errno.EPROTO, "answers something else"),
        (refusal(Command.REGION_READ, errno.EIO, number=11), errno.EIO, "the server refuses REGION_READ: EIO"),
        (message(Command.REGION_READ, size=1 << 24, flags=REPLY, number=11), errno.EPROTO, "a message of 16777216 bytes"),
    ],
)
def test_a_server_that_breaks_off_in_the_middle_is_named_with_what_was_missing(tmp_path: Path, answer: bytes, number: int, rule: str) -> None:
    before = open_fds()
    with BadServer(tmp_path / "gpu", [*OPENED, answer]), connect(tmp_path / "gpu", MIB) as machine:
        bar = machine.gpu.bar(0)
        assert bar is not None
        with pytest.raises(PeerError, match=rule) as caught:
            bar.read32(0)
        assert caught.value.errno == number
    assert open_fds() == before


def test_a_server_that_dies_while_time_passes_is_noticed(tmp_path: Path) -> None:
    with BadServer(tmp_path / "gpu", OPENED), connect(tmp_path / "gpu", MIB) as machine:
        with pytest.raises(PeerError, match="ended while an answer was due"):
            machine.clock.wait_ns(5_000_000_000)


def test_a_server_that_dies_while_the_machine_writes_is_noticed(tmp_path: Path) -> None:
    with BadServer(tmp_path / "gpu", OPENED) as server, connect(tmp_path / "gpu", MIB) as machine:
        server.stop()
        bar = machine.gpu.bar(0)
        assert bar is not None
        with pytest.raises(PeerError) as caught:
            for _ in range(3):
                bar.write32(0, 0)
        assert caught.value.errno in (errno.EPIPE, errno.ECONNRESET)


# ---- what a server may ask ----


def dma(command: int, address: int, length: int, data: bytes = b"", *, number: int = 0, flags: int = 0) -> bytes:
    return message(command, DMA_ACCESS.pack(DmaAccess(address, length)) + data, number=number, flags=flags)


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        (dma(Command.DMA_READ, 0x1000, 4, number=9), dma(Command.DMA_READ, 0x1000, 4, b"RAM!", number=9, flags=REPLY)),
        (dma(Command.DMA_WRITE, 0x1000, 4, b"new!"), dma(Command.DMA_WRITE, 0x1000, 4, flags=REPLY)),
        (dma(Command.DMA_READ, MIB, 4), refusal(Command.DMA_READ, errno.ENODEV)),
        (dma(Command.DMA_WRITE, MIB - 2, 4, b"new!"), refusal(Command.DMA_WRITE, errno.ENODEV)),
        (dma(Command.DMA_WRITE, 0, 4, b"new"), refusal(Command.DMA_WRITE, errno.EINVAL)),
        (dma(Command.DMA_READ, 0, MIB + 1), refusal(Command.DMA_READ, errno.E2BIG)),
        (message(Command.DMA_READ, b"short"), refusal(Command.DMA_READ, errno.EINVAL)),
        (message(77, number=3), refusal(77, errno.ENOSYS, number=3)),
    ],
    ids=["read", "write", "read outside", "write outside", "too little data", "too much", "short", "unknown"],
)
def test_the_server_may_ask_for_memory_by_message_between_request_and_reply(tmp_path: Path, asked: bytes, answered: bytes) -> None:
    answers = [*OPENED, asked + region_read_reply(0, 0, b"\1\0\0\0", number=11), b""]
    with BadServer(tmp_path / "gpu", answers) as server, connect(tmp_path / "gpu", MIB) as machine:
        machine.memory.write(GuestAddress(0x1000), b"RAM!")
        bar = machine.gpu.bar(0)
        assert bar is not None and bar.read32(0) == 1
        machine.close()
        server.stop()
        assert server.received[-1] == answered


def test_the_server_may_ask_while_time_passes_and_gets_no_answer_where_it_forbids_one(tmp_path: Path) -> None:
    asked = dma(Command.DMA_WRITE, 0, 4, b"one!", flags=0x10) + dma(Command.DMA_WRITE, 4, 4, b"two!", number=1)
    with BadServer(tmp_path / "gpu", [*OPENED[:-1], OPENED[-1] + asked, b""], hang_up=False) as server, connect(tmp_path / "gpu", MIB) as machine:
        machine.clock.wait_ns(20_000_000)
        assert machine.memory.read(GuestAddress(0), 8) == b"one!two!"
        machine.close()
        server.stop()
        assert server.received[-1] == dma(Command.DMA_WRITE, 4, 4, number=1, flags=REPLY)


# ---- arguments ----


@pytest.mark.parametrize("size", [0, -4096, 1, 4095, 4097])
def test_ram_is_a_number_of_pages(tmp_path: Path, size: int) -> None:
    with pytest.raises(UsageError, match=f"{size} bytes of RAM"):
        connect(tmp_path / "gpu", size)


@pytest.mark.parametrize("timeout_s", [0.0, -1.0, float("inf"), float("nan")])
def test_a_timeout_is_a_positive_time(tmp_path: Path, timeout_s: float) -> None:
    with pytest.raises(SetupError, match="a positive number of seconds"):
        connect(tmp_path / "gpu", MIB, timeout_s=timeout_s)
