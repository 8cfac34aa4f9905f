"""Which commands an engine may be given in a ring, and how long they are."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
from support.audit_rig import AuditRig
from support.naive_audit import NaiveCommand, naive_command

from host_model.device.interrupts import Event
from host_model.mediator.audit.table import commands_of
from host_model.mediator.refusal import Consequence
from pvinfo.commands import declared_commands
from pvinfo.commands.command import Command
from pvinfo.platform import Engine, platform_named

PLATFORMS = ("bdw", "skl", "kbl", "bxt")
ENGINES = list(Engine)


@cache
def rig_of(platform: str) -> AuditRig:
    return AuditRig(platform)


def shortest(command: NaiveCommand, header: int) -> list[int]:
    """The command with the length that it must have, or the least, and zeroes."""
    dwords = {"store": 4, "atomic": 3, "flush": 4, "pipe control": 6, "load": 3, "start": 3, "flip": 3}.get(command.done, 0) or command.only_length
    if not dwords:
        dwords = command.length(header)
    elif command.length_bits:
        header |= dwords - 2
    words = [header, *[0] * (dwords - 1)]
    if command.done == "start":
        words[0] |= 1 << 8
    elif command.done == "load":
        words[1] = 0x2580
    elif command.done == "register memory":
        words[1] = 0xB118
    return words


# ---- the table ----


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_header_is_known_or_not_as_the_kernels_table_has_it(platform: str, engine: Engine) -> None:
    version = platform_named(platform).graphics_version
    commands = commands_of(engine, platform)
    for upper, (mask, added, check) in enumerate(commands.table):
        expected = naive_command(engine, version, upper << 16)
        assert (check is commands.unknown) is (expected is None), hex(upper << 16)
        if expected is not None:
            assert (mask, added) == ((1 << expected.length_bits) - 1, 2 if expected.length_bits else 1), expected.name


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_every_declared_command_is_treated_as_the_kernels_table_says(platform: str, engine: Engine) -> None:
    rig, version = rig_of(platform), platform_named(platform).graphics_version
    told = {"user interrupt", "end", "never", "register register"}
    for command in declared_commands():
        expected = naive_command(engine, version, command.match)
        if expected is None:
            refused = rig.refusal(engine, [command.match])
            assert refused.rule == "audit-command-unknown" and refused.consequence is Consequence.FAILSAFE, command.name
        elif expected.done == "never":
            words = shortest(expected, command.match)
            refused = rig.refusal(engine, words)
            assert (refused.rule, refused.consequence, refused.value) == ("audit-command-refused", Consequence.FAILSAFE, words[0])
        elif expected.done not in told and not (expected.done == "load" and engine is not Engine.RCS0):
            words = shortest(expected, command.match)
            audited, patched = rig.ring(engine, words)
            assert not audited.batches and not audited.tables
            assert patched == ([0] * len(words) if expected.done == "flip" else words), command.name


def test_there_are_as_many_commands_as_the_kernel_lists() -> None:
    """225, of which 224 on Broadwell: MI 40, 2D 24, 3D and media 118, MFX 40, VEBOX 3."""
    for platform, count in (("skl", 225), ("bdw", 224)):
        version = platform_named(platform).graphics_version
        listed: set[Command[Any]] = {
            command for command in declared_commands() for engine in Engine
            if engine in command.engines and naive_command(engine, version, command.match) is not None
        }  # fmt: skip
        assert len(listed) == count


# ---- what a refusal says ----


def test_a_command_of_another_engine_is_refused_with_that_engines_name() -> None:
    refused = rig_of("skl").refusal(Engine.BCS0, [0, 0x7A000004, 0, 0, 0, 0, 0])
    assert refused.rule == "audit-command-unknown"
    assert refused.where == "bcs0 ring 0x1004 no command"
    assert refused.text == "0x7a000004 begins no command of bcs0, but one of rcs0"
    assert refused.value == 0x7A000004
    assert refused.nearest == "a listed command of the engine"
    assert refused.consequence is Consequence.FAILSAFE


@pytest.mark.parametrize(
    ("engine", "header", "text"),
    [
        (Engine.RCS0, 0x0C000000, "MI_SET_CONTEXT is no command for guests"),
        (Engine.RCS0, 0x09800000, "MI_LOAD_SCAN_LINES_EXCL is no command for guests"),
        (Engine.BCS0, 0x50000000, "COLOR_BLT is no command for guests"),
        (Engine.VCS0, 0x54000000, "0x54000000 begins no command of vcs0, but one of bcs0"),
        (Engine.RCS0, 0xE0000000, "0xe0000000 begins no command"),
        (Engine.RCS0, 0x20000000, "0x20000000 begins no command"),
        (Engine.VECS0, 0x0A800000, "0x0a800000 begins no command"),
    ],
)  # fmt: skip
def test_what_is_no_command_for_guests_is_refused(engine: Engine, header: int, text: str) -> None:
    refused = rig_of("skl").refusal(engine, [header, 0, 0])
    assert (refused.rule, refused.text) == ("audit-command-unknown", text)


@pytest.mark.parametrize(
    "header",
    [0x0E000002, 0x10800001, 0x11800000, 0x13800001, 0x14000002, 0x17000003, 0x1B000002],
    ids=["SEMAPHORE_WAIT", "STORE_DATA_INDEX", "UPDATE_GTT", "CLFLUSH", "REPORT_PERF_COUNT", "COPY_MEM_MEM", "CONDITIONAL_BATCH_BUFFER_END"],
)
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_some_commands_are_for_batches_without_privilege_only(platform: str, engine: Engine, header: int) -> None:
    rig = rig_of(platform)
    words = [0x01000000, header, 0, 0, 0, 0, 0]
    refused = rig.refusal(engine, words)
    assert (refused.rule, refused.consequence, refused.value) == ("audit-command-refused", Consequence.FAILSAFE, header)
    assert refused.where.startswith(f"{engine.value} ring 0x1004 MI_") and refused.nearest == "the command in a batch without privilege"


# ---- lengths ----


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_command_of_one_length_has_no_other(platform: str, engine: Engine) -> None:
    rig, version = rig_of(platform), platform_named(platform).graphics_version
    checked = 0
    for command in declared_commands():
        expected = naive_command(engine, version, command.match)
        if expected is None or not expected.length_bits or not expected.only_length or expected.done == "never":
            continue
        right = shortest(expected, command.match)
        if expected.done != "register register":
            assert rig.ring(engine, right)[1] == right
        for dwords in {2, 3, 4, 5, 6, 33} - {expected.only_length}:
            refused = rig.refusal(engine, [command.match | dwords - 2, *right[1:], *[0] * 40][: max(dwords, 4)])
            assert (refused.rule, refused.consequence) == ("audit-length", Consequence.FAILSAFE), command.name
            assert refused.nearest == f"{expected.only_length} dwords" and f"of {dwords} dwords" in refused.text
        checked += 1
    assert checked == (8 if engine is Engine.RCS0 else 5)


@pytest.mark.parametrize(
    ("words", "nearest"),
    [
        ([0x10400001, 0, 0], "4 dwords"), ([0x10400003, 0, 0, 0, 0], "4 dwords"), ([0x10600002, 0, 0, 0], "5 dwords"), ([0x10600004, *[0] * 5], "5 dwords"),
        ([0x17C00002, 0, 0, 0], "3 dwords"), ([0x17C40001, 0, 0], "11 dwords"), ([0x17C4000A, *[0] * 11], "11 dwords"),
        ([0x13000001, 0, 0], "4 or 5 dwords"), ([0x13000004, *[0] * 5], "4 or 5 dwords"), ([0x13000000, 0], "4 or 5 dwords"),
        ([0x18800100, 0], "3 dwords"), ([0x18800102, 0, 0, 0], "3 dwords"), ([0x11000000, 0x2580], "an odd number of dwords"),
        ([0x11000002, 0x2580, 0, 0x2580], "an odd number of dwords"),
        ([0x7A000003, 0x01004000, 0, 0, 0], "6 dwords"), ([0x7A000005, 0x01004000, 0, 0, 0, 0, 0], "6 dwords"), ([0x7A000000, 0x01004000], "6 dwords"),
        ([0x7A000002, 0x00800000, 0x2580, 0], "6 dwords"),
    ],
)  # fmt: skip
def test_a_command_that_is_looked_into_has_its_form(words: list[int], nearest: str) -> None:
    refused = rig_of("skl").refusal(Engine.RCS0, words)
    assert (refused.rule, refused.nearest, refused.value) == ("audit-length", nearest, words[0])
    assert refused.consequence is Consequence.FAILSAFE


@pytest.mark.parametrize(
    "words",
    [
        [0x10000003, 0, 0, 0, 0], [0x10200011, *[0] * 18], [0x17840001, 0, 0], [0x7A000003, 0x00104080, 0, 0, 0], [0x7A000000, 0x00100000], [0x7A00000A, *[0] * 11],
        [0x0D000004, *[0] * 5], [0x61010011, *[0] * 18], [0x7B000005, *[0] * 6],
    ],
    ids=["store of 5", "store of 19", "atomic", "flush of 5", "flush of 2", "flush of 12", "math", "STATE_BASE_ADDRESS", "3DPRIMITIVE"],
)  # fmt: skip
def test_what_reaches_no_global_address_may_have_any_length(words: list[int]) -> None:
    assert rig_of("skl").ring(Engine.RCS0, words)[1] == words


def test_commands_are_as_long_as_hardware_takes_them_to_be() -> None:
    """The kernel takes MFX_WAIT for two dwords and more: what it steps over, the engine would execute."""
    rig = rig_of("skl")
    assert rig.ring(Engine.VCS0, [0x68000000, 0x68000000, 0])[1] == [0x68000000, 0x68000000, 0]
    hidden = rig.refusal(Engine.VCS0, [0x68000003, 0x11800002, 0, 0, 0])
    assert (hidden.rule, hidden.value) == ("audit-command-refused", 0x11800002)
    lines = [0x09000002, 0, 0x11800002, 0]
    assert rig.ring(Engine.RCS0, lines)[1] == lines


# ---- the end ----


def test_an_empty_ring_and_a_ring_of_no_operations_pass() -> None:
    rig = rig_of("skl")
    for words in ([], [0], [0] * 1024, [0x003FFFFF, 0x00400001]):
        audited, patched = rig.ring(Engine.VECS0, words)
        assert (audited.events, audited.batches, audited.tables, patched) == (frozenset(), (), (), words)


@pytest.mark.parametrize(
    "words",
    [
        [0x10400002, 0x8000000, 0], [0x10000002], [0x7A000004], [0x7A000004, 0x01104080, 0x8000000], [0x11000001], [0x11000001, 0x2580], [0x13004002, 4],
        [0x18800101, 0], [0x18800001], [0x12400002, 0xB118], [0x0A000001, 0x40], [0x0A000002, 0x40, 0x10002], [0x15000001, 0x215C], [0x78140003, 0],
    ],
)  # fmt: skip
def test_a_command_that_goes_on_behind_the_tail_is_refused(words: list[int]) -> None:
    """The kernel stops there, content, and the engine waits for the rest."""
    for platform in ("skl", "bdw"):
        rig = AuditRig(platform)
        before = bytes(rig.vgpu.registers.bytes)
        refused = rig.refusal(Engine.RCS0, [0, *words])
        assert refused.rule in ("audit-past-end", "audit-register-use")
        assert rig.vgpu.registers.bytes == before, "and nothing of it was done"


@pytest.mark.parametrize("words", [[0x78140003, 0], [0x7A000004, 0x01104080, 0x8000000, 0], [0x11000001, 0x7000], [0x0A000001, 0x40]])
def test_such_a_refusal_names_the_command_and_lets_the_guest_reset_its_engine(words: list[int]) -> None:
    refused = AuditRig("skl").refusal(Engine.RCS0, [0, 0x02800000, *words])
    assert (refused.rule, refused.consequence) == ("audit-past-end", Consequence.FLUSH)
    assert refused.where.startswith("rcs0 ring 0x1008 ") and "no command" not in refused.where


def test_the_end_of_a_batch_in_a_ring_is_refused() -> None:
    refused = rig_of("skl").refusal(Engine.RCS0, [0x05000000])
    assert (refused.rule, refused.nearest) == ("audit-batch-end", "MI_NOOP")


# ---- telling ----


@pytest.mark.parametrize(
    ("engine", "user", "notify"),
    [
        (Engine.RCS0, Event.RCS_USER, Event.RCS_NOTIFY), (Engine.BCS0, Event.BCS_USER, Event.BCS_NOTIFY),
        (Engine.VCS0, Event.VCS0_USER, Event.VCS0_NOTIFY), (Engine.VECS0, Event.VECS_USER, Event.VECS_NOTIFY),
    ],
)  # fmt: skip
def test_what_the_guest_is_to_be_told_is_noted_once_and_the_interrupt_taken_out(engine: Engine, user: Event, notify: Event) -> None:
    rig = rig_of("skl")
    audited, patched = rig.ring(engine, [0x01000000, 0, 0x01000000])
    assert (audited.events, patched) == (frozenset({user}), [0, 0, 0])
    for words in ([0x13000102, 0, 0, 0], [0x13000103, 0, 0, 0, 0]):
        audited, patched = rig.ring(engine, words)
        assert (audited.events, patched) == (frozenset({notify}), words), "the flush itself stays"
    assert rig.ring(engine, [0x13000002, 0, 0, 0])[0].events == frozenset()


def test_the_render_engines_flush_tells_too() -> None:
    rig = rig_of("skl")
    audited, _ = rig.ring(Engine.RCS0, [0x7A000004, 0x100, 0, 0, 0, 0, 0x01000000])
    assert audited.events == {Event.RCS_USER, Event.RCS_NOTIFY}
