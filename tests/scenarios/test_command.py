"""``guest-driver list`` and ``guest-driver run``: what they print, write and return; users' own scenario files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from guest_driver.__main__ import main
from guest_driver.scenarios import built_in, select
from pvinfo.trace import Op, read_trace

USERS_FILE = '''\
"""Scenarios of somebody's own."""

from pvinfo.page import PvInfo

from guest_driver.scenarios import Needs, Slice, Stage, scenario


@scenario(needs=Needs(type_suffix="4", mappable=Slice(after=0)))
def quarter_at_the_top(stage: Stage) -> None:
    """A quarter of the GPU at the end of the aperture."""
    stage.step("the driver probes")
    driver = stage.guest.driver()
    driver.probe()
    stage.check("its slice of the aperture", driver.resources.mappable.base, 128 << 20)
    stage.host_view("the guest's display is ready", lambda vgpu: vgpu.pv.display_ready, True)


@scenario(name="no-such-luck")
def fails(stage: Stage) -> None:
    """The page promises 33 fences."""
    stage.step("the page is read")
    stage.check("number of fences", PvInfo(stage.guest.mmio).fence_num, 33)
'''


@pytest.fixture
def users_file(tmp_path: Path) -> Path:
    path = tmp_path / "my_scenarios.py"
    path.write_text(USERS_FILE)
    return path


# ---- list ----


def test_list_names_every_scenario_with_its_purpose(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    printed = capsys.readouterr().out.splitlines()
    lines = [line for line in printed if not line.startswith("# ")]
    assert [line.split()[0] for line in lines] == list(built_in())
    assert [line for line in printed if line.startswith("# ")] == [
        "# Being a guest, on a vGPU", "# Engines at work, on the physical GPU", "# Engines at work, on a vGPU",
        "# Engines at work, on the host's own device", "# Work through a mediator, on a vGPU", "# Showing a picture, on a vGPU",
        "# Showing a picture, on the physical GPU", "# Showing a picture, on the host's own device",
    ]  # fmt: skip
    assert printed[0].startswith("# ")
    assert printed[printed.index("# Engines at work, on the physical GPU") + 1].startswith("first-request ")
    assert printed[printed.index("# Engines at work, on a vGPU") + 1].startswith("first-request-on-vgpu ")
    assert lines[0].endswith("  The driver finds the page, accepts the offer, keeps to its share and tells the host that its display is ready.")
    assert all(line.endswith(".") for line in lines), "a purpose is a sentence"


def test_list_shows_what_a_pattern_or_a_file_means(users_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "refuse-no-*", str(users_file)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("#")] == ["# Being a guest, on a vGPU", f"# {users_file}, on a vGPU"]
    names = [line.split()[0] for line in lines if not line.startswith("#")]
    assert names == ["refuse-no-full-ppgtt", "refuse-no-hwsp-emulation", "refuse-no-capabilities", "refuse-no-aperture", "quarter-at-the-top", "no-such-luck"]


# ---- run ----


def test_a_run_prints_a_line_per_scenario_and_a_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "probe", "native_fallback", "--platform", "kbl"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"passed   probe             21 checks   1\d\d\d accesses    20\.\d\d\d ms", lines[0]), "engines do the first work at once, and are left 20 ms to come to rest"
    assert lines[1].startswith("passed   native-fallback")
    assert lines[2].startswith("kbl, in process: 2 passed, 0 failed, 0 skipped, ")
    assert "\033" not in "".join(lines)


def test_a_run_writes_json_report_and_traces(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new" / "report"
    words = ["probe", "fence-*", "second-vgpu-*", "first-request", "two-guests-draw"]
    chosen = [scenario.name for scenario in select(words)]
    assert main(["run", *words, "--json", str(tmp_path / "run.json"), "--report", str(out), "--trace", str(tmp_path / "traces"), "--seed", "3"]) == 0
    report = json.loads((tmp_path / "run.json").read_text())
    assert (report["ok"], report["platform"], report["seed"]) == (True, "skl", 3)
    assert [scenario["name"] for scenario in report["scenarios"]] == chosen
    assert (report["passed"], report["failed"], report["skipped"]) == (len(chosen), 0, 0)
    probe = report["scenarios"][0]
    assert probe["outcome"] == "passed"
    assert [step["checks"] for step in probe["steps"]] == [1, 6, 2, 3, 2, 7]
    assert probe["checks"][0] == {
        "step": 1, "what": "the host knows that its guest reads the page", "view": "host's view", "held": True,
        "expected": "no", "actual": "no", "place": probe["checks"][0]["place"],
    }  # fmt: skip
    assert probe["checks"][0]["place"].startswith("probe.py:")
    assert probe["accesses"]["table entry write"] == report["vgpus"][0]["ggtt_writes"] > 70
    assert probe["seconds_virtual"] > 0
    assert (report["vgpus"][0]["scenario"], report["vgpus"][0]["type"]) == ("probe", "GVTg_V5_8")
    faulty = next(scenario for scenario in report["scenarios"] if scenario["name"] == "fence-beyond-count")
    faults = [finding["rule"] for finding in faulty["findings"] if finding["kind"] == "guest fault"]
    assert faults == ["fence-not-owned", "fence-not-owned"]

    rows = read_trace(tmp_path / "traces" / "probe.tsv")
    page = [(row.size, row.offset) for row in rows if row.op is Op.READ and 0x78000 <= row.offset < 0x79000]
    assert page == [(8, 0x78000), (2, 0x78008), (4, 0x78010), (4, 0x78050), (4, 0x78040), (4, 0x78044), (4, 0x78048), (4, 0x7804C)]
    assert (tmp_path / "traces" / "second-vgpu-fences.2.tsv").is_file()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "run.json", "traces"], "no half file is left"
    assert {path.name for path in out.iterdir()} == {"index.html", "report.css", *(f"{scenario['name']}.html" for scenario in report["scenarios"])}
    assert (out / "probe.html").stat().st_size > 50_000
    assert "new/report/index.html" in capsys.readouterr().out


class _Outside(HTMLParser):
    """Everything that a page would fetch from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.targets: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "href" and value and tag in ("a", "link"):
                self.targets.append(value)
            elif (name in ("src", "href") and value and not value.startswith("data:")) or tag in ("script", "iframe"):
                self.found.append(f"{tag} {name}={value}")


def test_the_report_is_pages_that_need_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "probe", "second-vgpu-table", "--report", str(tmp_path)]) == 0
    names = {path.name for path in tmp_path.iterdir()}
    pages = {name: (tmp_path / name).read_text() for name in names}
    for name, page in pages.items():
        parser = _Outside()
        parser.feed(page)
        assert parser.found == []
        for target in parser.targets:
            file, _, place = target.partition("#")
            assert file in names, f"{name} leads to {target}"
            assert not place or f'id="{place}"' in pages[file]
        if name.endswith(".html"):
            assert {"probe.html", "second-vgpu-table.html", "index.html#states"} <= set(parser.targets)
    assert pages["second-vgpu-table.html"].count('<svg class="timeline"') == 2, "one for each guest"
    assert "RCS0.mi_mode (0x209c)" in pages["probe.html"]
    assert "guest fault" in pages["second-vgpu-table.html"] and "ggtt-outside-slice" in pages["second-vgpu-table.html"]
    capsys.readouterr()


def test_json_on_standard_output_is_nothing_but_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "probe", "--json", "-"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["ok"] is True
    assert printed.err.startswith("passed   probe")


# ---- users' files ----


def test_a_file_of_ones_own_is_played_and_a_failing_scenario_shows_both_values(users_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    target = users_file.with_name("run.json")
    assert main(["run", str(users_file), "--json", str(target)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("passed   quarter-at-the-top")
    assert lines[1].startswith("failed   no-such-luck")
    assert lines[2].strip() == "my_scenarios.py:22: number of fences (guest's view): expected 33, but it is 4"
    report = json.loads(target.read_text())
    assert report["ok"] is False
    failed = report["scenarios"][1]
    assert (failed["outcome"], failed["checks"][0]["expected"], failed["checks"][0]["actual"]) == ("failed", "33", "4")


def test_one_scenario_of_a_file_can_be_chosen(users_file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", f"{users_file}::quarter_at_the_top", "--platform", "bdw"]) == 0
    assert "1 passed, 0 failed, 0 skipped" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def broken(:\n", r"my\.py:1: SyntaxError: "),
        ("import guest_driver\n\nguest_driver.nonsense()\n", r"my\.py:3: AttributeError: module 'guest_driver' has no attribute 'nonsense'"),
        ("raise SystemExit('stop')\n", r"my\.py:1: SystemExit: stop"),
        ("x = 1\n", r"my\.py has no scenario: a function with @guest_driver\.scenarios\.scenario\(\) is one"),
        (
            "from guest_driver.scenarios import scenario\n@scenario()\ndef mute(stage):\n    pass\n",
            r"my\.py:2: scenario mute has no docstring; its first sentence is its purpose",
        ),
        (
            "from guest_driver.scenarios import scenario\n@scenario()\ndef one(stage):\n    'A.'\n@scenario(name='one')\ndef two(stage):\n    'B.'\n",
            r"my\.py:5: scenario one is also at .*my\.py:2",
        ),
    ],
)
def test_a_broken_file_is_an_error_that_names_file_and_line(tmp_path: Path, text: str, message: str, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.py"
    path.write_text(text)
    assert main(["run", str(path)]) == 2
    assert re.search(message, capsys.readouterr().err)


def test_an_error_inside_a_scenario_fails_it_with_its_line_and_the_others_go_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "my.py"
    path.write_text(
        "from guest_driver.scenarios import scenario\n"
        "@scenario()\ndef raises(stage):\n    'It divides.'\n    stage.step('division')\n    1 // 0\n"
        "@scenario()\ndef works(stage):\n    'It waits.'\n    stage.guest.wait(5_000_000)\n    stage.check('time', stage.elapsed_ns(), 5_000_000)\n"
        "@scenario()\ndef skips(stage):\n    'It means nothing.'\n    stage.skip('not today')\n"
        "@scenario()\ndef wrong_guest(stage):\n    'It breaks a rule.'\n    stage.guest.mmio.write32(0x78000, 0)\n    stage.check('nothing', 0, 0)\n"
    )
    assert main(["run", str(path)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].strip() == "my.py:6: ZeroDivisionError: integer division or modulo by zero"
    assert lines[2].startswith("passed   works") and lines[2].endswith("5.000 ms")
    assert lines[3] == "skipped  skips        not today"
    assert lines[4].startswith("failed   wrong-guest")
    assert "the host accuses guest 1 of nothing else (host's view): expected none, but it is pvinfo-read-only at pvinfo.magic (0x78000)" in lines[5]


# ---- what cannot be ----


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["baloon-type-8"], "no scenario 'baloon-type-8'; did you mean balloon-type-8, "),
        (["zzz"], "no scenario 'zzz' (guest-driver list shows all)"),
        (["missing.py"], "no scenario file missing.py"),
        (["--platform", "hsw"], "no platform 'hsw'; there are bdw, skl, bxt, kbl, cfl"),
        (["--type", "GVTg_V5_3"], "no vGPU type 'GVTg_V5_3' on skl"),
        (["--aperture", "300"], "an aperture of 300 MiB: it is a power of two"),
        (["--json", "/nowhere/run.json"], "/nowhere/run.json cannot be written: /nowhere is no directory"),
        (["--report", "/proc/nowhere"], "/proc/nowhere cannot be made: "),
    ],
)
def test_what_means_nothing_is_an_error_before_anything_is_played(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", *words]) == 2
    printed = capsys.readouterr()
    assert printed.err.startswith(f"guest-driver run: error: {message}")
    assert printed.out == ""


def test_ctrl_c_ends_the_run_and_leaves_no_file(tmp_path: Path) -> None:
    path = tmp_path / "my.py"
    path.write_text(
        "import os, signal\nfrom guest_driver.scenarios import scenario\n"
        "@scenario()\ndef interrupted(stage):\n    'Somebody presses a key.'\n    os.kill(os.getpid(), signal.SIGINT)\n"
    )
    command = [sys.executable, "-m", "guest_driver", "run", str(path), "--json", str(tmp_path / "run.json"), "--report", str(tmp_path / "out")]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}, check=False)
    assert ended.returncode == 128 + signal.SIGINT
    assert ended.stderr.strip() == "guest-driver run: interrupted"
    assert sorted(found.name for found in tmp_path.iterdir()) == ["my.py", "out"]
    assert list((tmp_path / "out").iterdir()) == []


def test_help_shows_examples_and_version_the_kits(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["run", "--help"], ["list", "--help"]):
        with pytest.raises(SystemExit, match="0"):
            main(words)
        assert "examples:\n  guest-driver " in capsys.readouterr().out
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert re.fullmatch(r"guest-driver \d+\.\d+\.\d+\n", capsys.readouterr().out)
