"""The engines of a GPU together, and the table of what their work costs."""

from __future__ import annotations

from importlib.resources import files

import pytest
from support.gpu_rig import GpuRig, RigContext

from host_model.gpu import cost
from host_model.gpu.commands.execution import HANDLERS
from host_model.gpu.commands.table import CommandTable, command_table
from host_model.gpu.engines import Engines
from host_model.gpu.privilege import unprivileged_registers
from pvinfo.commands import command_for, declared_commands
from pvinfo.errors import LayoutError
from pvinfo.platform import ENGINES, Engine

USER_INTERRUPT, BATCH_END = 0x01000000, 0x05000000
BATCH_START = 0x18800101


def make_engines(rig: GpuRig) -> tuple[Engines, list[tuple[Engine, int]]]:
    told: list[tuple[Engine, int]] = []
    engines = Engines(
        rig.platform, rig.clock, lambda name: rig.memory, rig.entries, rig.registers.dwords, rig.bus, lambda name, event: told.append((name, event)), rig.findings
    )
    return engines, told


def submit(rig: GpuRig, engines: Engines, name: Engine, *dwords: int) -> None:
    rig.name, rig.engine = name, engines[name]
    rig.open(rig.engine)
    context = RigContext(rig, 0x20)
    context.write(*dwords)
    rig.submit(context)


def test_all_engines_work_side_by_side_and_each_tells_for_itself() -> None:
    rig = GpuRig()
    engines, told = make_engines(rig)
    for number, name in enumerate(rig.platform.engines):
        submit(rig, engines, name, *[0] * 1000, 0x10400002, rig.status_page + 0x200 + 4 * number, 0, number + 1, USER_INTERRUPT)
    rig.run()
    assert [rig.ggtt.read32(rig.status_page + 0x200 + 4 * number) for number in range(4)] == [1, 2, 3, 4]
    assert sorted(name.value for name, event in told if event == 1) == ["bcs0", "rcs0", "vcs0", "vecs0"]
    assert engines.requests == {"rcs0": 1, "bcs0": 1, "vcs0": 1, "vecs0": 1}
    assert all(count >= 1002 for count in engines.commands.values())


def test_a_request_is_counted_where_its_ring_says_that_it_ends() -> None:
    rig = GpuRig(Engine.BCS0)
    context = RigContext(rig, 0x20)
    context.batch(0x1000, USER_INTERRUPT, BATCH_END)
    rig.execute(BATCH_START, 0x1000, 0, USER_INTERRUPT, USER_INTERRUPT, context=context)
    assert (rig.engine.requests, rig.engine.contexts) == (2, 1)
    assert rig.told.count("user") == 1  # all in one slice: told once


def test_only_the_engines_named_are_reset() -> None:
    rig = GpuRig()
    engines, _ = make_engines(rig)
    for name in (Engine.RCS0, Engine.BCS0):
        submit(rig, engines, name, 0x0E40C002, 1, rig.status_page + 0x300, 0)
    rig.run()
    engines.reset([Engine.BCS0])
    assert engines[Engine.BCS0].port.current is None
    assert engines[Engine.RCS0].port.current is not None


def test_an_engine_spins_without_holding_another_up() -> None:
    rig = GpuRig()
    engines, told = make_engines(rig)
    batch = rig.allocate(1)
    for index, dword in enumerate((*[0] * 500, 0x18800001, batch, 0)):
        rig.ggtt.write32(batch + 4 * index, dword)
    submit(rig, engines, Engine.RCS0, 0x18800001, batch, 0)
    rig.run(1_000_000)
    started = rig.clock.now_ns()
    when: list[int] = []
    engines[Engine.VCS0]._interrupt = lambda event: when.append(rig.clock.now_ns() - started) if event == 1 else None
    submit(rig, engines, Engine.VCS0, USER_INTERRUPT)
    rig.run(1_000_000)
    assert when and when[0] < 20_000


# ---- tables ----


def test_every_handler_belongs_to_a_command_that_is_declared() -> None:
    assert set(HANDLERS) <= {command.name for command in declared_commands()}
    assert len(HANDLERS) > 50


@pytest.mark.parametrize("version", [8, 9])
@pytest.mark.parametrize("engine", list(Engine))
def test_the_table_steps_over_commands_as_their_declarations_say(engine: Engine, version: int) -> None:
    table = command_table(engine, version)
    own = [command for command in declared_commands() if engine in command.engines and command.exists(version)]
    for command in own:
        entry = table.entry(command.match)
        assert table.known[command.match] is entry
        assert entry.length == command.length.of(command.match)
        assert table.predicated.entry(command.match)[1:] == entry[1:]
        if command.length.bits:
            assert table.entry(command.match | 1).length == entry.length + 1
    others = [command for command in declared_commands() if command not in own and command_for(engine, command.match, version) is None]
    assert others and all(table.entry(command.match).length == 1 and command.match not in table.known for command in others)


def test_a_table_does_not_grow_with_the_headers_that_software_writes() -> None:
    table = CommandTable(Engine.RCS0, 9)
    for number in range(10_000):
        assert table.entry(1 << 22 | number).length == 1  # MI_NOOP with a number
    assert 0 < len(table.known) <= 4096


def test_a_cost_grows_with_the_bytes() -> None:
    blit = cost.Cost(500, 40, "", "")
    assert (blit.of(0), blit.of(1000), blit.of(1 << 20)) == (500, 540, 500 + 40 * (1 << 20) // 1000)


def test_every_cost_says_why_and_whence() -> None:
    rows = [line.split("\t") for line in files("host_model.gpu").joinpath("cost.tsv").read_text("ascii").splitlines() if line and line[0] != "#"]
    assert rows[0] == ["name", "fixed ns", "ps per byte", "why", "source"]
    for name, _, _, why, source in rows[1:]:
        assert why and source.startswith(("prm:", "linux:")), name
        assert cost.cost_named(name).why == why
    with pytest.raises(LayoutError, match="no row 'nothing'"):
        cost.cost_named("nothing")


def test_registers_free_to_all_are_the_engines_own_or_the_pipelines() -> None:
    for engine in Engine:
        for version in (8, 9):
            base = ENGINES[engine].base
            allowed = unprivileged_registers(engine, version)
            assert not {base + offset for offset in (0x30, 0x34, 0x38, 0x3C, 0x80, 0x9C, 0xA8, 0xD0, 0x230, 0x244, 0x270, 0x29C, 0x4D0)} & allowed
            assert all(offset % 4 == 0 and offset < 0x8000 or offset >> 12 == base >> 12 for offset in allowed)
