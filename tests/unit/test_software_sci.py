"""A guest that calls the firmware: the mediator answers in the guest's own OpRegion, and nothing it does there is an exception."""

from __future__ import annotations

import pytest
from support.golden import made_host

from host_model.host import PluggedVgpu
from pvinfo.finding import FindingKind
from pvinfo.units import GuestAddress

OPREGION = 0x0F_E000
ASLS, SWSCI = 0xFC, 0xE8
SCI, TRIGGER = 0x8000, 0x0001
QUERY, CALLBACKS, SUPPORTED_CALLBACKS = 4 << 1, 4 << 1 | 1 << 8, 6 << 1
INDICATOR, EXIT_STATUS = 1, 0xE0


class Firmware:
    """A guest with an OpRegion in its memory, and its driver's way of calling."""

    def __init__(self, opregion: int = OPREGION) -> None:
        self.plugged: PluggedVgpu = made_host().plug()
        self.config = self.plugged.vgpu.config
        self.opregion = opregion
        self.config.write(ASLS, 4, opregion)

    def put(self, scic: int, parm: int) -> None:
        self.plugged.machine.memory.write(GuestAddress(self.opregion + 0x200), scic.to_bytes(4, "little") + parm.to_bytes(4, "little"))

    def call(self, scic: int, parm: int = 0) -> None:
        """As linux:drivers/gpu/drm/i915/display/intel_opregion.c (swsci) does it."""
        self.put(scic | INDICATOR, parm)
        self.config.write(SWSCI, 2, SCI)
        self.config.write(SWSCI, 2, SCI | TRIGGER)

    @property
    def mailbox(self) -> tuple[int, int]:
        raw = self.plugged.machine.memory.read(GuestAddress(self.opregion + 0x200), 8)
        return int.from_bytes(raw[:4], "little"), int.from_bytes(raw[4:], "little")

    @property
    def findings(self) -> list[tuple[FindingKind, str, int | None]]:
        return [(finding.kind, finding.rule, finding.value) for finding in self.plugged.vgpu.findings]


@pytest.fixture
def firmware() -> Firmware:
    return Firmware()


def test_the_opregions_address_is_kept(firmware: Firmware) -> None:
    assert firmware.config.read(ASLS, 4) == OPREGION
    firmware.config.write(ASLS, 4, 0)
    assert firmware.config.read(ASLS, 4) == 0


@pytest.mark.parametrize("question", [QUERY, CALLBACKS, SUPPORTED_CALLBACKS])
def test_who_asks_what_there_is_to_call_hears_of_nothing(firmware: Firmware, question: int) -> None:
    firmware.call(question, parm=0x1234)
    assert firmware.mailbox == (0, 0)
    assert firmware.findings == []


@pytest.mark.parametrize("call", [4 << 1 | 5 << 8, 6 << 1 | 1 << 8, 6 << 1 | 8 << 8, 0, 15 << 1 | 255 << 8])
def test_every_call_fails_at_once_and_its_argument_stays(firmware: Firmware, call: int) -> None:
    firmware.call(call | EXIT_STATUS, parm=0xCAFE)
    assert firmware.mailbox == (call, 0xCAFE)
    assert firmware.findings == [(FindingKind.NOTE, "software-sci-call", call | EXIT_STATUS | INDICATOR)]


def test_a_call_can_follow_a_call(firmware: Firmware) -> None:
    for _ in range(3):
        firmware.call(QUERY)
        assert firmware.mailbox == (0, 0)
    assert firmware.config.read(SWSCI, 4) == 0


@pytest.mark.parametrize(
    ("value", "rules"), [(SCI, []), (0, []), (TRIGGER, ["software-smi"]), (SCI | TRIGGER, [])]
)  # fmt: skip
def test_only_a_triggered_sci_is_a_call(firmware: Firmware, value: int, rules: list[str]) -> None:
    firmware.put(QUERY | INDICATOR, 7)
    firmware.config.write(SWSCI, 2, value)
    assert firmware.mailbox == ((0, 0) if value == SCI | TRIGGER else (QUERY | INDICATOR, 7))
    assert [rule for _, rule, _ in firmware.findings] == rules


def test_both_bytes_of_a_call_count_and_none_is_kept_for_the_next(firmware: Firmware) -> None:
    firmware.put(QUERY | INDICATOR, 7)
    firmware.config.write(SWSCI + 1, 1, 0x80)
    firmware.config.write(SWSCI, 1, TRIGGER)
    assert firmware.mailbox == (QUERY | INDICATOR, 7)
    assert [rule for _, rule, _ in firmware.findings] == ["software-smi"]


@pytest.mark.parametrize("where", [0xFFFF_F000, 64 << 20, (64 << 20) - 0x200])
def test_an_opregion_that_is_no_memory_is_the_guests_fault(where: int) -> None:
    firmware = Firmware(where)
    firmware.config.write(SWSCI, 2, SCI | TRIGGER)
    assert firmware.findings[-1] == (FindingKind.GUEST_FAULT, "opregion-unreachable", where)


def test_a_question_whose_answer_does_not_fit_into_memory_changes_nothing() -> None:
    """The last four bytes of memory hold the call; its argument would lie behind them."""
    firmware = Firmware((64 << 20) - 0x204)
    last = GuestAddress((64 << 20) - 4)
    firmware.plugged.machine.memory.write(last, (QUERY | INDICATOR).to_bytes(4, "little"))
    firmware.config.write(SWSCI, 2, SCI | TRIGGER)
    assert firmware.plugged.machine.memory.read(last, 4) == (QUERY | INDICATOR).to_bytes(4, "little")
    assert [rule for _, rule, _ in firmware.findings] == ["opregion-unreachable"]
