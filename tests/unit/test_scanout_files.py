"""Frames as PNG files, and as bytes with a header for other programs."""

from __future__ import annotations

import random

import pytest
from support.picture import read_png

from host_model.gpu.surface.rectangle import Rectangle
from host_model.scanout import Frame, HotSpot, png, raw_frame, raw_size, write_frame_into
from pvinfo.drm_format import DrmFormat
from pvinfo.errors import UsageError
from pvinfo.frame import FRAME_HEADER, NO_HOT_SPOT


def random_frame(width: int, height: int, pitch: int | None = None) -> Frame:
    pitch = 4 * width if pitch is None else pitch
    return Frame(width, height, pitch, bytearray(random.Random(width).randbytes(pitch * height)))


@pytest.mark.parametrize(("width", "height", "pitch"), [(1, 1, 4), (3, 2, 12), (64, 48, 256), (13, 5, 64), (1, 300, 4)])
@pytest.mark.parametrize("level", [0, 1, 9])
def test_a_png_file_holds_the_colours_of_the_frame(width: int, height: int, pitch: int, level: int) -> None:
    frame = random_frame(width, height, pitch)
    picture = read_png(png(frame, level=level))
    assert (picture.width, picture.height) == (width, height)
    for y in range(height):
        for x in range(width):
            blue, green, red = frame.pixels[y * pitch + 4 * x : y * pitch + 4 * x + 3]
            assert picture.pixel(x, y) == (red, green, blue)


def test_a_raw_frame_says_what_follows_its_header() -> None:
    frame = random_frame(5, 3)._replace(cursor=Rectangle(-2, 7, 62, 71), hot_spot=HotSpot(3, 4))
    data = raw_frame(frame, sequence=6)
    header = FRAME_HEADER.unpack_from(data)
    assert (header.magic, header.version, header.sequence) == (b"GVTFRAME", 1, 6)
    assert (header.width, header.height, header.pitch, header.size, header.pixels_offset) == (5, 3, 20, 60, 64)
    assert header.fourcc is DrmFormat.XRGB8888 and header.fourcc.letters == "XR24"
    assert header.flags.cursor and (header.cursor_x, header.cursor_y, header.x_hot, header.y_hot) == (0xFFFFFFFE, 7, 3, 4)
    assert data[64:] == frame.pixels and len(data) == raw_size(frame)


def test_a_frame_in_shared_memory_is_complete_when_its_sequence_is_even() -> None:
    memory = bytearray(64 + 4 * 16 * 8)
    frame = random_frame(16, 8)
    write_frame_into(memoryview(memory), frame, 2)
    assert bytes(memory) == raw_frame(frame, 2)
    write_frame_into(memoryview(memory), None, 4)
    header = FRAME_HEADER.unpack_from(memory)
    assert (header.sequence, header.width, header.height, header.size, header.x_hot) == (4, 0, 0, 0, NO_HOT_SPOT)
    assert raw_size(None) == 64


def test_a_frame_that_was_not_written_to_its_end_has_an_odd_sequence() -> None:
    memory = memoryview(bytearray(64 + 16))
    write_frame_into(memory, random_frame(2, 2), 8)
    with pytest.raises(ValueError):
        write_frame_into(memory[:78], random_frame(2, 2)._replace(height=1), 10)
    assert FRAME_HEADER.unpack_from(memory).sequence == 9


def test_shared_memory_that_is_too_short_is_left_alone() -> None:
    memory = memoryview(bytearray(64 + 15))
    with pytest.raises(UsageError, match="79 bytes of shared memory: the frame with its header takes 80"):
        write_frame_into(memory, random_frame(2, 2), 2)
    assert not any(memory)


@pytest.mark.parametrize("sequence", [1, -2, 1 << 64])
def test_a_complete_frame_has_an_even_sequence(sequence: int) -> None:
    with pytest.raises(UsageError, match=f"sequence {sequence}: "):
        write_frame_into(memoryview(bytearray(1024)), random_frame(2, 2), sequence)
