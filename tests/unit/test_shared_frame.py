"""A frame in shared memory: who maps the file always sees one whole frame, and the newest."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

import pytest

from host_model.clock import VirtualClock
from host_model.host import Host
from host_model.view.screen import Screen
from host_model.view.shared_frame import SharedFrame
from pvinfo.errors import SetupError
from pvinfo.frame import FRAME_HEADER, FRAME_MAGIC, FrameHeader
from support.lit_screen import dark, light, paint
from support.vfio_wire import open_fds


class Showing:
    """A vGPU whose frame is shared, on virtual time."""

    def __init__(self, path: Path) -> None:
        plugged = Host("skl").plug()
        self.vgpu = plugged.vgpu
        clock = self.vgpu.clock
        assert isinstance(clock, VirtualClock)
        self.clock = clock
        self.write = self.vgpu.mmio.write32
        self.path = path
        self.screen = Screen(self.vgpu, "vGPU 1")
        self.shared = SharedFrame(path, self.screen, clock)

    def wait(self, milliseconds: int) -> None:
        self.clock.wait_ns(milliseconds * 1_000_000)

    def read(self) -> tuple[FrameHeader, bytes]:
        data = self.path.read_bytes()
        header = FRAME_HEADER.parse(data[: FRAME_HEADER.size])
        assert header.sequence % 2 == 0
        return header, data[header.pixels_offset : header.pixels_offset + header.size]


@pytest.fixture
def showing(tmp_path: Path) -> Iterator[Showing]:
    before = open_fds()
    made = Showing(tmp_path / "frame")
    yield made
    made.shared.close()
    assert list(tmp_path.iterdir()) == []
    assert open_fds() == before


def test_from_the_start_the_file_says_that_nothing_is_shown(showing: Showing) -> None:
    header, pixels = showing.read()
    assert (header.magic, header.sequence, header.width, header.height, pixels) == (FRAME_MAGIC, 0, 0, 0, b"")


def test_the_file_follows_the_screen(showing: Showing) -> None:
    light(showing.write, 32, 16, 0xFF8000)
    showing.wait(300)
    header, pixels = showing.read()
    assert (header.width, header.height, header.pitch) == (32, 16, 128)
    assert pixels == bytes((0x00, 0x80, 0xFF, 0)) * (32 * 16)
    first = header.sequence
    paint(showing.write, 0x0000FF)
    showing.wait(300)
    header, pixels = showing.read()
    assert header.sequence == first + 2
    assert pixels[:4] == bytes((0xFF, 0, 0, 0))
    dark(showing.write)
    showing.wait(300)
    header, pixels = showing.read()
    assert (header.sequence, header.width, pixels) == (first + 4, 0, b"")


def test_what_does_not_change_is_not_written(showing: Showing) -> None:
    light(showing.write)
    showing.wait(300)
    header, _ = showing.read()
    showing.wait(10_000)
    assert showing.read()[0].sequence == header.sequence


def test_what_changes_is_looked_at_at_the_displays_rate_and_what_does_not_four_times_a_second(
    showing: Showing, monkeypatch: pytest.MonkeyPatch
) -> None:
    light(showing.write)
    showing.wait(300)
    looks: list[int] = []
    look = showing.screen.look

    def counted() -> object:
        looks.append(showing.clock.now_ns())
        return look()

    monkeypatch.setattr(showing.screen, "look", counted)
    # Not a multiple of the display's period, so that each look finds something new.
    for color in range(600):
        paint(showing.write, color)
        showing.wait(5)
    assert 160 <= len(looks) <= 181
    showing.wait(2000)
    del looks[:]
    showing.wait(10_000)
    assert 39 <= len(looks) <= 41


def test_who_has_the_file_mapped_keeps_it_when_the_picture_grows(showing: Showing) -> None:
    light(showing.write, 16, 16, 0x00FF00)
    showing.wait(300)
    with showing.path.open("rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as mapped:
        light(showing.write, 64, 64, 0xFF0000)
        showing.wait(300)
        header = FRAME_HEADER.parse(mapped[: FRAME_HEADER.size])
        assert (header.width, header.height) == (64, 64)
        assert FRAME_HEADER.size + header.size > len(mapped), "which tells the reader to map it anew"
        assert showing.path.stat().st_size == FRAME_HEADER.size + 64 * 64 * 4
        light(showing.write, 8, 8)
        showing.wait(300)
        assert showing.path.stat().st_size == FRAME_HEADER.size + 64 * 64 * 4, "it never shrinks under a reader"
        assert len(showing.read()[1]) == 8 * 8 * 4


def test_at_the_end_the_file_is_gone_and_who_has_it_open_sees_nothing_shown(tmp_path: Path) -> None:
    showing = Showing(tmp_path / "frame")
    light(showing.write)
    showing.wait(300)
    with showing.path.open("rb") as file:
        showing.shared.close()
        assert FRAME_HEADER.parse(file.read(FRAME_HEADER.size)).width == 0
    assert list(tmp_path.iterdir()) == []
    showing.wait(1000)
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_is_replaced_and_a_newer_one_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "frame"
    path.write_bytes(b"older")
    with path.open("rb") as older:
        showing = Showing(path)
        assert path.read_bytes()[:8] == FRAME_MAGIC
        assert older.read() == b"older"
    path.unlink()
    path.write_bytes(b"newer")
    showing.shared.close()
    assert path.read_bytes() == b"newer"


def test_a_file_that_cannot_be_made_is_a_clear_error(tmp_path: Path) -> None:
    before = open_fds()
    with pytest.raises(SetupError, match="--frame: /nowhere/frame cannot be made: No such file or directory"):
        Showing(Path("/nowhere/frame"))
    (tmp_path / "folder").mkdir()
    with pytest.raises(SetupError, match="folder cannot be made: Is a directory"):
        Showing(tmp_path / "folder")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    assert open_fds() == before
