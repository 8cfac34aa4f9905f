"""``pvinfo trace show`` and ``stats``: traces to read, and in numbers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pvinfo.__main__ import main
from pvinfo.notify import Notification
from pvinfo.register_index import describe_access, describe_value, name_of, register_at
from pvinfo.registers import FenceLow, MiMode
from pvinfo.trace import Op, TraceRow, open_trace
from pvinfo.trace_show import is_paravirtual, rows_between, show_rows
from pvinfo.trace_stats import AccessCount, trace_stats

ROWS = [
    TraceRow(0, Op.CONFIG_WRITE, 2, 0x04, 0x0103, 1),
    TraceRow(5, Op.READ, 8, 0x78000, 0x4776544776544776, 1),
    TraceRow(5, Op.READ, 2, 0x78008, 1, 1),
    TraceRow(6, Op.WRITE, 4, 0x209C, 0x01000100, 1),
    TraceRow(6, Op.READ, 4, 0x209C, 0x0200, 3),
    TraceRow(7, Op.WRITE, 4, 0x100000, 0x00010003, 1),
    TraceRow(8, Op.GGTT_WRITE, 8, 0x80000, 0x1234001, 2),
    TraceRow(9, Op.WRITE, 4, 0x78818, 4, 1),
    TraceRow(9, Op.WRITE, 4, 0x78818, 99, 1),
    TraceRow(9, Op.READ, 4, 0x1FFFF0, 0xFFFFFFFF, 7),
    TraceRow(12, Op.APERTURE_WRITE, 4, 0x1000, 0xABCD, 1),
]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    path = tmp_path / "run.tsv"
    with open_trace(path, "recorded by a test") as writer:
        for row in ROWS:
            for _ in range(row.repeat):
                writer.add(row.ms, row.op, row.size, row.offset, row.value)
    return path


# ---- names and meanings ----


@pytest.mark.parametrize(
    ("offset", "name"),
    [
        (0x209C, "RCS0.mi_mode"),
        (0x1A230, "VECS0.elsp"),
        (0x24D8, "RCS0.force_to_nonpriv[2]"),
        (0x78004, "PvInfo.magic"),
        (0x7800A, "PvInfo.version_minor"),
        (0x78844, "PvInfo.pdp.1.hi"),
        (0x78900, "PvInfo.rsv7"),
        (0x1000FC, "FENCE31.hi"),
        (0x209D, "RCS0.mi_mode"),
        (0x1FFFF0, ""),
    ],
)
def test_an_offset_is_named_by_field_register_or_nothing(offset: int, name: str) -> None:
    assert name_of(offset) == name


def test_a_register_that_only_the_kernel_tracks_has_the_kernels_name() -> None:
    from pvinfo.registers.tracked import tracked_runs

    run = next(run for run in tracked_runs("skl") if run.kernel_name and run.size == 4 and register_at(run.offset) is None)
    assert name_of(run.offset) == run.kernel_name


def test_a_write_to_a_masked_register_tells_what_it_sets_and_clears() -> None:
    assert describe_access(0x209C, 0x01000100, write=True) == "set stop_ring"
    assert describe_access(0x209C, 0x01000000, write=True) == "clear stop_ring"
    assert describe_access(0x209C, 0x10401000, write=True) == "set flush_enable; clear vs_timer_dispatch"
    assert describe_access(0x209C, 0x00000100, write=True) == "nothing enabled"
    assert describe_access(0x209C, 0x00000200, write=False) == "idle"


def test_values_are_told_in_the_words_of_their_type() -> None:
    assert describe_value(FenceLow, 0x00010003) == "valid, tiling=Y, start_page=0x10"
    assert describe_value(MiMode, 0x8200) == "idle, undeclared bits 0x8000"
    assert describe_value(MiMode, 0) == ""
    assert describe_value(Notification, 5) == "PPGTT_L4_PAGE_TABLE_DESTROY"
    assert describe_value(Notification, 1) == "unknown"
    assert describe_value(int, 5) == ""


# ---- show ----


def test_rows_are_shown_with_names_meanings_and_repeats() -> None:
    lines = [line.split() for line in show_rows(ROWS)]
    assert lines[0][2:] == ["config", "write", "2", "0x0000004", "0x0000000103", "command"]
    assert lines[1][2:] == ["read", "8", "0x0078000", "0x4776544776544776", "PvInfo.magic", "the", "magic"]
    assert lines[3][2:] == ["write", "4", "0x000209c", "0x0001000100", "RCS0.mi_mode", "set", "stop_ring"]
    assert lines[4][2:] == ["read", "4", "0x000209c", "0x0000000200", "x3", "RCS0.mi_mode", "idle"]
    assert " ".join(lines[6][7:]) == "x2 entry of graphics address 0x10000000 bus address 0x1234000"
    assert lines[7][-1] == "PPGTT_L4_PAGE_TABLE_CREATE"
    assert lines[9][2:] == ["read", "4", "0x01ffff0", "0x00ffffffff", "x7"]


def test_after_the_limit_one_line_says_how_much_is_left() -> None:
    lines = list(show_rows(ROWS, limit=2))
    assert len(lines) == 3
    assert lines[-1] == "... 9 more rows"
    assert len(list(show_rows(ROWS, limit=len(ROWS)))) == len(ROWS)


def test_a_range_takes_every_access_that_touches_it() -> None:
    assert [row.offset for row in rows_between(ROWS, 0x78007, 0x78008)] == [0x78000, 0x78008]
    assert list(rows_between(ROWS, 0x78008, 0x78008)) == [ROWS[2]]
    assert list(rows_between(ROWS, 0x4, 0x4)) == []


def test_the_paravirtual_part_is_page_fences_and_table_entries() -> None:
    assert [row.offset for row in ROWS if is_paravirtual(row)] == [0x78000, 0x78008, 0x100000, 0x80000, 0x78818, 0x78818]


# ---- stats ----


def test_accesses_are_counted_by_register_block_and_kind() -> None:
    stats = trace_stats(ROWS)
    assert (stats.rows, stats.milliseconds) == (11, 12)
    assert stats.accesses == {Op.READ: 12, Op.WRITE: 4, Op.GGTT_WRITE: 2, Op.APERTURE_WRITE: 1, Op.CONFIG_WRITE: 1}
    assert stats.blocks == {
        "(undeclared)": AccessCount(7, 0),
        "EngineRegisters": AccessCount(3, 1),
        "PvInfo": AccessCount(2, 2),
        "FenceRegister": AccessCount(0, 1),
    }
    assert list(stats.blocks)[0] == "(undeclared)"
    assert stats.registers[0x209C] == AccessCount(3, 1)
    assert stats.undeclared == {0x1FFFF0: AccessCount(7, 0)}
    assert stats.pvinfo == AccessCount(2, 2)
    assert stats.notifications == {Notification.PPGTT_L4_PAGE_TABLE_CREATE: 1, 99: 1}
    assert stats.ggtt_entries == 2


def test_an_empty_trace_counts_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open_trace(tmp_path / "empty.tsv"):
        pass
    assert main(["trace", "stats", str(tmp_path / "empty.tsv")]) == 0
    assert capsys.readouterr().out.startswith("0 accesses in 0 rows over 0 ms")
    assert main(["trace", "show", str(tmp_path / "empty.tsv")]) == 0
    assert capsys.readouterr().out == ""


# ---- the commands ----


def test_show_filters_and_limits(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "show", str(trace), "--pv", "--limit", "1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1] == "... 5 more rows"
    assert main(["trace", "show", str(trace), "--range", "0x2000-0x2fff"]) == 0
    assert [line.split()[4] for line in capsys.readouterr().out.splitlines()] == ["0x000209c", "0x000209c"]


def test_stats_lists_the_most_accessed_registers_first(trace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "stats", str(trace), "--top", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    at = next(number for number, line in enumerate(lines) if "register (first 2 of 6)" in line)
    assert [line.split()[2] for line in lines[at + 1 : at + 3]] == ["0x1ffff0", "0x00209c"]
    assert "  unknown notification 0x63: 1" in lines


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["trace", "show", "x.tsv", "--range", "0x20-0x10"], "'0x20-0x10' ends before it begins"),
        (["trace", "show", "x.tsv", "--range", "here"], "'here' is no range of offsets"),
        (["trace", "show", "x.tsv", "--limit", "0"], "'0' is no number from 1 up"),
        (["trace"], "required: ACTION"),
        ([], "required: COMMAND"),
        (["docs"], "required: --out"),
        (["docs", "--out", "x", "--format", "pdf"], "invalid choice: 'pdf'"),
    ],
)
def test_wrong_arguments_are_a_usage_error(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "trace at byte 0x0: no header row: this is not a trace"),
        ("ms\top\tsize\toffset\tvalue\trepeat\n0\tR\t4\t0x10\n", "trace.line 2 at byte 0x0: "),
        ("\x7fELF", "trace.line 1 at byte 0x0: the header row is"),
    ],
)
def test_a_file_that_is_no_trace_is_one_line_of_error_and_status_1(tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str, told: str) -> None:
    path = tmp_path / "wrong.tsv"
    path.write_text(content)
    assert main(["trace", "show", str(path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"pvinfo: error: {path}: {told}")
    assert error.count("\n") == 1


def test_a_trace_that_is_not_there_or_no_xz_is_said_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trace", "stats", str(tmp_path / "none.tsv")]) == 2
    assert "none.tsv cannot be read: No such file or directory" in capsys.readouterr().err
    (tmp_path / "wrong.tsv.xz").write_bytes(b"not compressed")
    assert main(["trace", "stats", str(tmp_path / "wrong.tsv.xz")]) == 1
    assert "is not a trace" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["docs"], ["decode"], ["trace"], ["trace", "show"], ["trace", "stats"], ["trace", "diff"]])
def test_every_command_shows_examples_in_its_help(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--help"])
    assert ended.value.code == 0
    text = capsys.readouterr().out
    assert "examples:\n  pvinfo " in text


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from pvinfo import __version__

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"pvinfo {__version__}\n"


def test_the_docs_command_says_where_to_begin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "protocol"
    assert main(["docs", "--out", str(out), "--format", "c-header"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"1 files in {out}, begin with {out / 'gvtg_pvinfo.h'}\n"
    assert captured.err == ""
    (tmp_path / "taken").write_text("")
    assert main(["docs", "--out", str(tmp_path / "taken")]) == 2
    assert "taken is no directory that files can be written to" in capsys.readouterr().err
