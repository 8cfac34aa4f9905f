"""Registers that commands may load, store and copy, and those that they may not have their own way with."""

from __future__ import annotations

import random
from functools import cache

import pytest
from support.audit_rig import ROOTS, SHADOW_ROOTS, AuditRig, context_registers
from support.naive_audit import BASES, RESTORED, static_access

from host_model.mediator.audit.registers import default_context_registers, loadable_registers, register_rules
from host_model.mediator.refusal import Consequence
from pvinfo.platform import Engine, platform_named

PLATFORMS = ("bdw", "skl", "kbl", "cfl", "bxt")
ENGINES = list(Engine)
LOAD = 0x11000000
VIRTUAL, PHYSICAL = 3, 1


@cache
def rig_of(platform: str) -> AuditRig:
    return AuditRig(platform)


def load(*pairs: tuple[int, int]) -> list[int]:
    return [LOAD | 2 * len(pairs) - 1, *(word for pair in pairs for word in pair)]


# ---- which ----


@pytest.mark.parametrize("platform", PLATFORMS)
def test_what_default_contexts_load_is_what_the_gpu_saves_in_them(platform: str) -> None:
    assert default_context_registers(platform_named(platform)) == context_registers(platform)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_registers_are_the_kernels_and_those_of_default_contexts_less_other_engines(platform: str, engine: Engine) -> None:
    blocks = {base: owner for owner, base in BASES.items()}
    expected = {
        offset for offset in static_access(platform) | context_registers(platform)
        if blocks.get(offset & ~0xFFF, engine) is engine and offset & ~0xFFF != 0x1C000
        and (platform != "bdw" or engine is Engine.RCS0 or offset < 0x40000)
    }  # fmt: skip
    assert loadable_registers(engine, platform_named(platform)) == expected
    rules = register_rules(engine, platform)
    assert set(rules.loads) == set(rules.inhibited_loads) == expected


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_register_is_loaded_or_refused_by_that_list(platform: str, engine: Engine) -> None:
    """Each that is listed, what stands beside it, and some others."""
    rig = rig_of(platform)
    allowed = loadable_registers(engine, rig.vgpu.platform)
    roots = range(BASES[engine] + 0x270, BASES[engine] + 0x290)
    listed = static_access(platform) | context_registers(platform)
    beside = {offset + step for offset in listed for step in (-4, 4)} - listed
    some = random.Random(1).sample(sorted(beside), 60) + random.Random(2).sample(range(0, 0x800000, 4), 60)
    for offset in [*sorted(listed), *some, 0, 0x44050, 0x78000, 0x1FFFFC, 0x200000, 0x7FFFFC]:
        if offset in roots:
            continue
        if offset in allowed:
            rig.ring(engine, load((offset, 0)))
        else:
            refused = rig.refusal(engine, load((0x7000, 0), (offset, 0)))
            assert (refused.rule, refused.consequence, refused.value) == ("audit-register", Consequence.FAILSAFE, offset), hex(offset)


def test_a_refused_register_is_named_with_the_nearest_that_would_have_passed() -> None:
    refused = rig_of("skl").refusal(Engine.RCS0, [0, *load((0x7000, 1), (0x2030, 2))])
    assert refused.where == "rcs0 ring 0x1004 MI_LOAD_REGISTER_IMM"
    assert refused.text == "register 0x2030 is none that commands of rcs0 may touch"
    assert (refused.value, refused.nearest) == (0x2030, "0x2028")
    outside = rig_of("skl").refusal(Engine.RCS0, load((0x200000, 1)))
    assert outside.text == "register 0x200000 is beyond the registers, which end at 0x200000"


def test_bits_around_the_name_of_a_register_are_not_looked_at() -> None:
    words = load((0xFF802583, 5))
    assert rig_of("skl").ring(Engine.RCS0, words)[1] == words
    assert rig_of("skl").refusal(Engine.RCS0, load((0xFF802033, 5))).rule == "audit-register"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_registers_that_the_kernel_would_load_into_nothing_cannot_be_loaded_at_all(platform: str) -> None:
    """DERRMR and FORCEWAKE_MT: the kernel has a rule for them, and neither is on its list."""
    for offset in (0x44050, 0xA188):
        for engine in ENGINES:
            assert rig_of(platform).refusal(engine, load((offset, 0))).rule == "audit-register"


def test_on_broadwell_registers_above_256_kib_are_the_render_engines() -> None:
    for offset in (0x120000, 0x120008):
        assert rig_of("bdw").ring(Engine.RCS0, load((offset, 1)))
        for engine in (Engine.BCS0, Engine.VCS0, Engine.VECS0):
            assert rig_of("bdw").refusal(engine, load((offset, 1))).rule == "audit-register"
            assert rig_of("skl").ring(engine, load((offset, 1)))


def test_the_registers_of_another_engine_are_not_on_the_list() -> None:
    """The kernel's list knows no engines: there, one could load another's page-table roots."""
    for platform in ("bdw", "skl"):
        for engine in ENGINES:
            for other in set(ENGINES) - {engine}:
                for offset in (0x28, 0x9C, 0x274, 0x29C):
                    assert rig_of(platform).refusal(engine, load((BASES[other] + offset, 0))).rule == "audit-register"


# ---- to memory, from memory, from register to register ----


@pytest.mark.parametrize("header", [0x12000002, 0x14800002])
@pytest.mark.parametrize("platform", PLATFORMS)
def test_few_registers_may_be_stored_or_loaded_from_memory(platform: str, header: int) -> None:
    rig = rig_of(platform)
    for offset in (0xB118, 0x21F0, 0x20C0, 0x2580, 0x7014, 0x2358, 0x2600, 0x2030, 0x22028, 0x44050):
        words = [header, offset, 0x1000, 0]
        if offset in (0xB118, 0x21F0) or (offset == 0x20C0 and platform == "bdw"):
            assert rig.ring(Engine.RCS0, words)[1] == words
            continue
        refused = rig.refusal(Engine.RCS0, words)
        listed = offset in loadable_registers(Engine.RCS0, rig.vgpu.platform)
        assert refused.rule == ("audit-register-use" if listed else "audit-register"), hex(offset)
        assert refused.consequence is (Consequence.FLUSH if listed else Consequence.FAILSAFE)
        assert refused.value == offset


@pytest.mark.parametrize("platform", PLATFORMS)
def test_one_register_may_be_copied_to_itself_and_on_broadwell_alone(platform: str) -> None:
    rig = rig_of(platform)
    words = [0x15000001, 0x215C, 0x215C]
    if platform == "bdw":
        assert rig.ring(Engine.RCS0, words)[1] == words
    else:
        refused = rig.refusal(Engine.RCS0, words)
        assert (refused.rule, refused.consequence, refused.nearest) == ("audit-register-use", Consequence.FLUSH, "MI_LOAD_REGISTER_IMM")
    for words, rule, value in (
        ([0x15000001, 0x7000, 0x215C], "audit-register-use", 0x7000), ([0x15000001, 0x2030, 0x215C], "audit-register", 0x2030),
        ([0x15000001, 0x44050, 0x215C], "audit-register", 0x44050),
    ):  # fmt: skip
        refused = rig.refusal(Engine.RCS0, words)
        assert (refused.rule, refused.value) == (rule, value)
    if platform == "bdw":
        assert rig.refusal(Engine.RCS0, [0x15000001, 0x215C, 0x120000]).rule == "audit-register-use"
        assert rig.refusal(Engine.BCS0, [0x15000001, 0x215C, 0x215C]).rule == "audit-register", "one of the render engine's"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_pipe_control_writes_the_registers_that_may_be_loaded(platform: str) -> None:
    rig = rig_of(platform)
    for offset in sorted(loadable_registers(Engine.RCS0, rig.vgpu.platform) - set(range(0x2270, 0x2290)))[::7]:
        words = [0x7A000004, 0x00804000, offset, 0, 0, 0]
        assert rig.ring(Engine.RCS0, words)[1] == words
    for offset in (0x2030, 0x44050, 0x22028, 0x200000):
        refused = rig.refusal(Engine.RCS0, [0x7A000004, 0x00804000, offset, 0, 0, 0])
        assert (refused.rule, refused.consequence, refused.value) == ("audit-register", Consequence.FAILSAFE, offset)
    counters = {0x2350, 0x2358}
    assert counters <= loadable_registers(Engine.RCS0, rig.vgpu.platform), "what a pipe control reads for a count or the time"


# ---- what the mediator remembers ----


@pytest.mark.parametrize("engine", ENGINES)
def test_caching_tables_are_remembered_by_every_engine(engine: Engine) -> None:
    rig = AuditRig("kbl")
    for offset in (0xC800, 0xCFF4, 0xB020, 0xB09C):
        words = load((offset, 0x1234), (offset, 0x5678))
        assert rig.ring(engine, words)[1] == words
        assert rig.vgpu.registers.read32(offset) == 0x5678
    assert rig.ring(Engine.RCS0, [0x7A000004, 0x00804000, 0xC800, 0, 0x99, 0])[1][4] == 0x99
    assert rig.vgpu.registers.read32(0xC800) == 0x99


def test_registers_of_a_context_that_is_restored_with_inhibit_are_remembered_on_gen9() -> None:
    rig = AuditRig("skl")
    registers = rig.vgpu.registers
    for offset in sorted(RESTORED):
        registers.write32(offset, 0x00F0)
        words = load((offset, 0x000F0003 if offset != 0x4DF4 else VIRTUAL))
        assert rig.ring(Engine.RCS0, words)[1] == words
        assert registers.read32(offset) == 0x00F0, "without inhibit, the context keeps it"
        assert rig.ring(Engine.RCS0, words, inhibit=True)[1] == words
        masked = not 0x4DE0 <= offset <= 0x4DFC
        assert registers.read32(offset) == (0x00F3 if masked else words[2]), hex(offset)


def test_other_registers_and_those_of_gen8_are_not_remembered() -> None:
    rig = AuditRig("skl")
    for offset in (0x2090, 0x2420, 0x7018, 0xE4F4):
        rig.ring(Engine.RCS0, load((offset, 0xFFFF0001)), inhibit=True)
        assert rig.vgpu.registers.read32(offset) != 0xFFFF0001 and not rig.vgpu.registers.read32(offset) & 1
    rig = AuditRig("bdw")
    before = rig.vgpu.registers.read32(0x7004)
    rig.ring(Engine.RCS0, load((0x7004, 0xFFFF0001)), inhibit=True)
    assert rig.vgpu.registers.read32(0x7004) == before


# ---- what the mediator watches over ----


def test_the_mode_of_an_engine_goes_through_the_vgpus_own_rules() -> None:
    rig = AuditRig("skl")
    before = rig.vgpu.registers.read32(0x2229C)
    _, patched = rig.ring(Engine.BCS0, load((0x2229C, 0x80008000)))
    assert patched == load((0x2229C, 0x80008000)) and not rig.vgpu.failsafe
    assert rig.vgpu.registers.read32(0x2229C) == before, "it is the command that sets it"
    _, patched = rig.ring(Engine.BCS0, load((0x2229C, 0x80018001)))
    assert patched == load((0x2229C, 0x80008000)) and rig.vgpu.failsafe, "privilege checks stay on"


@pytest.mark.parametrize("offset", [0x24D0, 0x24FC])
def test_slots_of_the_white_list_take_what_the_vgpu_takes(offset: int) -> None:
    rig = AuditRig("skl")
    rig.vgpu.registers.write32(offset, 0x2580)
    words = load((offset, 0x7010), (offset, 0x2094))
    assert rig.ring(Engine.RCS0, words)[1] == words
    assert rig.ring(Engine.RCS0, load((offset, 0x2030)))[1] == load((offset, 0x2580)), "as it was"
    assert [finding.rule for finding in rig.vgpu.findings] == ["nonpriv-register"]
    assert rig.ring(Engine.RCS0, [0x7A000004, 0x00804000, offset, 0, 0x2030, 0])[1][4] == 0x2580
    assert rig.vgpu.registers.read32(offset) == 0x2580


def test_the_front_end_goes_through_the_vgpus_own_rules_though_the_kernel_does_not_ask_for_it() -> None:
    rig = AuditRig("kbl")
    words = load((0x220D4, 0x00010001))
    assert rig.ring(Engine.BCS0, words)[1] == words and not rig.vgpu.failsafe
    _, patched = rig.ring(Engine.BCS0, load((0x220D4, 0x00080008)))
    assert patched == load((0x220D4, 0)) and rig.vgpu.failsafe


@pytest.mark.parametrize("platform", ["skl", "kbl", "cfl", "bxt"])
def test_a_table_of_sparse_resources_must_be_virtual(platform: str) -> None:
    rig = rig_of(platform)
    for value in (0, 2, VIRTUAL, 0xFFFFFFFF):
        assert rig.ring(Engine.RCS0, load((0x4DF4, value)))[1] == load((0x4DF4, value))
    for words in (load((0x4DF4, PHYSICAL)), load((0x4DF4, 0xFFFFFFFD)), [0x7A000004, 0x00804000, 0x4DF4, 0, PHYSICAL, 0]):
        refused = rig.refusal(Engine.RCS0, words)
        assert (refused.rule, refused.consequence) == ("audit-sparse-table", Consequence.FLUSH)
        assert int(refused.nearest, 16) == (refused.value or 0) | 2


@pytest.mark.parametrize("disabled", [1, 2, 4, 8, 15])
def test_what_the_mediator_watches_or_remembers_is_loaded_whole(disabled: int) -> None:
    """A byte that is left as it is would be one that nobody has looked at."""
    rig = rig_of("skl")
    for offset in (0x229C, 0x24D0, 0x20D4, 0x4DF4, 0xC800, 0xB020, 0x2274):
        words = load((0x2580, 1), (offset, VIRTUAL))
        words[0] |= disabled << 8
        refused = rig.refusal(Engine.RCS0, words)
        assert (refused.rule, refused.value, refused.nearest) == ("audit-register-bytes", words[0], "0x11000003")
    plain = load((0x2580, 1), (0x7014, 2))
    plain[0] |= disabled << 8
    assert rig.ring(Engine.RCS0, plain)[1] == plain
    assert rig.refusal(Engine.RCS0, plain, inhibit=True).rule == "audit-register-bytes", "remembered there"


# ---- page-table roots ----


def root_pairs(engine: Engine, roots: tuple[int, ...]) -> list[tuple[int, int]]:
    """From the last to the first, upper half first, as the kernel has it."""
    base = BASES[engine] + 0x270
    return [(base + 8 * n + 4 * high, roots[n] >> 32 * high & 0xFFFFFFFF) for n in reversed(range(len(roots))) for high in (1, 0)]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("platform", ["bdw", "skl"])
def test_the_root_of_an_announced_space_becomes_that_of_its_shadow(platform: str, engine: Engine) -> None:
    rig = AuditRig(platform)
    guest, shadow = (0x7_8000_1000,), (0x2_0000_5000,)
    space = rig.spaces.add(4, guest, shadow)
    audited, patched = rig.ring(engine, [*load(*root_pairs(engine, guest)), 0])
    assert patched == [*load(*root_pairs(engine, shadow)), 0]
    assert audited.tables == (space,) and (space.references, space.pins) == (1, 1)
    rig.give_back(audited)
    assert not rig.spaces.kept


def test_the_halves_of_a_root_may_stand_anywhere_in_the_command() -> None:
    rig = AuditRig("skl")
    (low, high) = ((0x2270, ROOTS[0] & 0xFFFFFFFF), (0x2274, ROOTS[0] >> 32))
    (new_low, new_high) = ((0x2270, SHADOW_ROOTS[0] & 0xFFFFFFFF), (0x2274, SHADOW_ROOTS[0] >> 32))
    for given, expected in (
        ((low, high), (new_low, new_high)), ((high, (0x7014, 5), low), (new_high, (0x7014, 5), new_low)),
        ((low, low, high), (new_low, new_low, new_high)), (((0x2270, 0xBAD), high, low), (new_low, new_high, new_low)),
    ):  # fmt: skip
        audited, patched = rig.ring(Engine.RCS0, load(*given))
        assert patched == load(*expected)
        rig.give_back(audited)


def test_a_space_is_kept_once_however_often_the_ring_goes_over_to_it() -> None:
    rig = AuditRig("skl")
    other = rig.spaces.add(4, (0x9000,), (0x8000,))
    there, back = load(*root_pairs(Engine.RCS0, (0x9000,))), load(*root_pairs(Engine.RCS0, ROOTS))
    audited, _ = rig.ring(Engine.RCS0, [*there, *back, *there, *back])
    assert audited.tables == (other, rig.space) and [(space.references, space.pins) for space in audited.tables] == [(1, 1), (1, 1)]
    rig.give_back(audited)


def test_a_root_that_was_never_announced_is_refused_and_those_before_are_given_back() -> None:
    rig = AuditRig("skl")
    refused = rig.refusal(Engine.RCS0, [*load(*root_pairs(Engine.RCS0, ROOTS)), *load(*root_pairs(Engine.RCS0, (0xABC000,)))])
    assert (refused.rule, refused.consequence, refused.value) == ("audit-root", Consequence.FLUSH, 0xABC000)
    rig.spaces.refuse_pins = True
    assert rig.refusal(Engine.RCS0, load(*root_pairs(Engine.RCS0, ROOTS))).rule == "ppgtt-entry"


@pytest.mark.parametrize("half", [0x2270, 0x2274])
def test_half_a_root_is_refused(half: int) -> None:
    """The kernel lets the lower half pass by itself: whatever is written there would be walked."""
    rig = rig_of("skl")
    refused = rig.refusal(Engine.RCS0, load((half, 0x1000)))
    assert (refused.rule, refused.consequence, refused.nearest) == ("audit-root", Consequence.FLUSH, "all of them in one command")


def test_with_four_levels_the_other_roots_lead_nowhere() -> None:
    rig = rig_of("skl")
    others = [(0x2278 + 4 * number, 0x1234 + number) for number in range(6)]
    assert rig.ring(Engine.RCS0, load(*others))[1] == load(*((offset, 0) for offset, _ in others))
    audited, patched = rig.ring(Engine.RCS0, load(*others, *root_pairs(Engine.RCS0, ROOTS)))
    assert patched == load(*((offset, 0) for offset, _ in others), *root_pairs(Engine.RCS0, SHADOW_ROOTS))
    rig.give_back(audited)


@pytest.mark.parametrize("missing", range(8))
def test_three_levels_have_four_roots_and_need_all_of_them(missing: int) -> None:
    rig = AuditRig("skl")
    guest = (0x1000, 0x2000, 0x3000, 0x4000)
    space = rig.spaces.add(3, guest, (0xA000, 0xB000, 0xC000, 0xD000))
    pairs = root_pairs(Engine.RCS0, guest)
    del pairs[missing]
    refused = rig.refusal(Engine.RCS0, load(*pairs), space=space)
    assert refused.rule == "audit-root" and refused.text == "7 of the 8 halves of page-table roots are set"


def test_a_root_is_set_by_no_other_command() -> None:
    rig = rig_of("skl")
    refused = rig.refusal(Engine.RCS0, [0x7A000004, 0x00804000, 0x2270, 0, 0x1000, 0])
    assert (refused.rule, refused.consequence) == ("audit-root", Consequence.FAILSAFE)
    assert rig.refusal(Engine.RCS0, [0x14800002, 0x2270, 0x1000, 0]).rule == "audit-register-use"
