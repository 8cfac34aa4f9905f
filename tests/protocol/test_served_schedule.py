"""Guests behind sockets share the GPU by the policy that was chosen; who had it when is told at the end."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
from support.serving import serving

from guest_driver.__main__ import main as play
from host_model.__main__ import main


@pytest.mark.parametrize("scheduler", ["fair", "gvt", "round-robin"])
def test_two_guests_have_their_work_done_and_the_end_tells_how(tmp_path: Path, scheduler: str) -> None:
    picture, report = tmp_path / "who-when.svg", tmp_path / "report.json"
    words = ["--scheduler", scheduler, "--timeline", str(picture), "--json", str(report)]
    with serving(tmp_path, "GVTg_V5_8", "GVTg_V5_4", words=words) as sockets:
        assert play(["run", "two-guests-draw", *(word for socket in sockets for word in ("--connect", str(socket)))]) == 0
    told = json.loads(report.read_text())
    assert (told["gpu"]["schedule"]["policy"], told["gpu"]["isolation_violations"]) == (scheduler, 0)
    shares = [vgpu["schedule"] for vgpu in told["vgpus"]]
    assert [share["weight"] for share in shares] == [2, 4]
    assert all(share["used_ns"] > 0 and share["turns"] > 0 for share in shares)
    assert sum(share["used_ns"] for share in shares) == told["gpu"]["schedule"]["used_ns"]
    texts = [text.text for text in ElementTree.fromstring(picture.read_text()).iter("{http://www.w3.org/2000/svg}text")]
    assert {"vGPU 1 (weight 2)", "vGPU 2 (weight 4)"} <= set(texts)


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--scheduler", "lottery"], "no scheduler 'lottery': there are fair, gvt, round-robin"),
        (["--physical", "--scheduler", "gvt"], "--scheduler, --switching and --timeline are of vGPUs: with --physical, one machine has the GPU to itself"),
        (["--timeline", "/nowhere/a.svg"], "--timeline: /nowhere/a.svg cannot be written: /nowhere must be a folder that this user may write in"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_served(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], why: str
) -> None:
    assert main(["serve", "--socket", str(tmp_path / "gpu.sock"), *words]) == 2
    assert capsys.readouterr() == ("", f"host-model serve: error: {why}\n")
    assert list(tmp_path.iterdir()) == []
