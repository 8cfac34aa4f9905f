"""What ``host-model serve`` shows of its devices to those who look: over real sockets, signals and files."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from host_model.__main__ import main
from host_model.clock import RealClock
from host_model.serving import ServedGpu, ServedHost, ServedType
from host_model.view.http import Response
from host_model.view.server import ViewAddress
from host_model.view.shows import Wanted
from host_model.view.view import Site, View
from pvinfo.frame import FRAME_HEADER
from support.lit_screen import dark, light, paint
from support.picture import read_png
from support.vfio_wire import Raw, open_fds, region_write, region_write_reply

HERE = ViewAddress("127.0.0.1", 0)


def writer(client: Raw) -> Any:
    """Writes registers as a guest's driver does."""

    def write(offset: int, value: int) -> None:
        assert client.ask(region_write(0, offset, value.to_bytes(4, "little")), 32) == region_write_reply(0, offset, 4)

    return write


def content_of(answer: Response) -> bytes:
    """What follows the head, as a client of HTTP/1.0 gets it."""
    return b"".join(list(answer.wire(chunked=False))[1:])


# ---- the page ----


class Looked:
    """A host with two vGPUs and its page, without the page's sockets: the test asks for paths itself."""

    def __init__(self, folder: Path) -> None:
        served = [ServedType("GVTg_V5_8", folder / "a.sock"), ServedType("GVTg_V5_8", folder / "<b>.sock", "guest <b>")]
        self.host = ServedHost("skl", served)
        assert isinstance(self.host.host.clock, RealClock)
        self.view = View(Site("skl", self.host.screens, self.host.report, self.host.totals))
        self.folder = folder
        self.vgpus = list(self.host.host.vgpus.values())

    def get(self, path: str) -> tuple[int, str, bytes]:
        answer = self.view.answer(path)
        return answer.status.value, answer.content_type.partition(";")[0], content_of(answer)

    def page(self) -> str:
        status, kind, content = self.get("/")
        assert (status, kind) == (200, "text/html")
        return content.decode()

    def state(self) -> dict[str, Any]:
        status, kind, content = self.get("/state.json")
        assert (status, kind) == (200, "application/json")
        state: dict[str, Any] = json.loads(content)
        return state


@pytest.fixture
def looked(tmp_path: Path) -> Iterator[Looked]:
    made = Looked(tmp_path)
    yield made
    made.host.close()


def test_a_dark_screen_has_no_picture_and_says_so(looked: Looked) -> None:
    page = looked.page()
    assert page.count('<div class="nothing">nothing is shown</div>') == 2
    assert "<img" not in page
    assert looked.get("/screen/1.png") == (404, "text/plain", b"404 Not Found: vGPU 1 shows nothing: no pipe is on\n")
    assert [(screen["picture"], screen["width"]) for screen in looked.state()["screens"]] == [(None, 0)] * 2


def test_each_screen_has_its_own_picture_at_a_path_that_changes_with_it(looked: Looked) -> None:
    light(looked.vgpus[0].mmio.write32, 40, 30, 0x102030)
    light(looked.vgpus[1].mmio.write32, 80, 60, 0xA0B0C0)
    page = looked.page()
    assert re.findall(r'<img src="([^"]*)" width="(\d+)" height="(\d+)"', page) == [
        ("/screen/1.png?1", "40", "30"),
        ("/screen/2.png?1", "80", "60"),
    ]
    for number, (width, color) in enumerate([(40, (0x10, 0x20, 0x30)), (80, (0xA0, 0xB0, 0xC0))], 1):
        status, kind, content = looked.get(f"/screen/{number}.png")
        picture = read_png(content)
        assert (status, kind, picture.width, picture.pixel(0, 0)) == (200, "image/png", width, color)
    paint(looked.vgpus[1].mmio.write32, 0xFFFFFF)
    time.sleep(0.6)
    assert "/screen/1.png?1" in looked.page() and "/screen/2.png?2" in looked.page()


def test_the_page_counts_what_the_report_counts(looked: Looked) -> None:
    looked.vgpus[0].mmio.read32(0x78000)
    for _ in range(1233):
        looked.vgpus[0].mmio.read32(0x2358)
    page, state = looked.page(), looked.state()
    assert "<tr><th>register reads</th><td>1,234</td></tr>" in page
    assert state["vgpus"][0]["mmio"]["reads"] == 1234
    assert [screen["title"] for screen in state["screens"]] == ["vGPU 1", "guest <b>"]


def test_what_guests_did_wrong_stands_in_the_page_as_text(looked: Looked) -> None:
    looked.vgpus[1].findings.fault("made-up-rule", "<script>alert(1)</script>", "text & more", value=1)
    looked.vgpus[1].findings.note("remark", "0x1234", "of no consequence")
    page = looked.page()
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and "text &amp; more" in page
    assert "guest &lt;b&gt;" in page and "&lt;b&gt;.sock" in page
    assert page.index("made-up-rule") < page.index("remark"), "the worst comes first"


def test_the_page_needs_nothing_from_elsewhere(looked: Looked) -> None:
    page = looked.page()
    assert set(re.findall(r'(?:src|href)="([^"]*)"', page)) == {"/view.css", "/view.js"}
    assert not re.search(r"https?://|<style|\son\w+=| style=", page)
    for path, kind in (("/view.css", "text/css"), ("/view.js", "text/javascript")):
        status, found, content = looked.get(path)
        assert (status, found) == (200, kind)
        assert b"http" not in content.replace(b"http-equiv", b"") and b"url(" not in content


def test_nothing_else_is_there(looked: Looked) -> None:
    for path in ("/view.py", "/screen/3.png", "/screen/0.png", "/screen/1", "/../serve.py", "/%2e%2e/serve.py", "//", "/view.css/"):
        status, _, content = looked.get(path)
        assert (path, status) == (path, 404)
        assert content == b"404 Not Found: there are /, /state.json and /screen/1.png, /screen/2.png\n"


def test_the_physical_gpu_has_a_page_as_well(tmp_path: Path) -> None:
    served = ServedGpu("skl", tmp_path / "gpu.sock")
    try:
        light(served.gpu.mmio.write32, 40, 30, 0x102030)
        view = View(Site("skl", served.screens, served.report, served.totals))
        page = content_of(view.answer("/"))
        assert b"the GPU" in page and b"physical GPU" in page
        assert read_png(content_of(view.answer("/screen/0.png"))).width == 40
        assert json.loads(content_of(view.answer("/state.json")))["vgpus"] == []
    finally:
        served.close()


# ---- on the host's loop ----


def test_whoever_looks_and_whoever_is_served_share_the_loop_and_leave_nothing(tmp_path: Path) -> None:
    before = open_fds()
    wanted = Wanted(view=HERE, frame=tmp_path / "frame")
    host = ServedHost("skl", [ServedType(None, tmp_path / f"{name}.sock") for name in "ab"], wanted=wanted)
    clients = [Raw(tmp_path / f"{name}.sock", lambda: host.step(0.005)) for name in "ab"]
    for client, color in zip(clients, (0x112233, 0x445566), strict=True):
        light(writer(client), 32, 24, color)
    frames = [tmp_path / "1-frame", tmp_path / "2-frame"]
    deadline = time.monotonic() + 10
    while any(path.stat().st_size == FRAME_HEADER.size for path in frames) and time.monotonic() < deadline:
        host.step(0.01)
    assert [path.read_bytes()[FRAME_HEADER.size :][:3] for path in frames] == [b"\x33\x22\x11", b"\x66\x55\x44"]
    clients[0].close()
    while host.devices[0].connected and time.monotonic() < deadline:
        host.step(0.01)
    dark(writer(clients[1]))
    gone, dark_now = host.picture(0), host.picture(1)
    assert gone.png is not None and read_png(gone.png).pixel(31, 23) == (0x11, 0x22, 0x33)
    assert dark_now == (None, "vGPU 2 shows nothing: no pipe is on")
    clients[1].close()
    host.close()
    assert list(tmp_path.iterdir()) == []
    assert open_fds() == before


def test_a_host_whose_view_cannot_listen_leaves_nothing(tmp_path: Path) -> None:
    before = open_fds()
    first = ServedHost("skl", [ServedType(None, tmp_path / "a.sock")], wanted=Wanted(view=HERE))
    assert first.view_url is not None
    port = int(first.view_url.rstrip("/").rpartition(":")[2])
    with pytest.raises(Exception, match="Address already in use"):
        ServedHost("skl", [ServedType(None, tmp_path / "b.sock")], wanted=Wanted(view=HERE._replace(port=port), frame=tmp_path / "frame"))
    assert [path.name for path in tmp_path.iterdir()] == ["a.sock"]
    first.close()
    assert open_fds() == before


# ---- the command ----


class Serving:
    """``host-model serve`` with a client that draws."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.folder = folder
        self.path = folder / "gpu.sock"
        command = [sys.executable, "-m", "host_model", "serve", "--socket", str(self.path), *words]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert self.line() == f"ready {self.path}"

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def connect(self) -> Raw:
        return Raw(self.path, lambda: time.sleep(0.001))

    def until(self, path: Path) -> None:
        deadline = time.monotonic() + 10
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.01)

    def end(self) -> tuple[int, str]:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        _, errors = self.process.communicate(timeout=20)
        return self.process.returncode, errors


def test_a_signal_takes_a_picture_at_once_and_the_end_another(tmp_path: Path) -> None:
    picture = tmp_path / "now.png"
    serving = Serving(tmp_path, "--screenshot", str(picture), "--json", str(tmp_path / "report.json"))
    client = serving.connect()
    light(writer(client), 32, 24, 0x112233)
    asked = time.monotonic()
    serving.process.send_signal(signal.SIGUSR1)
    serving.until(picture)
    assert time.monotonic() - asked < 2.0
    assert read_png(picture.read_bytes()).pixel(0, 0) == (0x11, 0x22, 0x33)
    paint(writer(client), 0x445566)
    status, errors = serving.end()
    assert (status, errors) == (0, "")
    assert read_png(picture.read_bytes()).pixel(0, 0) == (0x44, 0x55, 0x66)
    assert json.loads((tmp_path / "report.json").read_text())["ok"] in (True, False)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["now.png", "report.json"]
    client.close()


def test_once_the_last_client_has_gone_the_picture_is_of_what_it_left(tmp_path: Path) -> None:
    serving = Serving(tmp_path, "--screenshot", str(tmp_path / "end.raw"), "--once")
    client = serving.connect()
    light(writer(client), 32, 24, 0x112233)
    client.close()
    assert serving.process.wait(20) == 0
    assert serving.end() == (0, "")
    data = (tmp_path / "end.raw").read_bytes()
    assert FRAME_HEADER.parse(data[: FRAME_HEADER.size]).width == 32 and data.endswith(b"\x33\x22\x11\0")


def test_who_shows_nothing_is_named_and_no_file_is_written(tmp_path: Path) -> None:
    serving = Serving(tmp_path, "--screenshot", str(tmp_path / "end.png"))
    assert serving.end() == (0, f"vGPU 1 shows nothing: no pipe is on; {tmp_path}/end.png is not written\n")
    assert list(tmp_path.iterdir()) == []


def test_the_page_is_where_the_command_says(tmp_path: Path) -> None:
    serving = Serving(tmp_path, "--view", "0")
    word, url = serving.line().split()
    assert word == "view" and re.fullmatch(r"http://127\.0\.0\.1:\d+/", url)
    client = serving.connect()
    light(writer(client), 32, 24, 0x112233)
    with urllib.request.urlopen(url, timeout=10) as answer:
        assert b"connected" in answer.read()
    with urllib.request.urlopen(f"{url}screen/1.png", timeout=10) as answer:
        assert answer.headers["Content-Type"] == "image/png"
        assert read_png(answer.read()).pixel(0, 0) == (0x11, 0x22, 0x33)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(url, data=b"change something", timeout=10)
    assert refused.value.code == 405
    refused.value.close()
    client.close()
    assert serving.end() == (0, "")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--view", "0.0.0.0:80"], "--view 0.0.0.0:80: 0.0.0.0 is not loopback, and whoever reaches it sees the guests' screens; --view-anywhere allows that"),
        (["--view-anywhere"], "--view-anywhere goes with --view [HOST:]PORT"),
        (["--screenshot", "picture.jpg"], "--screenshot picture.jpg: the name ends in .png or .raw, which tells the format"),
        (["--screenshot", "/nowhere/a.png"], "--screenshot: /nowhere/a.png cannot be written: /nowhere must be a folder that this user may write in"),
        (["--frame", "/nowhere/frame"], "--frame: /nowhere/frame cannot be made: No such file or directory"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert main(["serve", "--socket", str(tmp_path / "gpu.sock"), *words]) == 2
    assert capsys.readouterr() == ("", f"host-model serve: error: {why}\n")
    assert list(tmp_path.iterdir()) == []
