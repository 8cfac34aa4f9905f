"""``pvinfo trace diff``: do two guest drivers say the same to their host?"""

from __future__ import annotations

from pathlib import Path

import pytest

from pvinfo.__main__ import main
from pvinfo.trace import Op, TraceRow, open_trace
from pvinfo.trace_diff import RULES, Comparison, PvAccess, compare_traces, format_comparison, pv_behaviour


def read(offset: int, value: int, size: int = 4, repeat: int = 1, ms: int = 0) -> TraceRow:
    return TraceRow(ms, Op.READ, size, offset, value, repeat)


def write(offset: int, value: int, size: int = 4, repeat: int = 1, ms: int = 0) -> TraceRow:
    return TraceRow(ms, Op.WRITE, size, offset, value, repeat)


def entry(page: int, value: int = 0x1001, size: int = 8, repeat: int = 1) -> TraceRow:
    return TraceRow(0, Op.GGTT_WRITE, size, page * 8, value, repeat)


def probe(root: int = 0x14D0000, entries: int = 3) -> list[TraceRow]:
    """The paravirtual part of a probe, in the real driver's order, with other accesses in between."""
    return [
        read(0x78000, 0x4776544776544776, 8),
        read(0x78008, 1, 2),
        read(0x78010, 0x1C),
        read(0xA188, 0),
        read(0x78050, 4),
        write(0x100000, 0),
        write(0x100004, 0),
        write(0x100000, 0),
        *(read(offset, value) for offset, value in ((0x78040, 0), (0x78044, 0x4000000), (0x78048, 0x10000000), (0x7804C, 0x18000000))),
        *(entry(page) for page in range(entries)),
        write(0x78838, root),
        write(0x7883C, 0),
        write(0x78818, 4),
        write(0x78804, 1),
    ]


def the_part(comparison: Comparison, part: str) -> tuple[str, ...]:
    return tuple(difference.summary for difference in comparison.differences if difference.part == part)


def test_the_same_probe_is_equal_without_any_rule() -> None:
    comparison = compare_traces(probe(), probe())
    assert comparison.equal
    assert comparison.applied == {}
    assert (len(comparison.left.page), len(comparison.left.fences), comparison.left.ggtt_entries) == (12, 3, 3)


def test_time_and_registers_beside_the_paravirtual_ones_do_not_count() -> None:
    other = [row._replace(ms=row.ms + 17) for row in probe() if row.offset != 0xA188] + [write(0x2080, 0x1000)]
    assert compare_traces(probe(), other).equal


def test_a_run_of_equal_accesses_counts_as_often_as_it_repeats() -> None:
    assert compare_traces([read(0x78010, 0x1C, repeat=2)], [read(0x78010, 0x1C), read(0x78010, 0x1C, ms=3)]).equal
    assert not compare_traces([read(0x78010, 0x1C, repeat=2)], [read(0x78010, 0x1C)]).equal


def test_where_a_page_table_lies_is_each_guests_own_choice() -> None:
    comparison = compare_traces(probe(0x14D0000), probe(0x7000))
    assert comparison.equal
    assert comparison.applied == {"page-table-root-address": 1}


@pytest.mark.parametrize("root", [0, 0x14D0008])
def test_a_root_that_is_no_page_is_a_difference(root: int) -> None:
    comparison = compare_traces(probe(), probe(root))
    assert the_part(comparison, "PVINFO page") == ("access 9 differs",)


def test_a_root_in_another_slot_is_a_difference() -> None:
    other = [row._replace(offset=0x78840) if row.offset == 0x78838 else row for row in probe()]
    assert the_part(compare_traces(probe(), other), "PVINFO page") == ("access 9 differs",)


def test_a_quadword_that_the_machine_split_is_equal_to_its_halves_on_either_side() -> None:
    split = [part for row in probe() for part in ([read(0x78000, 0x76544776), read(0x78004, 0x47765447)] if row.size == 8 and row.op is Op.READ else [row])]
    for left, right in ((probe(), split), (split, probe())):
        comparison = compare_traces(left, right)
        assert comparison.equal
        assert comparison.applied == {"split-quadword": 1}


def test_halves_in_the_wrong_order_or_with_another_value_are_a_difference() -> None:
    for halves in ([read(0x78004, 0x47765447), read(0x78000, 0x76544776)], [read(0x78000, 0x76544776), read(0x78004, 0)], [read(0x78000, 0x76544776)]):
        assert not compare_traces(probe()[:1], halves).equal


def test_another_width_is_a_difference() -> None:
    other = [row._replace(size=4) if row.offset == 0x78008 else row for row in probe()]
    (difference,) = compare_traces(probe(), other).differences
    assert difference.summary == "access 2 differs"
    assert difference.before == (PvAccess(Op.READ, 8, 0x78000, 0x4776544776544776),)
    assert difference.left[0] == PvAccess(Op.READ, 2, 0x78008, 1)
    assert difference.right[0] == PvAccess(Op.READ, 4, 0x78008, 1)


def test_hosts_that_answer_differently_are_told_apart_from_guests_that_ask_differently() -> None:
    other = [row._replace(value=0x8000000) if row.offset == 0x78040 else row for row in probe()]
    assert the_part(compare_traces(probe(), other), "PVINFO page") == (
        "access 5 differs: the hosts answered differently, and only guests of the same host can be compared",
    )


def test_a_side_that_ends_early_is_told_with_what_the_other_goes_on_to_do() -> None:
    (difference,) = compare_traces(probe(), probe()[:-1]).differences
    assert difference.summary == "the right side ends after 11 accesses, the left one goes on for 1"
    assert difference.equal_accesses == 11
    assert (difference.left, difference.right) == ((PvAccess(Op.WRITE, 4, 0x78804, 1),), ())
    (difference,) = compare_traces(probe()[:-1], probe()).differences
    assert difference.summary == "the left side ends after 11 accesses, the right one goes on for 1"


def test_fence_writes_are_compared_in_order_and_fence_reads_not_at_all() -> None:
    assert compare_traces(probe(), [*probe(), read(0x100000, 0)]).equal
    other = [row._replace(offset=0x100008) if row.offset == 0x100004 else row for row in probe()]
    assert the_part(compare_traces(probe(), other), "fence registers") == ("access 2 differs",)


def test_ggtt_entries_are_counted_not_compared_and_two_halves_are_one() -> None:
    assert pv_behaviour([entry(0, size=4, repeat=2), entry(1), TraceRow(0, Op.GGTT_WRITE, 0, 16, 1, 1)]).ggtt_entries == 3
    assert compare_traces([entry(0, 0x1001)], [entry(9, 0x9001)]).equal
    assert the_part(compare_traces(probe(entries=2), probe()), "GGTT entries") == ("2 written on the left side, 3 on the right one",)


def test_each_part_reports_its_own_first_difference() -> None:
    comparison = compare_traces(probe(), [write(0x100000, 7), entry(0)])
    assert [difference.part for difference in comparison.differences] == ["PVINFO page", "fence registers", "GGTT entries"]


def test_without_rules_nothing_is_forgiven() -> None:
    assert not compare_traces(probe(0x14D0000), probe(0x7000), rules=()).equal


def test_rules_have_names_and_sentences() -> None:
    assert len({rule.name for rule in RULES}) == len(RULES)
    assert all(" " not in rule.name and len(rule.sentence) > 40 for rule in RULES)


def test_the_report_shows_context_both_sides_and_each_rule_that_was_used() -> None:
    lines = list(format_comparison(compare_traces(probe(), probe(0x7000)[:-2]), "real", "ours"))
    assert lines == [
        "PVINFO page: the right side ends after 10 accesses, the left one goes on for 2",
        "    read  4  0x7804c PvInfo.avail_rs.nonmappable_gmadr.size = 0x18000000",
        "    write 4  0x78838 PvInfo.pdp.0.lo = 0x14d0000",
        "    write 4  0x7883c PvInfo.pdp.0.hi = 0x0",
        "  < real",
        "  < write 4  0x78818 PvInfo.g2v_notify = 0x4  (PPGTT_L4_PAGE_TABLE_CREATE)",
        "  < write 4  0x78804 PvInfo.display_ready = 0x1",
        "  > ours",
        "  > (ends)",
        "",
        f"rule page-table-root-address, applied 1 time: {RULES[0].sentence}",
        "different: PVINFO accesses 12 and 10, fence writes 3 and 3, GGTT entries 3 and 3",
    ]


def save(path: Path, rows: list[TraceRow]) -> Path:
    with open_trace(path) as trace:
        for row in rows:
            for _ in range(row.repeat):
                trace.add(row.ms, row.op, row.size, row.offset, row.value)
    return path


def test_the_command_succeeds_only_when_the_guests_are_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    real = save(tmp_path / "real.tsv.xz", probe())
    ours = save(tmp_path / "ours.tsv", probe(0x7000))
    short = save(tmp_path / "short.tsv", probe()[:4])
    assert main(["trace", "diff", str(real), str(ours)]) == 0
    assert "equal: PVINFO accesses 12 and 12" in capsys.readouterr().out
    assert main(["trace", "diff", str(real), str(short)]) == 1
    printed = capsys.readouterr().out
    assert f"  < {real}" in printed and f"  > {short}" in printed
