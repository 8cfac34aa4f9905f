"""What the driver puts into rings and batches, dword by dword."""

from __future__ import annotations

from typing import Final

import pytest

from guest_driver.emission import Emission
from pvinfo.commands.pipelines import pipeline_commands
from pvinfo.platform import Engine, platform_named
from pvinfo.units import GraphicsAddress

OTHERS: Final = (Engine.BCS0, Engine.VCS0, Engine.VECS0)
PIPE_CONTROL: Final = 0x7A00_0004


def emission(
    platform: str = "skl", engine: Engine = Engine.RCS0, *, revision: int | None = None, native: bool = False, pooled: bool = False
) -> Emission:
    part = platform_named(platform)
    return Emission(
        part, part.revision if revision is None else revision, engine, GraphicsAddress(0x1_0000),
        semaphores=native, preemption=native, pooled_units=pooled,
    )  # fmt: skip


# ---- flushes ----

INVALIDATE: Final = (PIPE_CONTROL, 0x0034_4C1C, 0xD0, 0, 0, 0)
NULL: Final = (PIPE_CONTROL, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("platform", "revision", "expected"),
    [
        ("bdw", None, INVALIDATE), ("skl", None, NULL + INVALIDATE), ("kbl", 2, NULL + INVALIDATE),
        ("kbl", 1, (*NULL, PIPE_CONTROL, 0x20, 0, 0, 0, 0, *INVALIDATE, PIPE_CONTROL, 0x0010_0000, 0, 0, 0, 0)),
    ],
)  # fmt: skip
def test_a_request_of_the_render_engine_begins_by_dropping_what_caches_hold(
    platform: str, revision: int | None, expected: tuple[int, ...]
) -> None:
    assert emission(platform, revision=revision).invalidate() == expected


@pytest.mark.parametrize(("engine", "header"), [(Engine.BCS0, 0x1324_4002), (Engine.VCS0, 0x1324_4082), (Engine.VECS0, 0x1324_4002)])
@pytest.mark.parametrize("platform", ["skl", "kbl", "bdw"])
def test_a_request_of_another_engine_begins_with_a_flush_that_drops_translations(platform: str, engine: Engine, header: int) -> None:
    assert emission(platform, engine).invalidate() == (header, 0xD0, 0, 0)


def test_registers_of_a_context_are_set_between_two_barriers() -> None:
    assert emission().barrier() == (*NULL, PIPE_CONTROL, 0x0034_5CBD, 0xD0, 0, 0, 0)
    assert emission("bdw").barrier() == (PIPE_CONTROL, 0x0034_5CBD, 0xD0, 0, 0, 0)
    assert emission().load_registers(((0x7014, 1), (0xE194, 2))) == (0x1100_0003, 0x7014, 1, 0xE194, 2, 0)


# ---- breadcrumbs ----


@pytest.mark.parametrize("platform", ["skl", "kbl", "bdw"])
def test_a_request_of_the_render_engine_reports_its_number_after_a_flush(platform: str) -> None:
    words, spare = emission(platform).fini_breadcrumb(GraphicsAddress(0x2_0100), 7)
    assert words == (
        PIPE_CONTROL, 0x0014_1021, 0, 0, 0, 0,
        PIPE_CONTROL, 0x0110_4080, 0x2_0100, 0, 7, 0,
        0x0100_0000, 0x0400_0001, 0x0280_0000, 0,
    )  # fmt: skip
    assert spare == 2, "an arbitration point and a no-operation, which the tail can be moved on over"


@pytest.mark.parametrize("engine", OTHERS)
def test_a_request_of_another_engine_reports_its_number_by_a_flush(engine: Engine) -> None:
    words, spare = emission("skl", engine).fini_breadcrumb(GraphicsAddress(0x2_0100), 7)
    assert words == (0x1300_4002, 0x2_0104, 0, 7, 0x0100_0000, 0x0400_0001, 0x0280_0000, 0)
    assert spare == 2


def test_on_a_bare_gpu_the_end_of_a_request_waits_while_the_driver_takes_back_what_is_behind_it() -> None:
    words, spare = emission("skl", Engine.BCS0, native=True).fini_breadcrumb(GraphicsAddress(0x2_0100), 7)
    assert words[6:] == (0x0280_0000, 0x0E40_C002, 0, 0x1_00C8, 0, 0, 0x0280_0000, 0), "the preemption word of the status page must be 0"
    assert spare == 2
    assert emission("skl", native=True).fini_dwords == 22
    assert emission("skl").fini_dwords == 16
    assert emission("skl", Engine.VCS0).fini_dwords == 8


def test_a_request_reports_its_start_by_the_number_before_its_own() -> None:
    assert emission().init_breadcrumb(GraphicsAddress(0x2_0000), 8) == (0x1040_0002, 0x2_0000, 0, 7, 0, 0x0280_0000)
    assert emission().init_breadcrumb(GraphicsAddress(0x2_0000), 0)[3] == 0xFFFF_FFFF


def test_a_request_waits_for_another_engine_until_its_number_is_reached() -> None:
    assert emission().wait_for(GraphicsAddress(0x2_0000), 8) == (0x0E40_9002, 8, 0x2_0000, 0)


# ---- batches ----


def test_a_batch_runs_without_arbitration_unless_preemption_is_possible_and_wanted() -> None:
    start = (0x1880_0101, 0x1234_5000, 0)
    assert emission().batch_start(0x1234_5000) == (0x0400_0000, *start)
    assert emission(native=True).batch_start(0x1234_5000) == (0x0400_0001, *start, 0x0400_0000, 0)
    assert emission(native=True).batch_start(0x1234_5000, preemptible=False) == (0x0400_0000, *start)
    assert emission().batch_start(0x1000, privileged=True) == (0x0400_0000, 0x1880_0001, 0x1000, 0)


SAVE: Final = (0x1240_0002, 0xB118, 0x3_0100, 0, 0x1100_0001, 0xB118, 0x4060_0000, PIPE_CONTROL, 0x0010_0020, 0, 0, 0, 0)
RESTORE: Final = (0x14C0_0002, 0xB118, 0x3_0100, 0, PIPE_CONTROL, 0x0830_4000, 0xD0, 0, 0, 0)
LOADS: Final = (0x1100_0005, 0x7014, 0x1000_0000, 0x2088, 0x0002_0002, 0x2090, 0x1000_1000, 0)


def test_the_batch_inside_a_context_restore_has_whole_lines_and_no_end() -> None:
    scratch = GraphicsAddress(0x3_0000)
    words = emission().workaround_batch(scratch)
    assert words[:33] == (0x0400_0000, *SAVE, *RESTORE, *LOADS, 0x0400_0001)
    assert words[33:] == (0,) * 15
    words = emission("bdw").workaround_batch(scratch)
    assert words[:25] == (0x0400_0000, *SAVE, *RESTORE, 0x0400_0001)
    assert words[25:] == (0,) * 7


def test_parts_that_pool_execution_units_are_told_of_their_pools_there() -> None:
    words = emission("bxt", pooled=True).workaround_batch(GraphicsAddress(0x3_0000))
    assert words[32:39] == (0x7005_0004, 0x8000_0000, 0x0077_7000, 0, 0, 0, 0x0400_0001)
    assert len(words) == 48


@pytest.mark.parametrize(("platform", "select"), [("skl", 0x6904_0300), ("kbl", 0x6904_0300), ("bdw", 0x6904_0000)])
def test_the_first_batch_of_the_render_engine_sets_state_and_touches_no_memory(platform: str, select: int) -> None:
    words = emission(platform).render_state()
    assert words[0] == select
    known = {int(command.header()) >> 16: command for command in pipeline_commands() if Engine.RCS0 in command.engines}
    at, names = 0, []
    while words[at] != 0x0500_0000:
        assert words[at] >> 29 == 3, f"{words[at]:#x} at {at} is no command of the pipelines"
        if words[at] >> 16 == 0x7A00:
            assert words[at + 1] >> 14 & 3 == 0, "a pipe control that writes nothing"
            at += 6
            continue
        command = known[words[at] >> 16]
        names.append(command.name)
        at += command.length_of(words[at])
    assert words[at + 1 :] in ((), (0,)), "then up to a quadword"
    assert len(words) % 2 == 0
    assert names[0] == "PIPELINE_SELECT"
    assert {"3DSTATE_VS", "3DSTATE_PS", "3DSTATE_CLIP", "STATE_SIP", "3DSTATE_DRAWING_RECTANGLE"} < set(names)
