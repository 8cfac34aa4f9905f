"""``guest-driver campaign``: what it prints and writes, and that it can be ended in any way and goes on where it was."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest

from guest_driver.__main__ import main
from guest_driver.scenarios.campaign import Unit
from support.campaigns import users_file

_PATIENCE_S = 120


@pytest.fixture
def words(tmp_path: Path) -> list[str]:
    """A small campaign."""
    file = users_file(tmp_path)
    return ["campaign", f"{file}::toss", f"{file}::plain", "newer-version", "--platform", "skl,bdw", "--seeds", "1-5,9", "--jobs", "2"]


class _Links(HTMLParser):
    """Where a page leads to, and what it would fetch from elsewhere."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.fetched: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name == "href" and value:
                self.targets.append(value)
            elif name == "src" and value and not value.startswith("data:"):
                self.fetched.append(value)


def test_a_campaign_writes_one_page_over_all_with_the_failures_and_their_own_pages(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, target = tmp_path / "new" / "out", tmp_path / "campaign.json"
    assert main([*words, "--report", str(out), "--json", str(target)]) == 1
    printed = capsys.readouterr()
    report = json.loads(target.read_text())
    assert (report["ok"], report["platforms"], report["seeds"]) == (False, ["skl", "bdw"], [1, 2, 3, 4, 5, 9])
    assert len(report["results"]) == 16 == report["passed"] + report["failed"] and report["skipped"] == 0
    assert 1 <= report["failed"] == len(report["failures"]) < 12
    for failure in report["failures"]:
        assert failure["command"] == f"guest-driver run {tmp_path}/my_scenarios.py::toss --platform {failure['platform']} --seed {failure['seed']}"
        assert f"failed   {failure['command']}\n         {failure['reason']}\n" in printed.err
    assert re.fullmatch(
        rf"skl, bdw: {report['passed']} passed, {report['failed']} failed, 0 skipped, \d+\.\d s; written: {target}, {out}/index\.html\n", printed.out
    )
    assert printed.err.splitlines()[-1].startswith(f"16/16 units, {report['failed']} failed, ") and "\033" not in printed.err

    page = (out / "index.html").read_text()
    links = _Links(page)
    assert links.fetched == []
    for link in links.targets:
        file, _, place = link.partition("#")
        assert not file or (out / file).is_file()
        assert not place or f'id="{place}"' in page
    pages = [link for link in links.targets if link.startswith("failures/")]
    assert len(pages) == sum(min(5, sum(failure["platform"] == platform for failure in report["failures"])) for platform in ("skl", "bdw"))
    shown = [(out / link).read_text() for link in pages]
    assert all('<span class="badge failed">' in text and "expected heads, but it is tails" in text for text in shown)
    assert page.index('id="failures"') < page.index('id="family-0"'), "failures come first"
    for platform in ("skl", "bdw"):
        failed = sum(failure["platform"] == platform for failure in report["failures"])
        assert f'<span class="badge passed" title="passed">{6 - failed}</span> <span class="badge failed" title="failed">{failed}</span>' in page
    assert page.count('<span class="badge passed" title="passed">1</span></td>') >= 2, "what leaves nothing to chance was played once"


def test_the_command_of_a_failure_plays_it_again(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "--json", "-"]) == 1
    printed = capsys.readouterr()
    failure = json.loads(printed.out)["failures"][0]
    assert printed.err.splitlines()[-1].startswith("skl, bdw: "), "standard output is nothing but JSON"
    assert main(failure["command"].split()[1:]) == 1
    assert failure["reason"] in capsys.readouterr().out


def test_a_campaign_of_the_kits_own_on_all_platforms_passes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "second-vgpu-table", "newer-version", "--platform", "all", "--type", "8,4", "--seeds", "3", "--jobs", "2", "--json", "-"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert (report["passed"], report["failed"]) == (5 * 2 * 2, 0)
    assert {result["vgpu_type"] for result in report["results"] if result["platform"] == "bdw"} == {"GVTg_V4_8", "GVTg_V4_4"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--platform", "skl,hsw"], "no platform 'hsw'; there are bdw, skl, bxt, kbl, cfl"),
        (["--type", "3"], "no vGPU type 'GVTg_V5_3' on skl"),
        (["--hypervisor", "qnx"], "no hypervisor 'qnx': there are local, kvm, xen, acrn"),
        (["--json", "/nowhere/run.json"], "/nowhere/run.json cannot be written: /nowhere is no directory"),
        (["--journal", "/nowhere/journal"], "/nowhere/journal cannot be used as a journal: No such file or directory"),
        (["--seeds", "1,1"], "seed 1 is in the campaign twice"),
    ],
)
def test_what_means_nothing_is_an_error_before_anything_is_played(more: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["campaign", "newer-version", *more]) == 2
    assert capsys.readouterr().err.startswith(f"guest-driver campaign: error: {message}")


@pytest.mark.parametrize("seeds", ["x", "5-3", "1-", "", "-4", "1..3"])
def test_what_is_no_seed_is_refused(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["campaign", f"--seeds={seeds}"])
    assert "is no seed and no range of seeds, such as 1-20" in capsys.readouterr().err


def test_the_journal_of_another_campaign_is_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = ["--journal", str(tmp_path / "journal")]
    main([*words, *journal])
    capsys.readouterr()
    assert main([*words, *journal, "--platform", "skl"]) == 2
    refused = capsys.readouterr()
    assert refused.err == f"guest-driver campaign: error: {tmp_path}/journal is the journal of another campaign: platforms skl, bdw there, skl here\n"
    assert main([*words, *journal]) == 1
    assert capsys.readouterr().err.startswith("16 of 16 units are in the journal\n")


# ---- ends ----


def _children(pid: int) -> set[int]:
    """Processes that descend from one, and it itself."""
    parents: dict[int, int] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            parents[int(path.parent.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found and child not in found}:
        found |= more
    return found


def _gone(pids: set[int]) -> bool:
    """All of them have ended, or do so soon."""
    deadline = time.monotonic() + _PATIENCE_S
    while time.monotonic() < deadline:
        if not any(Path(f"/proc/{pid}").exists() and "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text() for pid in pids):
            return True
        time.sleep(0.05)
    return False


def _end_in_the_midst(words: list[str], journal: Path, number: signal.Signals) -> tuple[int, str]:
    """Begin a campaign, and send it a signal when some units are done; its status and what it said."""
    command = [sys.executable, "-m", "guest_driver", *words, "--journal", str(journal)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True) as process:
        deadline = time.monotonic() + _PATIENCE_S
        while not journal.exists() or journal.read_bytes().count(b"\n") < 6:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.01)
        family = _children(process.pid)
        process.send_signal(number)
        _, said = process.communicate(timeout=_PATIENCE_S)
    assert len(family) >= 4, "the command, the server of processes and two workers at least"
    assert _gone(family)
    return process.returncode, said


def _resumed(words: list[str], journal: Path, capsys: pytest.CaptureFixture[str]) -> list[Unit]:
    """Do the rest: units in the report, in its order."""
    done = journal.read_bytes().count(b"\n") - 1
    assert 5 <= done < 60
    assert main([*words, "--journal", str(journal), "--json", "-"]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(f"{done} of 61 units are in the journal\n")
    return [Unit(**{field: result[field] for field in Unit._fields}) for result in json.loads(printed.out)["results"]]


_LONG = ["campaign", "second-vgpu-table", "newer-version", "--seeds", "1-60", "--jobs", "2"]
_UNITS = [Unit("newer-version", "skl"), *(Unit("second-vgpu-table", "skl", seed=seed) for seed in range(1, 61))]


def test_a_campaign_that_is_killed_goes_on_and_plays_every_unit_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = tmp_path / "journal"
    assert _end_in_the_midst(_LONG, journal, signal.SIGKILL)[0] == -signal.SIGKILL
    assert sorted(_resumed(_LONG, journal, capsys), key=str) == sorted(_UNITS, key=str)
    lines = [json.loads(line) for line in journal.read_text().splitlines()[1:]]
    assert len(lines) == len({line["seed"] for line in lines}) == 61


def test_ctrl_c_leaves_the_journal_whole_and_no_process_behind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = tmp_path / "journal"
    status, said = _end_in_the_midst(_LONG, journal, signal.SIGINT)
    done = journal.read_bytes().count(b"\n") - 1
    assert status == 128 + signal.SIGINT
    assert said.splitlines()[-2:] == [f"{done} units are in {journal}; the same command goes on from there", "guest-driver campaign: interrupted"]
    assert "Traceback" not in said
    assert journal.read_bytes().endswith(b"\n")
    assert sorted(_resumed(_LONG, journal, capsys), key=str) == sorted(_UNITS, key=str)


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["campaign", "--help"])
    assert "examples:\n  guest-driver campaign " in capsys.readouterr().out


def test_list_says_what_seeds_vary(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = users_file(tmp_path)
    assert main(["list", f"{file}::toss", f"{file}::come_back", f"{file}::plain"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if not line.startswith("#")] == [
        "toss       Heads come up. Seeds vary how long the guest waits, and which side comes up.",
        "come-back  It comes back. Seeds vary whether it comes back.",
        "plain      It leaves nothing to chance.",
    ]
