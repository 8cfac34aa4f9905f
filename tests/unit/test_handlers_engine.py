"""Engine registers of a vGPU: what each write leads to, by values."""

from __future__ import annotations

import pytest
from support.vgpus import make_vgpu

from host_model.clock import VirtualClock
from host_model.device.timestamp import timestamp_at
from host_model.mediator.failsafe import FailsafeReason
from host_model.mediator.vgpu import Vgpu
from pvinfo.finding import FindingKind
from pvinfo.platform import PLATFORMS, Engine
from pvinfo.register import masked_bits
from pvinfo.registers.engine import ENGINE_BASES, EngineRegisters

ENGINES = sorted(ENGINE_BASES)
RUN_LIST = 1 << 15
PPGTT = 1 << 9


def _rules(vgpu: Vgpu) -> list[str]:
    return [finding.rule for finding in vgpu.findings]


# ---- RING_MODE ----


@pytest.mark.parametrize("engine", ENGINES)
def test_an_aware_guest_switches_execlists_on_and_reads_the_bit_without_its_mask(engine: str) -> None:
    vgpu = make_vgpu()
    mode = EngineRegisters.mode.at(engine)
    vgpu.mmio.write32(mode, masked_bits(RUN_LIST))
    assert vgpu.mmio.read32(mode) == RUN_LIST
    assert not vgpu.failsafe and _rules(vgpu) == []
    vgpu.mmio.write32(mode, masked_bits(RUN_LIST, enable=False))
    assert vgpu.mmio.read32(mode) == 0


@pytest.mark.parametrize("bit", [RUN_LIST, PPGTT])
def test_a_guest_that_never_read_the_page_is_refused_when_it_wants_what_only_an_aware_one_may_have(bit: int) -> None:
    vgpu = make_vgpu(aware=False)
    mode = EngineRegisters.mode.at("RCS0")
    vgpu.mmio.write32(mode, masked_bits(bit))
    assert vgpu.failsafe.reason is FailsafeReason.UNSUPPORTED_GUEST
    (finding,) = vgpu.findings.of_rule("failsafe")
    assert finding.where == "rcs0.RING_MODE (0x229c)" and finding.value == masked_bits(bit)


def test_taking_the_bits_away_is_open_to_every_guest() -> None:
    vgpu = make_vgpu(aware=False)
    vgpu.mmio.write32(EngineRegisters.mode.at("RCS0"), masked_bits(RUN_LIST | PPGTT, enable=False))
    assert not vgpu.failsafe


@pytest.mark.parametrize(("platform", "bit", "refused"), [("skl", 1, True), ("skl", 2, False), ("cfl", 1, True), ("cfl", 2, True)])
def test_bits_of_the_ring_mode_that_belong_to_the_host_put_a_guest_in_failsafe_mode(platform: str, bit: int, refused: bool) -> None:
    vgpu = make_vgpu(platform)
    vgpu.mmio.write32(EngineRegisters.mode.at("VCS0"), masked_bits(bit))
    assert bool(vgpu.failsafe) is refused
    assert vgpu.mmio.read32(EngineRegisters.mode.at("VCS0")) == (0 if refused else bit)


def test_the_hosts_bits_are_stripped_even_when_they_are_only_cleared() -> None:
    vgpu = make_vgpu()
    mode = EngineRegisters.mode.at("BCS0")
    vgpu.registers.write32(mode, 1)
    vgpu.mmio.write32(mode, masked_bits(1, enable=False))
    assert vgpu.mmio.read32(mode) == 1 and not vgpu.failsafe


# ---- front end work-arounds ----


@pytest.mark.parametrize("bit", [1 << 3, 1 << 4])
def test_front_end_bits_of_the_host_put_a_guest_in_failsafe_mode(bit: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(EngineRegisters.csfe_chicken1.at("RCS0"), masked_bits(bit))
    assert vgpu.failsafe.reason is FailsafeReason.UNSUPPORTED_GUEST


def test_other_front_end_bits_are_kept_under_their_mask() -> None:
    vgpu = make_vgpu()
    chicken = EngineRegisters.csfe_chicken1.at("RCS0")
    vgpu.mmio.write32(chicken, masked_bits(1 << 2))
    assert vgpu.mmio.read32(chicken) == 1 << 2 and not vgpu.failsafe


def test_gen8_has_no_front_end_register_so_nothing_is_refused_there() -> None:
    vgpu = make_vgpu("bdw")
    vgpu.mmio.write32(EngineRegisters.csfe_chicken1.at("RCS0"), masked_bits(1 << 3))
    assert not vgpu.failsafe
    assert vgpu.mmio.unmodelled == {0x20D4: 1}


# ---- the reset handshake ----


@pytest.mark.parametrize("engine", ENGINES)
def test_an_engine_is_ready_for_reset_when_asked_and_not_when_the_request_is_taken_back(engine: str) -> None:
    vgpu = make_vgpu()
    control = EngineRegisters.reset_ctl.at(engine)
    vgpu.mmio.write32(control, masked_bits(1))
    assert vgpu.mmio.read32(control) == 0b011
    vgpu.mmio.write32(control, masked_bits(1, enable=False))
    assert vgpu.mmio.read32(control) == 0


def test_writing_readiness_or_an_unmasked_request_changes_nothing() -> None:
    vgpu = make_vgpu()
    control = EngineRegisters.reset_ctl.at("RCS0")
    vgpu.mmio.write32(control, 0xFFFE_FFFF)
    assert vgpu.mmio.read32(control) == 0


def test_a_half_word_write_of_the_request_without_its_mask_does_nothing() -> None:
    vgpu = make_vgpu()
    control = EngineRegisters.reset_ctl.at("RCS0")
    vgpu.mmio.write(control, 2, 1)
    assert vgpu.mmio.read32(control) == 0


# ---- errors ----


def test_errors_are_acknowledged_by_writing_ones() -> None:
    vgpu = make_vgpu()
    eir = EngineRegisters.eir.at("RCS0")
    vgpu.registers.write32(eir, 0b10001)
    vgpu.mmio.write32(eir, 0)
    assert vgpu.mmio.read32(eir) == 0b10001
    vgpu.mmio.write32(eir, 0b1)
    assert vgpu.mmio.read32(eir) == 0b10000
    vgpu.mmio.write32(eir, 0xFFFFFFFF)
    assert vgpu.mmio.read32(eir) == 0


def test_an_engine_that_resumes_has_no_error() -> None:
    vgpu = make_vgpu()
    for engine in ENGINES:
        assert vgpu.mmio.read32(EngineRegisters.esr.at(engine)) == 0


# ---- the status page ----


def test_the_status_page_may_be_any_page_of_the_guests_own_and_none() -> None:
    vgpu = make_vgpu()
    pga = EngineRegisters.hws_pga.at("RCS0")
    for address in (vgpu.resources.low.start, vgpu.resources.high.stop - 0x1000, 0):
        vgpu.mmio.write32(pga, address)
        assert vgpu.mmio.read32(pga) == address
    assert _rules(vgpu) == []


@pytest.mark.parametrize("place", ["below", "above", "unaligned"])
def test_a_status_page_elsewhere_is_refused_and_the_old_one_stays(place: str) -> None:
    vgpu = make_vgpu()
    pga = EngineRegisters.hws_pga.at("RCS0")
    good = vgpu.resources.high.start
    vgpu.mmio.write32(pga, good)
    wrong = {"below": good - 0x1000, "above": vgpu.resources.low.stop, "unaligned": good + 0x80}[place]
    vgpu.mmio.write32(pga, wrong)
    assert vgpu.mmio.read32(pga) == good
    (finding,) = vgpu.findings.of_rule("status-page-outside-slice")
    assert finding.kind is FindingKind.GUEST_FAULT
    assert finding.value == wrong
    assert f"{good:#x}" in finding.nearest


# ---- submission ----


def test_every_fourth_write_of_the_port_is_a_submission() -> None:
    vgpu = make_vgpu()
    elsp = EngineRegisters.elsp.at("BCS0")
    for _ in range(7):
        vgpu.mmio.write32(elsp, 0x1234)
    assert vgpu.submission.submissions == {Engine.RCS0: 0, Engine.BCS0: 1, Engine.VCS0: 0, Engine.VECS0: 0}
    (finding,) = vgpu.findings.of_rule("empty-submission")
    assert finding.kind is FindingKind.GUEST_FAULT and (finding.where, finding.value) == ("bcs0.ELSP (0x22230)", 0x1234)
    assert vgpu.mmio.read32(elsp) == 0


def test_enabling_execlists_drops_a_submission_begun_before_and_rewinds_the_event_pointer() -> None:
    vgpu = make_vgpu()
    for _ in range(3):
        vgpu.mmio.write32(EngineRegisters.elsp.at("RCS0"), 0)
    vgpu.mmio.write32(EngineRegisters.mode.at("RCS0"), masked_bits(RUN_LIST))
    assert vgpu.mmio.read32(EngineRegisters.context_status_ptr.at("RCS0")) == 7
    vgpu.mmio.write32(EngineRegisters.elsp.at("RCS0"), 0)
    assert vgpu.submission.submissions[Engine.RCS0] == 0


def test_a_device_reset_drops_a_submission_begun_before() -> None:
    vgpu = make_vgpu()
    elsp = EngineRegisters.elsp.at("RCS0")
    for _ in range(3):
        vgpu.mmio.write32(elsp, 0)
    vgpu.reset()
    for _ in range(3):
        vgpu.mmio.write32(elsp, 0)
    assert vgpu.submission.submissions[Engine.RCS0] == 0


def test_a_guest_cannot_forge_context_events_or_the_port_state() -> None:
    vgpu = make_vgpu()
    for register in (EngineRegisters.context_status_buffer, EngineRegisters.execlist_status_lo, EngineRegisters.execlist_status_hi):
        before = vgpu.mmio.read32(register.at("RCS0"))
        vgpu.mmio.write32(register.at("RCS0"), 0xFFFFFFFF)
        assert vgpu.mmio.read32(register.at("RCS0")) == before


def test_the_event_pointer_takes_what_the_driver_writes_around_resets() -> None:
    vgpu = make_vgpu()
    pointer = EngineRegisters.context_status_ptr.at("VECS0")
    vgpu.mmio.write32(pointer, 0xFFFF0505)
    assert vgpu.mmio.read32(pointer) == 0x0505


# ---- time ----


@pytest.mark.parametrize(
    ("platform", "ticks"), [("bdw", 12_500_000), ("skl", 12_000_000), ("bxt", 19_200_000), ("kbl", 12_000_000), ("cfl", 12_000_000)]
)
def test_the_time_stamp_counts_ticks_of_the_platform(platform: str, ticks: int) -> None:
    vgpu = make_vgpu(platform)
    assert isinstance(vgpu.clock, VirtualClock)
    assert vgpu.mmio.read32(EngineRegisters.timestamp.at("RCS0")) == 0
    vgpu.clock.wait_ns(1_000_000_000)
    for engine in ENGINES:
        assert vgpu.mmio.read32(EngineRegisters.timestamp.at(engine)) == ticks
    assert vgpu.mmio.read32(EngineRegisters.timestamp_udw.at("RCS0")) == 0


def test_the_time_stamp_is_36_bits_wide() -> None:
    skylake = PLATFORMS["skl"]
    second = 1_000_000_000
    assert timestamp_at(skylake, 400 * second) == 400 * 12_000_000
    assert timestamp_at(skylake, 400 * second) >> 32 == 1
    assert timestamp_at(skylake, 6000 * second) == 6000 * 12_000_000 - (1 << 36)


@pytest.mark.parametrize(("platform", "hertz"), [("skl", 12_000_000), ("bxt", 19_200_000)])
def test_a_driver_that_reads_the_counter_mode_arrives_at_the_rate_of_the_time_stamps(platform: str, hertz: int) -> None:
    vgpu = make_vgpu(platform)
    mode = vgpu.mmio.read32(0xA26C)
    crystal = 19_200_000 if platform == "bxt" else 24_000_000
    assert mode & 1 == 0
    assert crystal >> (3 - (mode >> 1 & 3)) == hertz


# ---- the white list ----


@pytest.mark.parametrize("target", [0x2248, 0x2580, 0x7304, 0x7014, 0xB118, 0x2094, 0x2348 | 1])
def test_what_the_driver_opens_to_batches_is_admitted(target: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x24D0, target)
    assert vgpu.mmio.read32(0x24D0) == target
    assert _rules(vgpu) == []


@pytest.mark.parametrize("value", [0x2080, 0x229C, 0x22094, 0x0, 0x2248 | 3, 0x2348 | 2, 0x2350 | 1])
def test_nothing_else_is_opened_to_batches(value: int) -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x24FC, 0x2094)
    vgpu.mmio.write32(0x24FC, value)
    assert vgpu.mmio.read32(0x24FC) == 0x2094
    (finding,) = vgpu.findings.of_rule("nonpriv-register")
    assert finding.value == value and finding.where == "rcs0.FORCE_TO_NONPRIV (0x24fc)"


def test_the_nearest_register_that_may_be_opened_is_named() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x24D0, 0x7018)
    (finding,) = vgpu.findings.of_rule("nonpriv-register")
    assert finding.nearest == "0x7014"


def test_each_engine_has_its_own_filler_of_unused_slots() -> None:
    vgpu = make_vgpu()
    vgpu.mmio.write32(0x224D0, 0x22094)
    assert vgpu.mmio.read32(0x224D0) == 0x22094 and _rules(vgpu) == []
