"""What a read served over a socket costs, held against a server that does nothing."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.figures import Figure, Figures, side_by_side
from support.vfio_wire import region_read, region_write, version

pytestmark = pytest.mark.bench

DO_NOTHING = """
import socket, sys
with socket.socket(socket.AF_UNIX) as listener:
    listener.bind(sys.argv[1])
    listener.listen()
    print("ready", flush=True)
    client, _ = listener.accept()
    reply = bytes(36)
    while client.recv(16) and client.recv(16):
        client.send(reply)
"""
STORED = 0x2030


@contextmanager
def server(command: list[str], path: Path) -> Iterator[socket.socket]:
    """A server in a process of its own, and a client connected to it."""
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None and process.stdout.readline().startswith(b"ready")
            with socket.socket(socket.AF_UNIX) as client:
                client.connect(os.fspath(path))
                yield client
        finally:
            process.terminate()


def asking(client: socket.socket, message: bytes, length: int) -> Callable[[int], object]:
    """Send ``message`` and await a reply of ``length`` bytes, as many times as asked."""

    def ask(operations: int) -> None:
        send, receive = client.send, client.recv
        for _ in range(operations):
            send(message)
            if len(receive(length)) != length:
                raise AssertionError("a reply came in pieces")

    return ask


@contextmanager
def gpu_and_idler(folder: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A vGPU that has agreed on a version, and a server that does nothing."""
    ours, nothing = folder / "gpu", folder / "nothing"
    with (
        server(["-m", "host_model", "serve", "--socket", str(ours)], ours) as gpu,
        server(["-c", DO_NOTHING, str(nothing)], nothing) as idle,
    ):
        gpu.sendall(version())
        assert len(gpu.recv(100)) == 20
        yield gpu, idle


def test_a_read_served_over_the_socket_costs_little_more_than_the_round_trip(tmp_path: Path, figures: Figures) -> None:
    with gpu_and_idler(tmp_path) as (gpu, idle):
        read = region_read(0, STORED, 4)
        gpu.sendall(region_write(0, STORED, bytes((1, 2, 3, 4))))
        assert len(gpu.recv(100)) == 32
        gpu.sendall(read)
        assert gpu.recv(100).endswith(bytes((1, 2, 3, 4)))
        served, least = side_by_side(asking(gpu, read, 36), asking(idle, read, 36), 2_000, 15)
    figure = figures.add(Figure("4-byte REGION_READ over the socket", served, "a do-nothing server's round trip", least, 1.25))
    assert figure.ratio <= 1.25


def test_a_byte_of_graphics_memory_costs_hardly_more_than_a_register(tmp_path: Path, figures: Figures) -> None:
    """A driver's picture of a hanging engine is some hundred thousand of them."""
    with gpu_and_idler(tmp_path) as (gpu, idle):
        read = region_read(2, 128 << 20, 1)
        gpu.sendall(read)
        assert len(gpu.recv(100)) == 33
        served, least = side_by_side(asking(gpu, read, 33), asking(idle, region_read(0, STORED, 4), 36), 2_000, 15)
    figure = figures.add(Figure("1-byte REGION_READ of BAR2 over the socket", served, "a do-nothing server's round trip", least, 1.75))
    assert figure.ratio <= 1.75
