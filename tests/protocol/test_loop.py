"""The server's loop: many clients and timers side by side, sockets made and removed."""

from __future__ import annotations

import errno
import os
import resource
import selectors
import socket
import stat
from pathlib import Path

import pytest

from host_model.clock import RealClock, VirtualClock
from host_model.hypervisor.guest_ram import GuestRam
from host_model.vfio.user.listener import LONGEST_SOCKET_PATH
from host_model.vfio.user.serve import VfioUserServer
from pvinfo.errors import SetupError
from pvinfo.finding import FindingLog
from pvinfo.vfio_user import Command
from support.plain_device import PlainDevice
from support.vfio_wire import (
    NO_REPLY,
    Irq,
    Raw,
    Served,
    dma_map,
    memfd,
    open_fds,
    refusal,
    region_read,
    region_read_reply,
    region_write,
    reply,
    set_irqs,
)


def listen(server: VfioUserServer, path: Path) -> None:
    server.listen(path, PlainDevice(), GuestRam(), FindingLog(1))


def accepts(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as client:
        try:
            client.connect(str(path))
        except OSError:
            return False
        return True


# ---- sharing the loop ----


def test_devices_on_their_sockets_do_not_know_of_each_other(tmp_path: Path) -> None:
    with selectors.DefaultSelector() as selector, VfioUserServer(selector, RealClock()) as server:
        devices = [PlainDevice() for _ in range(3)]
        paths = [tmp_path / str(index) for index in range(3)]
        for path, device in zip(paths, devices, strict=True):
            server.listen(path, device, GuestRam(), FindingLog(1))
        clients = [Raw(path, lambda: server.step(0.005)) for path in paths]
        for index, client in enumerate(clients):
            client.send(region_write(0, 0, bytes([index] * 4), flags=NO_REPLY))
        for index, client in enumerate(clients):
            assert client.ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes([index] * 4))
        assert [device.connected for device in server.devices] == [True] * 3
        clients[1].close()
        server.step(0.01)
        assert [device.connected for device in server.devices] == [True, False, True]
        for client in clients:
            client.close()


def test_a_client_that_never_pauses_does_not_keep_others_waiting(tmp_path: Path) -> None:
    with selectors.DefaultSelector() as selector, VfioUserServer(selector, RealClock()) as server:
        for name in ("busy", "calm"):
            listen(server, tmp_path / name)
        busy, calm = (Raw(tmp_path / name, lambda: server.step(0)) for name in ("busy", "calm"))
        flood = region_write(0, 0, bytes(8), flags=NO_REPLY) * 2500
        busy.send(flood)
        calm.send(region_read(0, 0, 4))
        server.step(0)
        assert calm.socket.recv(36) == region_read_reply(0, 0, bytes(4))
        assert busy.ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes(4))
        busy.close()
        calm.close()


def test_a_turn_is_short_however_much_one_client_has_sent(tmp_path: Path) -> None:
    device = PlainDevice()
    accesses: list[tuple[str, int, int, int]] = []
    device.bars[0].accesses = accesses
    with Served(tmp_path, device) as served:
        client = served.connect()
        client.send(region_write(0, 0, bytes(8), flags=NO_REPLY) * 4000)
        per_turn = []
        while len(accesses) < 4000:
            before = len(accesses)
            served.server.step(0)
            per_turn.append(len(accesses) - before)
        assert max(per_turn) <= 500
        assert len(per_turn) >= 8


def test_timers_run_between_turns_and_those_that_an_access_sets_run_at_once(tmp_path: Path) -> None:
    device = PlainDevice()
    with Served(tmp_path, device) as served:
        order: list[str] = []
        inner = device.bars[0].write

        def write(offset: int, size: int, value: int) -> None:
            inner(offset, size, value)
            order.append("write")
            served.clock.call_after(0, lambda: order.append("timer"))

        device.bars[0].write = write  # type: ignore[method-assign]
        client = served.connect()
        client.send(region_write(0, 0, bytes(4), flags=NO_REPLY))
        served.server.step(1.0)
        assert order == ["write", "timer"]


def test_a_step_wakes_up_for_the_next_timer(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        fired: list[int] = []
        deadline = served.clock.now_ns() + 20_000_000
        served.clock.call_at(deadline, lambda: fired.append(served.clock.now_ns()))
        while not fired:
            served.server.step(60.0)
        assert fired[0] >= deadline


def test_a_step_on_virtual_time_waits_no_longer_than_it_is_told(tmp_path: Path) -> None:
    with selectors.DefaultSelector() as selector:
        clock = VirtualClock()
        clock.call_after(1_000_000, lambda: None)
        with VfioUserServer(selector, clock) as server:
            server.step(0.0)
            assert clock.now_ns() == 0


def test_foreign_descriptors_in_the_selector_are_served_too(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        read_end, write_end = os.pipe()
        heard: list[bytes] = []
        served.selector.register(read_end, selectors.EVENT_READ, lambda events: heard.append(os.read(read_end, 100)))
        os.write(write_end, b"console")
        served.step()
        assert heard == [b"console"]
        served.selector.unregister(read_end)
        os.close(read_end)
        os.close(write_end)


def test_the_guests_end_of_interrupt_is_seen_by_the_loop(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        client = served.connect()
        event, unmask = os.eventfd(0, os.EFD_NONBLOCK), os.eventfd(0, os.EFD_NONBLOCK)
        client.ask(set_irqs(0, Irq.EVENTFD | Irq.TRIGGER, count=1), 16, (event,))
        client.ask(set_irqs(0, Irq.EVENTFD | Irq.UNMASK, count=1), 16, (unmask,))
        served.device.assert_pin(True)
        served.device.interrupt()
        assert os.eventfd_read(event) == 1
        os.eventfd_write(unmask, 1)
        served.step()
        assert os.eventfd_read(event) == 1
        client.close()
        assert served.until(lambda: not served.served.connected)
        os.close(event)
        os.close(unmask)


# ---- sockets ----


def test_a_socket_is_there_while_it_is_served_and_gone_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    before = open_fds()
    with selectors.DefaultSelector() as selector:
        with VfioUserServer(selector, RealClock()) as server:
            listen(server, path)
            assert stat.S_ISSOCK(path.stat().st_mode)
            assert accepts(path)
        assert not path.exists()
        assert not selector.get_map()
    assert open_fds() == before


def test_a_socket_that_an_ended_server_left_behind_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    with socket.socket(socket.AF_UNIX) as ended:
        ended.bind(str(path))
    assert path.exists() and not accepts(path)
    with selectors.DefaultSelector() as selector, VfioUserServer(selector, RealClock()) as server:
        listen(server, path)
        assert accepts(path)


def test_a_socket_that_another_took_over_meanwhile_is_not_removed(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    with selectors.DefaultSelector() as selector, VfioUserServer(selector, RealClock()) as server:
        listen(server, path)
        path.unlink()
        path.write_text("somebody else's")
    assert path.read_text() == "somebody else's"


def test_a_server_whose_socket_was_removed_closes_all_the_same(tmp_path: Path) -> None:
    with selectors.DefaultSelector() as selector, VfioUserServer(selector, RealClock()) as server:
        listen(server, tmp_path / "gpu")
        (tmp_path / "gpu").unlink()


def refusal_to_listen(path: Path) -> str:
    before = open_fds()
    with selectors.DefaultSelector() as selector, VfioUserServer(selector, RealClock()) as server:
        with pytest.raises(SetupError) as caught:
            listen(server, path)
        assert server.devices == ()
    assert open_fds() == before
    return str(caught.value)


def test_a_socket_path_that_is_too_long_is_refused_with_the_limit(tmp_path: Path) -> None:
    longest = tmp_path / ("x" * (LONGEST_SOCKET_PATH - len(str(tmp_path)) - 1))
    with selectors.DefaultSelector() as selector, VfioUserServer(selector, RealClock()) as server:
        listen(server, longest)
        assert accepts(longest)
    message = refusal_to_listen(longest.with_name(longest.name + "x"))
    assert "has 108 bytes: the system takes 107 at most" in message


def test_a_socket_that_another_server_listens_on_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(path))
        other.listen()
        assert refusal_to_listen(path) == f"the socket at {path} is in use: another server listens there"
        assert path.exists()


def test_one_server_does_not_take_the_same_path_twice(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        with pytest.raises(SetupError, match="is in use"):
            listen(served.server, served.path)
        assert served.connect().ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes(4))


def test_a_file_in_the_place_of_the_socket_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "gpu"
    path.write_text("precious")
    assert "there is something that is no socket" in refusal_to_listen(path)
    assert path.read_text() == "precious"


def test_a_folder_that_is_not_there_or_is_no_folder_is_named(tmp_path: Path) -> None:
    assert refusal_to_listen(tmp_path / "missing" / "gpu") == f"no socket can be made at {tmp_path}/missing/gpu: No such file or directory"
    (tmp_path / "file").write_text("")
    assert "Not a directory" in refusal_to_listen(tmp_path / "file" / "gpu")


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert refusal_to_listen(tmp_path / "gpu") == f"no socket can be made at {tmp_path}/gpu: Permission denied"
    tmp_path.chmod(0o700)


def test_descriptors_that_the_server_has_no_room_for_are_noted_and_their_message_is_refused(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        client, ram = served.connect(), memfd(0x1000)
        lowest_free = os.dup(0)
        os.close(lowest_free)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            assert client.ask(dma_map(0, 0x1000), 16, (ram,)) == refusal(Command.DMA_MAP, errno.EINVAL)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        (finding,) = served.findings.of_rule("vfio-user-descriptors")
        assert finding.text.startswith("not enough file descriptors of this process: 1 descriptors wanted, 0 descriptors left (of ")
        assert "sockets has " in finding.text
        assert client.ask(dma_map(0, 0x1000), 16, (ram,)) == reply(Command.DMA_MAP)
        os.close(ram)


def test_a_system_without_descriptors_left_keeps_the_server_and_its_client_alive(tmp_path: Path) -> None:
    with Served(tmp_path) as served:
        client = served.connect()
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(str(served.path))
        lowest_free = os.dup(0)
        os.close(lowest_free)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (lowest_free, hard))
        try:
            for _ in range(3):
                served.step()
            assert client.ask(region_read(0, 0, 4), 36) == region_read_reply(0, 0, bytes(4))
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        (finding,) = served.findings.of_rule("vfio-user-accept")
        assert "no client can be accepted now: not enough file descriptors of this process: 1 " in finding.text and finding.occurrences == 1
        waiting.close()
