"""What runs or is loaded with a context: its work-around batches, and the engine's registers in its image."""

from __future__ import annotations

import pytest
from support.audit_rig import ROOTS, SHADOW_ROOTS, AuditRig

from host_model.device.interrupts import Event
from host_model.device.mmio.registers import RegisterPage
from host_model.gpu.context import RegisterState, SavedContext
from host_model.mediator.refusal import Consequence, Refused
from pvinfo.context_image import context_image
from pvinfo.platform import ENGINES, Engine, platform_named
from pvinfo.units import PAGE_SIZE

END = 0x05000000
PLATFORMS = ("bdw", "skl", "kbl", "cfl", "bxt")


@pytest.fixture
def rig() -> AuditRig:
    return AuditRig("skl")


def at(rig: AuditRig, page: int) -> int:
    return rig.low.start + PAGE_SIZE * page


def start(address: int, flags: int = 0) -> list[int]:
    return [0x18800001 | flags, address & 0xFFFFFFFF, address >> 32]


def refusal(rig: AuditRig, indirect: tuple[int, int] | None, per_context: int | None = None) -> Refused:
    with pytest.raises(Refused) as caught:
        rig.audit.workaround(indirect, per_context)
    assert not rig.store.live and not rig.spaces.kept
    return caught.value


# ---- work-around batches ----


def test_a_context_without_work_around_batches_has_none(rig: AuditRig) -> None:
    for indirect in (None, (0x1001, 0)):
        audited = rig.audit.workaround(indirect, None)
        assert audited == (None, None, frozenset(), (), ())


@pytest.mark.parametrize("size", [64, 192, PAGE_SIZE, 63 * 64 + PAGE_SIZE])
def test_the_batch_inside_the_restore_is_as_long_as_the_context_says(rig: AuditRig, size: int) -> None:
    words = [0x04000000, 0x10400002, at(rig, 1), 0, 5, 0x01000000, *[0] * (size // 4 - 7), 0x02800000]
    address = rig.place(at(rig, 16), words)
    audited = rig.audit.workaround((address, size), None)
    assert audited.indirect is not None and not audited.indirect.address & PAGE_SIZE - 1
    assert list(audited.indirect.dwords[: size // 4]) == [*words[:5], 0, *words[6:]]
    assert (audited.per_context, audited.events, audited.batches) == (None, frozenset({Event.RCS_USER}), (audited.indirect,))
    rig.give_back(audited)
    assert not rig.store.live


def test_the_batch_at_the_end_of_the_restore_ends_itself(rig: AuditRig) -> None:
    """With the other one, and alone: the kernel forgets about it then."""
    indirect = rig.place(at(rig, 16), [0] * 16)
    per_context = rig.place(at(rig, 18), [0x11000001, 0x2580, 0x00030003, END, 0x11800002])
    for first in ((indirect, 64), None):
        audited = rig.audit.workaround(first, per_context)
        assert audited.per_context is not None and audited.per_context in audited.batches
        assert list(audited.per_context.dwords[:6]) == [0x11000001, 0x2580, 0x00030003, END, 0, 0]
        assert len(audited.batches) == (2 if first else 1) and (audited.indirect is None) == (first is None)
        rig.give_back(audited)
    refused = refusal(rig, (indirect, 64), rig.place(at(rig, 18), [0xE0000000, END]))
    assert refused.where == f"rcs0 batch {at(rig, 18):#x} no command"


def test_batches_started_from_work_around_batches_are_copied(rig: AuditRig) -> None:
    inner = rig.place(at(rig, 20), [0x01000000, END])
    indirect = rig.place(at(rig, 16), [*start(inner), *[0] * 13])
    audited = rig.audit.workaround((indirect, 64), inner)
    assert audited.indirect is not None and audited.per_context is not None
    assert list(audited.indirect.dwords[:3]) == start(audited.per_context.address), "one copy serves both"
    assert len(audited.batches) == 2
    rig.give_back(audited)
    for flags in (1 << 22, 1 << 22 | 1 << 8):
        rig.write(indirect, start(inner, flags))
        assert refusal(rig, (indirect, 64)).rule == "audit-batch-level"


def test_what_the_batch_loads_into_a_context_restored_with_inhibit_is_remembered(rig: AuditRig) -> None:
    """Else the registers loaded ahead of the ring, for that context, would undo it."""
    registers = rig.vgpu.registers
    registers.write32(0x7014, 0x1001)
    address = rig.place(at(rig, 16), [0x11000003, 0x7014, 0x10000000, 0x2088, 0x00020002, *[0] * 11])
    rig.give_back(rig.audit.workaround((address, 64), None))
    assert registers.read32(0x7014) == 0x1001
    rig.give_back(rig.audit.workaround((address, 64), None, inhibit=True))
    assert registers.read32(0x7014) == 0x0001 and registers.read32(0x2088) != 0x00020002


def test_with_its_address_space_given_a_work_around_batch_may_name_roots(rig: AuditRig) -> None:
    address = rig.place(at(rig, 16), [0x11000003, 0x2270, ROOTS[0] & 0xFFFFFFFF, 0x2274, ROOTS[0] >> 32, *[0] * 11])
    audited = rig.audit.workaround((address, 64), None, rig.space)
    assert audited.indirect is not None and audited.indirect.dwords[2] | audited.indirect.dwords[4] << 32 == SHADOW_ROOTS[0]
    assert audited.tables == (rig.space,)
    rig.give_back(audited)
    assert not rig.spaces.kept


def test_what_stands_behind_an_end_in_the_restore_is_taken_out(rig: AuditRig) -> None:
    address = rig.place(at(rig, 16), [0x02800000, END, 0x11800002, 0xE0000000, *[0x01000000] * 12])
    audited = rig.audit.workaround((address, 64), None)
    assert audited.indirect is not None and list(audited.indirect.dwords[:16]) == [0x02800000, END, *[0] * 14]
    assert not audited.events
    rig.give_back(audited)


def test_a_batch_inside_the_restore_begins_with_a_page(rig: AuditRig) -> None:
    rig.place(at(rig, 16), [0] * 64)
    refused = refusal(rig, (at(rig, 16) + 64, 64))
    assert (refused.rule, refused.consequence, refused.nearest) == ("audit-workaround", Consequence.FLUSH, f"{at(rig, 16):#x}")


def test_work_around_batches_go_by_the_rules_of_rings(rig: AuditRig) -> None:
    for words, rule in (
        ([0x11800002, 0, 0, 0], "audit-command-refused"), ([0x11000001, 0x2030, 0], "audit-register"), ([0x10400002, 0, 0, 0], "audit-address"),
        ([0x11000003, 0x2270, ROOTS[0] & 0xFFFFFFFF, 0x2274, ROOTS[0] >> 32], "audit-root"),
    ):  # fmt: skip
        address = rig.place(at(rig, 16), words + [0] * (16 - len(words)))
        refused = refusal(rig, (address, 64))
        assert refused.rule == rule and refused.where.startswith(f"rcs0 work-around batch {address:#x}")
    rig.place(at(rig, 16), [*[0] * 15, 0x7A000004])
    assert refusal(rig, (at(rig, 16), 64)).rule == "audit-past-end"


def test_a_work_around_batch_stands_where_the_vgpu_has_memory(rig: AuditRig) -> None:
    rig.place(at(rig, 16), [END])
    assert refusal(rig, (at(rig, 16), PAGE_SIZE + 64)).rule == "audit-batch-address"
    assert refusal(rig, (0x1000, 64)).consequence is Consequence.FAILSAFE
    assert refusal(rig, None, 0x1000).rule == "audit-batch-address"
    rig.store.limit = 0
    assert refusal(rig, (at(rig, 16), 64)).rule == "audit-host-memory"
    assert refusal(rig, None, at(rig, 16)).rule == "audit-host-memory"


# ---- images ----


def saved(platform: str, engine: Engine, dwords: int = 1024) -> memoryview:
    """The register state that the GPU leaves, and zeroes."""
    page = memoryview(bytearray(4 * dwords)).cast("I")
    state = RegisterState(engine, platform_named(platform), RegisterPage().dwords)
    state.save(page[:1024], SavedContext(0, None, None, 0))
    return page


@pytest.mark.parametrize("engine", list(Engine))
@pytest.mark.parametrize("platform", PLATFORMS)
def test_images_as_drivers_make_them_and_the_gpu_saves_them_pass_unchanged(platform: str, engine: Engine) -> None:
    rig = AuditRig(platform)
    part = rig.vgpu.platform
    page = saved(platform, engine, 1024 * (part.context_pages[engine] - 1))
    if engine is Engine.BCS0:
        RegisterState(engine, part, RegisterPage().dwords).save_unit_state(page[:1024], tuple(range(20)))
    fresh = memoryview(bytearray(context_image(part.graphics_version, engine).fresh_page(ENGINES[engine].base))).cast("I")
    for image in (page, fresh, memoryview(bytearray(8192)).cast("I")):
        before = image.tobytes()
        for inhibit in (False, True):
            rig.audit.image(engine, image, inhibit=inhibit)
        assert image.tobytes() == before


def test_registers_of_an_image_go_by_the_rules_of_commands() -> None:
    rig = AuditRig("skl")
    page = saved("skl", Engine.RCS0)
    assert page[0x51] == 0x11001057 and page[0x52] == 0x2028
    page[0x52] = 0x2030
    with pytest.raises(Refused) as caught:
        rig.audit.image(Engine.RCS0, page, inhibit=False)
    assert (caught.value.rule, caught.value.value, caught.value.where) == ("audit-register", 0x2030, "rcs0 context image 0x144 MI_LOAD_REGISTER_IMM")
    rig.audit.image(Engine.RCS0, page, inhibit=True)


def test_what_a_context_always_takes_from_its_image_is_not_the_audits_affair() -> None:
    page = saved("skl", Engine.RCS0)
    page[0x22] = 0x2030
    page[0x05] = 0x12345
    AuditRig("skl").audit.image(Engine.RCS0, page, inhibit=False)


def test_values_in_an_image_are_patched_as_those_of_commands() -> None:
    rig = AuditRig("skl")
    page = saved("skl", Engine.RCS0)
    page[0x52], page[0x53] = 0x24D0, 0x2030
    page[0x54], page[0x55] = 0xC800, 0x33
    rig.vgpu.registers.write32(0x24D0, 0x7010)
    rig.audit.image(Engine.RCS0, page, inhibit=False)
    assert (page[0x53], rig.vgpu.registers.read32(0xC800)) == (0x7010, 0x33)
    place = next(dword for dword in range(0x50, 1024) if page[dword] == 0x4DF4)
    page[place + 1] = 1
    with pytest.raises(Refused, match="audit-sparse-table"):
        rig.audit.image(Engine.RCS0, page, inhibit=False)


@pytest.mark.parametrize("flags", [0, 1 << 8, 1 << 22])
def test_an_image_starts_no_batch_and_changes_no_roots(flags: int) -> None:
    rig = AuditRig("skl")
    page = saved("skl", Engine.BCS0)
    page[0x51:0x54] = memoryview(bytearray(b"".join(word.to_bytes(4, "little") for word in start(rig.place(at(rig, 16), [END]), flags)))).cast("I")
    with pytest.raises(Refused, match="audit-batch-level"):
        rig.audit.image(Engine.BCS0, page, inhibit=False)
    page = saved("skl", Engine.BCS0)
    page[0x52] = 0x22274
    with pytest.raises(Refused, match="audit-root"):
        rig.audit.image(Engine.BCS0, page, inhibit=False)


def test_an_image_that_ends_in_a_command_is_refused() -> None:
    page = memoryview(bytearray(4096)).cast("I")
    page[1023] = 0x11000001
    with pytest.raises(Refused, match="audit-past-end"):
        AuditRig("skl").audit.image(Engine.RCS0, page, inhibit=False)
