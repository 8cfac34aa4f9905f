"""``pvinfo trace diff --submissions``: do two drivers submit alike? And what a trace of the GPU holds for that."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from support.gpu_rig import GpuRig, RigContext

from pvinfo.__main__ import main
from pvinfo.execlist import ContextDescriptor, Submission
from pvinfo.platform import ENGINES, Engine
from pvinfo.submission_trace import Act, compare_submissions, format_submissions, submission_rows, submission_steps
from pvinfo.trace import NumberedRow, Op, TraceRow, TraceWriter, open_trace, read_rows
from pvinfo.trace_show import show_rows

IDLE_TO_ACTIVE, ELEMENT_SWITCH, ACTIVE_TO_IDLE = 0x1, 0x14, 0x18
FLAGS = 0x119


class Recording:
    """Rows as a trace of a GPU would hold them, written act by act."""

    def __init__(self) -> None:
        self.rows: list[NumberedRow] = []
        self._entry = 0

    def add(self, op: Op, size: int, offset: int, value: int) -> None:
        self.rows.append(NumberedRow(len(self.rows) + 2, TraceRow(0, op, size, offset, value, 1)))

    def submit(self, *contexts: tuple[int, int], engine: Engine = Engine.RCS0, forced: bool = False) -> None:
        """Image and id of each context."""
        elements = [ContextDescriptor(image | FLAGS | forced << 2 | name << 32) for image, name in contexts]
        for value in Submission.loading(*elements):
            self.add(Op.WRITE, 4, ENGINES[engine].base + 0x230, value)

    def event(self, status: int, name: int, engine: Engine = Engine.RCS0) -> None:
        self.add(Op.STATUS_EVENT, 8, ENGINES[engine].base + 0x370 + 8 * self._entry, name << 32 | status)
        self._entry = (self._entry + 1) % 6

    def breadcrumb(self, address: int, value: int, engine: Engine = Engine.RCS0, size: int = 4) -> None:
        self.add(Op.BREADCRUMB, size, ENGINES[engine].base, address << 32 | value)

    def bind(self, address: int) -> None:
        self.add(Op.GGTT_WRITE, 8, (address >> 12) * 8, 0x1234001)

    def run(self, image: int, name: int, place: int, value: int, engine: Engine = Engine.RCS0) -> None:
        """A context from submission to idleness."""
        self.submit((image, name), engine=engine)
        self.event(IDLE_TO_ACTIVE, name, engine)
        self.breadcrumb(place, value, engine)
        self.event(ACTIVE_TO_IDLE, name, engine)


def shapes(recording: Recording) -> list[tuple[Act, tuple[int, ...]]]:
    return [(step.act, step.shape) for step in submission_steps(recording.rows)]


def test_a_trace_is_read_as_submissions_events_and_breadcrumbs() -> None:
    recording = Recording()
    recording.submit((0x10000, 0x20), (0x30000, 0x40))
    recording.event(IDLE_TO_ACTIVE, 0x20)
    recording.breadcrumb(0x5000, 7, size=8)
    recording.event(ELEMENT_SWITCH, 0x20)
    recording.breadcrumb(0x6000, 9)
    recording.event(ACTIVE_TO_IDLE, 0x40)
    assert shapes(recording) == [
        (Act.SUBMISSION, (1, FLAGS, 2, FLAGS)),
        (Act.EVENT, (IDLE_TO_ACTIVE, 1)),
        (Act.BREADCRUMB, (1, 7, 8)),
        (Act.EVENT, (ELEMENT_SWITCH, 1)),
        (Act.BREADCRUMB, (2, 9, 4)),
        (Act.EVENT, (ACTIVE_TO_IDLE, 2)),
    ]
    assert next(submission_steps(recording.rows)).line == 5


def test_the_two_zeroes_of_an_unused_element_may_be_one_row() -> None:
    recording = Recording()
    recording.submit((0x10000, 0x20))
    first = recording.rows[0]
    assert first.row.value == 0 and recording.rows[1].row == first.row
    recording.rows[:2] = [first._replace(row=first.row._replace(repeat=2))]
    assert shapes(recording) == [(Act.SUBMISSION, (1, FLAGS))]


def test_where_contexts_and_breadcrumbs_are_and_what_contexts_are_called_does_not_count() -> None:
    left, right = Recording(), Recording()
    for recording, base, name in ((left, 0x10000, 0x20), (right, 0x90000, 0x60)):
        recording.run(base, name, base + 0x100, 1)
        recording.run(base + 0x8000, name + 0x20, base + 0x8100, 1)
    comparison = compare_submissions(left.rows, right.rows)
    assert comparison.equal
    assert comparison.applied == {"context-image-address": 2, "context-id": 6, "breadcrumb-address": 2}


def test_engines_have_no_order_between_them() -> None:
    left, right = Recording(), Recording()
    for recording, order in ((left, (Engine.RCS0, Engine.VECS0)), (right, (Engine.VECS0, Engine.RCS0))):
        for engine in order:
            recording.run(0x10000, 0x20, 0x5000, 1, engine)
    comparison = compare_submissions(left.rows, right.rows)
    assert comparison.equal and comparison.applied == {}
    assert [len(comparison.left[engine]) for engine in (Engine.RCS0, Engine.VECS0, Engine.BCS0)] == [4, 4, 0]


def test_a_context_that_comes_back_is_not_a_new_one() -> None:
    left, right = Recording(), Recording()
    for recording, last in ((left, 0x10000), (right, 0x30000)):
        recording.run(0x10000, 0x20, 0x5000, 1)
        recording.run(0x20000, 0x20, 0x6000, 1)
        recording.run(last, 0x20, 0x5000, 2)
    difference = compare_submissions(left.rows, right.rows).differences[0]
    assert (difference.engine, difference.summary) == (Engine.RCS0, "step 9 differs")
    assert (difference.left[0].shape, difference.right[0].shape) == ((1, FLAGS), (3, FLAGS))


def test_whether_a_context_that_has_rested_is_restored_by_force_is_the_moments() -> None:
    left, right = Recording(), Recording()
    for recording, forced in ((left, False), (right, True)):
        recording.run(0x10000, 0x20, 0x5000, 1)
        recording.submit((0x10000, 0x20), forced=forced)
    comparison = compare_submissions(left.rows, right.rows)
    assert comparison.equal
    assert comparison.applied == {"restore-after-rest": 1}


def test_of_new_contexts_and_of_those_at_work_it_counts() -> None:
    new, restored = Recording(), Recording()
    new.submit((0x10000, 0x20))
    restored.submit((0x10000, 0x20), forced=True)
    assert not compare_submissions(new.rows, restored.rows).equal
    one, other = Recording(), Recording()
    for recording, forced in ((one, False), (other, True)):
        recording.run(0x10000, 0x20, 0x5000, 1)
        recording.submit((0x10000, 0x20))
        recording.event(IDLE_TO_ACTIVE, 0x20)
        recording.submit((0x10000, 0x20), forced=forced)
    assert [difference.summary for difference in compare_submissions(one.rows, other.rows).differences] == ["step 7 differs"]


def test_what_the_table_maps_anew_is_another_context_and_another_timeline() -> None:
    left, right = Recording(), Recording()
    left.run(0x10000, 0x20, 0x5000, 1)
    left.bind(0x10000)
    left.bind(0x5000)
    left.run(0x10000, 0x20, 0x5000, 1)
    right.run(0x10000, 0x20, 0x5000, 1)
    right.run(0x30000, 0x20, 0x6000, 1)
    assert compare_submissions(left.rows, right.rows).equal


def test_an_event_of_a_context_that_was_never_submitted_is_a_difference() -> None:
    left, right = Recording(), Recording()
    left.run(0x10000, 0x20, 0x5000, 1)
    right.submit((0x10000, 0x20))
    right.event(IDLE_TO_ACTIVE, 0x40)
    difference = compare_submissions(left.rows, right.rows).differences[0]
    assert difference.right[0].describe() == "event: idle_to_active of a context never submitted"


@pytest.mark.parametrize(
    ("value", "size"),
    [(2, 4), (1, 8)],
    ids=["value", "size"],
)
def test_value_and_size_of_a_breadcrumb_count(value: int, size: int) -> None:
    left, right = Recording(), Recording()
    left.breadcrumb(0x5000, 1)
    right.breadcrumb(0x5000, value, size=size)
    assert not compare_submissions(left.rows, right.rows).equal


def test_the_first_difference_is_told_with_its_lines_and_what_came_before() -> None:
    left, right = Recording(), Recording()
    for recording in (left, right):
        recording.run(0x10000, 0x20, 0x5000, 1)
    right.bind(0x77000)
    left.submit((0x10000, 0x20))
    right.submit((0x10000, 0x20), (0x20000, 0x40))
    lines = list(format_submissions(compare_submissions(left.rows, right.rows), "ours", "theirs"))
    flags = "valid, addressing_mode=LEGACY_64_BIT, privilege"
    assert lines[:9] == [
        "rcs0: step 5 differs",
        "    line 6: event: idle_to_active of context 1",
        "    line 7: breadcrumb 1 in timeline 1, 4 bytes",
        "    line 8: event: active_to_idle, context_complete of context 1",
        "  < ours",
        f"  < line 12: submits context 1 ({flags})",
        "  > theirs",
        f"  > line 13: submits context 1 ({flags}), then context 2 ({flags})",
        "",
    ]
    assert lines[-1] == "different"


def test_a_side_that_goes_on_is_a_difference() -> None:
    left, right = Recording(), Recording()
    left.run(0x10000, 0x20, 0x5000, 1)
    right.run(0x10000, 0x20, 0x5000, 1)
    right.submit((0x10000, 0x20))
    assert [one.summary for one in compare_submissions(left.rows, right.rows).differences] == ["the left side ends after 4 steps, the right one goes on for 1"]
    assert [one.summary for one in compare_submissions(right.rows, left.rows).differences] == ["the right side ends after 4 steps, the left one goes on for 1"]


def test_of_a_long_trace_few_rows_matter() -> None:
    recording = Recording()
    recording.bind(0x10000)
    recording.bind(0x99000)
    recording.add(Op.READ, 4, 0x2358, 1)
    recording.add(Op.WRITE, 4, 0x2034, 0)
    recording.run(0x10000, 0x20, 0x5000, 1)
    kept = list(submission_rows(recording.rows))
    assert [row.line for row in kept] == [2, *range(6, 13)]
    assert list(submission_steps(kept)) == list(submission_steps(recording.rows))


# ---- the command line ----


def saved(path: Path, recording: Recording) -> str:
    with open_trace(path, "recorded by a test") as writer:
        for _, row in recording.rows:
            writer.add(row.ms, row.op, row.size, row.offset, row.value)
    return str(path)


def test_the_command_compares_and_its_status_tells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    left, right = Recording(), Recording()
    left.run(0x10000, 0x20, 0x5000, 1)
    right.run(0x10000, 0x20, 0x5000, 2)
    one, other = saved(tmp_path / "one.tsv.xz", left), saved(tmp_path / "other.tsv", right)
    assert main(["trace", "diff", "--submissions", one, one]) == 0
    assert "rcs0: 1 submissions, 2 events, 1 breadcrumbs" in capsys.readouterr().out
    assert main(["trace", "diff", "--submissions", one, other]) == 1
    # A comment, the header, and the two zeroes in one row come before.
    assert "> line 7: breadcrumb 2 in timeline 1, 4 bytes" in capsys.readouterr().out


def test_a_trace_without_events_is_refused_since_it_could_only_seem_equal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recording = Recording()
    recording.submit((0x10000, 0x20))
    path = saved(tmp_path / "vgpu.tsv", recording)
    assert main(["trace", "diff", "--submissions", path, path]) == 2
    assert "holds no event of an engine" in capsys.readouterr().err


def test_events_and_breadcrumbs_are_shown_in_words() -> None:
    recording = Recording()
    recording.event(ACTIVE_TO_IDLE, 0x20, Engine.BCS0)
    recording.breadcrumb(0x5000, 7, Engine.VECS0)
    event, breadcrumb = show_rows(numbered.row for numbered in recording.rows)
    assert event.endswith("context 0x20: active_to_idle, context_complete")
    assert "BCS0.context_status_buffer" in event
    assert breadcrumb.endswith("7 left at 0x5000") and "VECS0" in breadcrumb


# ---- what the GPU records ----

SDI, SDI_GLOBAL, SDI_GLOBAL_QWORD = 0x10000002, 0x10400002, 0x10600003
FLUSH_DWORD, FLUSH_QWORD, FLUSH_INDEX = 0x13004002, 0x13004003, 0x13204003
BATCH_START_GLOBAL = 0x18800001
BATCH_END = 0x05000000


def traced(rig: GpuRig) -> tuple[io.StringIO, TraceWriter]:
    file = io.StringIO()
    writer = TraceWriter(file)
    rig.engine.trace_to(writer)
    return file, writer


def recorded(file: io.StringIO, writer: TraceWriter) -> list[tuple[str, int, int, int]]:
    writer.flush()
    return [(row.op.value, row.size, row.offset, row.value) for row in read_rows(file.getvalue().splitlines())]


def test_the_gpu_records_events_and_the_numbers_that_rings_leave_in_global_memory() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    place = rig.status_page + 0x100
    context.write(SDI_GLOBAL, place, 0, 3)
    context.write(SDI_GLOBAL_QWORD, place, 0, 4, 0x55)
    context.write(FLUSH_DWORD, place | 4, 0, 5)
    context.write(FLUSH_QWORD, place | 4, 0, 6, 0)
    file, writer = traced(rig)
    rig.submit(context)
    rig.run()
    base = ENGINES[Engine.BCS0].base
    assert recorded(file, writer) == [
        ("SE", 8, base + 0x370, 0x20_0000_0001),
        ("BC", 4, base, place << 32 | 3),
        ("BC", 8, base, place << 32 | 4),
        ("BC", 4, base, place << 32 | 5),
        ("BC", 8, base, place << 32 | 6),
        ("SE", 8, base + 0x378, 0x20_0000_0018),
    ]


def test_the_render_engine_leaves_its_breadcrumbs_by_pipe_control() -> None:
    rig = GpuRig(Engine.RCS0)
    context = RigContext(rig, 0x20)
    place = rig.status_page + 0x100
    context.write(0x7A000004, 1 << 24 | 1 << 14, place, 0, 7, 0)
    context.write(0x7A000004, 1 << 24 | 3 << 14, place, 0, 0, 0)
    context.write(0x7A000004, 1 << 21 | 1 << 24 | 1 << 14, 0xD0, 0, 8, 0)
    file, writer = traced(rig)
    rig.submit(context)
    rig.run()
    assert [row for row in recorded(file, writer) if row[0] == "BC"] == [("BC", 8, 0x2000, place << 32 | 7)]


def test_other_stores_are_no_breadcrumbs_and_without_a_trace_none_is_recorded() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    place = rig.status_page + 0x100
    batch = rig.allocate(1)
    for index, dword in enumerate((SDI_GLOBAL, place, 0, 9, BATCH_END)):
        rig.ggtt.write32(batch + 4 * index, dword)
    mine = rig.page()
    context.tables.map(0x40000, mine)
    context.write(SDI, 0x40000, 0, 1)
    context.write(FLUSH_INDEX, 0xD0, 0, 0, 0)
    context.write(BATCH_START_GLOBAL, batch, 0)
    file, writer = traced(rig)
    rig.submit(context)
    rig.run()
    assert rig.ggtt.read32(place) == 9
    assert [row[0] for row in recorded(file, writer)] == ["SE", "SE"]
    rig.engine.trace_to(None)
    context.write(SDI_GLOBAL, place, 0, 10)
    rig.submit(context)
    rig.run()
    assert rig.ggtt.read32(place) == 10
    assert len(recorded(file, writer)) == 2
