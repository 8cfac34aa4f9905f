"""What a real guest shows: modes, frames, the text console, and the pictures that the host takes of them.

One boot for each platform. The console's text is read from the picture, cell by cell: the guest first prints every
character once, and that row tells what each of them looks like.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from support import real_guest
from support.picture import Picture, read_png

pytestmark = real_guest.needs()

CHARACTERS = "".join(map(chr, range(0x21, 0x7F)))
SENTENCE = "Virtual GPU of guest 0: 1 screen, no hardware."
CELL_WIDTH, CELL_HEIGHT = 8, 16
"""Of the kernel's VGA font."""
FLIPS = 300
MOST_LATE_WRITES = 3
CURSOR_AT = (100, 200)
CURSOR_SIZE = 64
GREEN = (0, 255, 0)

POST = f"""\
printf '\\033[2J\\033[H\\033[?25l' >/dev/tty1
cat /characters >/dev/tty1
printf '\\r\\n\\r\\n{SENTENCE}\\r\\n' >/dev/tty1
sleep 1
read -r before idle </proc/uptime
gvt-screenshot console
read -r after idle </proc/uptime
echo picture from $before to $after
exec /bin/workload modes flips picture
"""


class Screens(NamedTuple):
    """A boot, and the pictures taken meanwhile, by name."""

    mode: tuple[int, int]
    report: dict[str, Any]
    console: str
    pictures: dict[str, Picture]

    @property
    def picture_seconds(self) -> float:
        """From the wish of a picture to its file."""
        said = re.search(r"^picture from ([\d.]+) to ([\d.]+)$", self.guest["post_output"], re.MULTILINE)
        assert said is not None, self.guest["post_output"]
        return float(said[2]) - float(said[1])

    @property
    def guest(self) -> dict[str, Any]:
        guest: dict[str, Any] = self.report["guests"][0]
        return guest


CASES = [
    ("skl", "GVTg_V5_8", (1024, 768)),
    ("kbl", "GVTg_V5_4", (1920, 1200)),
    ("bdw", "GVTg_V4_8", (1024, 768)),
]


@pytest.fixture(scope="module", params=CASES, ids=["-".join(case[:2]) for case in CASES])
def screens(request: pytest.FixtureRequest, workload: Path, tmp_path_factory: pytest.TempPathFactory) -> Screens:
    platform, vgpu_type, mode = request.param
    folder = tmp_path_factory.mktemp(f"screens-{platform}")
    post, characters = folder / "post.sh", folder / "characters"
    post.write_text(f"#!/bin/sh\n{POST}")
    characters.write_text(CHARACTERS)
    words = ["--platform", platform, "--type", vgpu_type, "--screenshot", str(folder), "--post", str(post), "--timeout", "200"]
    booted = real_guest.boot(folder, *words, "--add", f"{workload}:/bin/workload", "--add", f"{characters}:/characters")
    assert "Traceback" not in booted.errors, booted.errors
    pictures = {re.sub(r"^guest0-?", "", path.stem): read_png(path.read_bytes()) for path in folder.glob("*.png")}
    return Screens(mode, booted.report, (folder / "guest0-console.log").read_text(), pictures)


def test_the_monitor_is_connected_with_the_mode_of_the_type(screens: Screens) -> None:
    assert screens.report["failures"] == []
    assert screens.report["ok"]
    connected = [connector for connector in screens.guest["connectors"] if connector["status"] == "connected"]
    assert [connector["mode"] for connector in connected] == ["{}x{}".format(*screens.mode)]


def test_the_guest_waits_for_no_frame_in_vain(screens: Screens) -> None:
    assert screens.guest["warnings"] == []
    assert not screens.guest["wedged"]
    for complaint in ("timed out", "underrun"):
        assert complaint not in screens.console
    # A pause of the emulated processor in the midst of its writes; were it the display, each of the many flips would say so.
    late = screens.console.count("Potential atomic update failure")
    assert late <= MOST_LATE_WRITES
    assert screens.console.count("*ERROR*") == late


def test_the_picture_shows_what_the_guest_printed(screens: Screens) -> None:
    picture = screens.pictures["console"]
    assert (picture.width, picture.height) == screens.mode
    rows = picture.height // CELL_HEIGHT
    glyphs = {picture.cell(column, 0, CELL_WIDTH, CELL_HEIGHT): character for column, character in enumerate(CHARACTERS)}
    assert len(glyphs) == len(CHARACTERS), "each character looks different"
    glyphs[picture.cell(0, 1, CELL_WIDTH, CELL_HEIGHT)] = " "
    text = [
        "".join(glyphs.get(picture.cell(column, row, CELL_WIDTH, CELL_HEIGHT), "\ufffd") for column in range(picture.width // CELL_WIDTH)).rstrip()
        for row in range(rows)
    ]
    assert text[:3] == [CHARACTERS, "", SENTENCE]


def test_frames_go_on_in_every_mode(screens: Screens) -> None:
    modes = re.findall(r"^mode (\d+)x(\d+) (\d+) kHz$", screens.guest["post_output"], re.MULTILINE)
    sizes = [(int(width), int(height)) for width, height, _ in modes]
    assert sizes[0] == sizes[-1] == screens.mode
    assert len(sizes) > 1
    assert "ok modes" in screens.guest["post_output"]


def test_three_hundred_flips_and_none_comes_more_than_a_frame_late(screens: Screens, capsys: pytest.CaptureFixture[str]) -> None:
    """The program tries again when one came later: this machine may have kept its processor from asking in time."""
    pattern = r"^flips (\d+) in (\d+) frames and ([\d.]+) s, (\d+) late, the latest by (\d+)$"
    *_, said = re.finditer(pattern, screens.guest["post_output"], re.MULTILINE)
    with capsys.disabled():
        print(f"\n{screens.report['platform']}: {said[0]}; {screens.picture_seconds:.2f} s to a picture")
    assert int(said[1]) == FLIPS
    assert int(said[2]) >= FLIPS
    assert int(said[5]) <= 1


def test_the_picture_is_what_a_program_drew_with_the_cursor_above(screens: Screens) -> None:
    picture = screens.pictures["places"]
    assert (picture.width, picture.height) == screens.mode
    for y in range(0, picture.height, 7):
        for x in range(0, picture.width, 11):
            left, top = x - CURSOR_AT[0], y - CURSOR_AT[1]
            under_cursor = left >= 0 and top >= 0 and left + top < CURSOR_SIZE
            expected = GREEN if under_cursor else (x >> 8 | y >> 8 << 4, y & 0xFF, x & 0xFF)
            assert picture.pixel(x, y) == expected, (x, y)


def test_nobody_else_was_touched(screens: Screens) -> None:
    assert screens.report["gpu"]["isolation_violations"] == 0
    findings = screens.report["vgpus"][0]["findings"] + screens.report["gpu"]["findings"]
    assert [finding for finding in findings if finding["kind"] != "note"] == []
