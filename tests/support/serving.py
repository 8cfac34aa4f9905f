"""The kit's own servers, each a process of its own."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ("serving", "serving_on_demand", "serving_one", "serving_own")


@contextmanager
def _served(sockets: Sequence[Path], *words: str) -> Iterator[None]:
    with subprocess.Popen([sys.executable, "-m", "host_model", "serve", *words], stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert [server.stdout.readline().strip() for _ in sockets] == [f"ready {path}" for path in sockets]
            yield
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=20)
    assert not any(path.exists() for path in sockets)


@contextmanager
def serving(folder: Path, *vgpus: str, platform: str = "skl", aperture: int = 1024, words: Sequence[str] = ()) -> Iterator[list[Path]]:
    """A server with a vGPU of each of the types, on one GPU with an aperture of so many MiB."""
    sockets = [folder / f"{number}.sock" for number in range(len(vgpus))]
    asked = [f"--vgpu={vgpu}={path}" for vgpu, path in zip(vgpus, sockets, strict=True)]
    with _served(sockets, "--platform", platform, "--aperture", str(aperture), *asked, *words):
        yield sockets


@contextmanager
def serving_own(folder: Path, *vgpus: str, words: Sequence[str] = ()) -> Iterator[list[Path]]:
    """A server of the host's own device, which comes first, and of a vGPU of each of the types."""
    sockets = [folder / "own.sock", *(folder / f"{number}.sock" for number in range(len(vgpus)))]
    asked = [f"--vgpu={vgpu}={path}" for vgpu, path in zip(vgpus, sockets[1:], strict=True)]
    with _served(sockets, "--own", str(sockets[0]), "--aperture", "512", *asked, *words):
        yield sockets


@contextmanager
def serving_one(folder: Path, *words: str) -> Iterator[Path]:
    """A server of one device: a vGPU, unless the words ask for something else."""
    path = folder / "gpu.sock"
    with _served((path,), "--socket", str(path), *words):
        yield path


@contextmanager
def serving_on_demand(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A server whose vGPUs are made on demand in ``folder``."""
    command = [sys.executable, "-m", "host_model", "serve", "--mdev", str(folder), *words]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None and server.stdout.readline() == f"mdev {folder}\n"
            yield server
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=20)
