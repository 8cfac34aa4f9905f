"""Screens as people get them: looked at, remembered, and written to files."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from host_model.host import Host
from host_model.mediator.vgpu import Vgpu
from host_model.scanout import Frame, png, png_pieces
from host_model.view.facts import vgpu_facts
from host_model.view.screen import Glance, PngInPieces, Screen
from host_model.view.screenshot import ScreenshotFiles
from host_model.view.view import Viewed
from pvinfo.errors import SetupError, UsageError
from pvinfo.frame import FRAME_HEADER, FRAME_MAGIC
from support.lit_screen import dark, light, paint
from support.picture import read_png


def whole(pieces: PngInPieces | None) -> bytes:
    """All of a picture that is made in pieces."""
    assert pieces is not None
    made: list[bytes] = []
    while (piece := pieces.piece(len(made))) is not None:
        made.append(piece)
    return b"".join(made)


class Subject:
    """A vGPU in this process, with its screen."""

    def __init__(self, number: int = 1, host: Host | None = None) -> None:
        self.plugged = (host if host is not None else Host("skl")).plug()
        self.vgpu: Vgpu = self.plugged.vgpu
        self.write = self.vgpu.mmio.write32
        self.connected = True
        self.screen = Screen(self.vgpu, f"vGPU {number}", lambda: not self.connected)
        self.viewed = Viewed(number, "GVTg_V5_8", "socket", self.screen, lambda: self.connected, lambda: vgpu_facts(self.vgpu))

    def wait(self, milliseconds: int) -> None:
        self.plugged.machine.clock.wait_ns(milliseconds * 1_000_000)

    def glance(self) -> Glance:
        self.wait(600)
        return self.screen.glance()


# ---- looking ----


def test_the_sequence_grows_when_what_is_shown_changes_and_not_before() -> None:
    subject = Subject()
    assert subject.screen.glance() == Glance(0, None)
    light(subject.write)
    assert subject.glance().sequence == 1
    assert subject.glance().sequence == 1
    paint(subject.write, 0x112233)
    assert subject.glance().sequence == 2
    dark(subject.write)
    assert subject.glance() == Glance(3, None)


def test_however_often_people_look_the_screen_is_looked_at_now_and_then() -> None:
    subject = Subject()
    light(subject.write, color=0x102030)
    png = subject.screen.glanced_png()
    paint(subject.write, 0xFF0000)
    assert subject.screen.glanced_png() is png
    subject.wait(600)
    fresh = subject.screen.glanced_png()
    assert [read_png(whole(pieces)).pixel(0, 0) for pieces in (png, fresh)] == [(0x10, 0x20, 0x30), (0xFF, 0, 0)]


def test_a_picture_is_made_once_for_each_change_and_as_far_as_it_is_wanted() -> None:
    subject = Subject()
    light(subject.write, 1024, 768)
    png = subject.screen.glanced_png()
    assert png is not None
    first = png.piece(0)
    assert first is not None and len(first) == 33, "the signature and the header, and no row yet"
    assert png.piece(0) is first
    subject.wait(5000)
    assert subject.screen.glanced_png() is png
    picture = read_png(whole(png))
    assert (picture.width, picture.height, len(picture.rows)) == (1024, 768, 768)
    assert whole(png) == whole(png)


def test_the_pieces_are_the_same_picture_however_long_the_rows_are() -> None:
    noise = random.Random(5).randbytes(40 * 96)
    frame = Frame(20, 40, 96, bytearray(noise))
    for rows in (1, 7, 40, 100):
        pieces = list(png_pieces(frame, rows=rows))
        assert read_png(b"".join(pieces)) == read_png(png(frame))
    assert read_png(png(frame)).pixel(19, 39) == tuple(noise[39 * 96 + 76 : 39 * 96 + 79][::-1])


# ---- files ----


def test_a_picture_has_the_size_and_the_colours_of_the_screen(tmp_path: Path) -> None:
    subject = Subject()
    light(subject.write, 80, 60, 0xCC9933)
    files = ScreenshotFiles(tmp_path / "now.png")
    files.write([subject.viewed])
    picture = read_png((tmp_path / "now.png").read_bytes())
    assert (picture.width, picture.height) == (80, 60)
    assert picture.pixel(79, 59) == (0xCC, 0x99, 0x33)
    assert not files.failed


def test_a_raw_frame_is_known_by_its_header(tmp_path: Path) -> None:
    subject = Subject()
    light(subject.write, 80, 60, 0xCC9933)
    ScreenshotFiles(tmp_path / "now.RAW").write([subject.viewed])
    data = (tmp_path / "now.RAW").read_bytes()
    header = FRAME_HEADER.parse(data[: FRAME_HEADER.size])
    assert (header.magic, header.width, header.height, header.size) == (FRAME_MAGIC, 80, 60, 80 * 60 * 4)
    assert data[header.pixels_offset :] == bytes((0x33, 0x99, 0xCC, 0)) * (80 * 60)


def test_each_of_several_screens_has_its_own_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    host = Host("skl")
    subjects = [Subject(number, host) for number in (1, 2)]
    light(subjects[1].write)
    ScreenshotFiles(tmp_path / "now.png").write([subject.viewed for subject in subjects])
    assert [path.name for path in tmp_path.iterdir()] == ["2-now.png"]
    assert capsys.readouterr().err == f"vGPU 1 shows nothing: no pipe is on; {tmp_path}/1-now.png is not written\n"


def test_what_a_client_showed_last_is_there_when_it_has_gone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subject = Subject()
    files = ScreenshotFiles(tmp_path / "end.png")
    light(subject.write, color=0x00FF00)
    subject.connected = False
    subject.screen.keep_last()
    paint(subject.write, 0xFF0000)
    files.write([subject.viewed])
    assert read_png((tmp_path / "end.png").read_bytes()).pixel(0, 0) == (0, 0xFF, 0)
    subject.connected = True
    files.write([subject.viewed])
    assert read_png((tmp_path / "end.png").read_bytes()).pixel(0, 0) == (0xFF, 0, 0)
    dark(subject.write)
    subject.connected = False
    subject.screen.keep_last()
    files.write([subject.viewed])
    assert capsys.readouterr().err.startswith("vGPU 1 shows nothing: no pipe was on when its client left; ")


def test_a_picture_that_cannot_be_written_is_told_and_remembered(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    subject = Subject()
    light(subject.write)
    files = ScreenshotFiles(tmp_path / "now.png")
    (tmp_path / "now.png").mkdir()
    files.write([subject.viewed])
    assert files.failed
    assert capsys.readouterr().err == f"vGPU 1: {tmp_path}/now.png cannot be written: Is a directory\n"
    assert [path.name for path in tmp_path.iterdir()] == ["now.png"]


@pytest.mark.parametrize("name", ["picture", "picture.jpg", "png", "picture.png.gz"])
def test_a_name_that_tells_no_format_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"the name ends in \.png or \.raw, which tells the format"):
        ScreenshotFiles(tmp_path / name)


def test_a_folder_that_is_not_there_is_told_at_the_start() -> None:
    with pytest.raises(SetupError, match="--screenshot: /nowhere/a.png cannot be written: /nowhere must be a folder"):
        ScreenshotFiles(Path("/nowhere/a.png"))
