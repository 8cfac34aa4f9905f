"""Descriptors, submissions, status events and status pages stand where the kernel and the hardware expect them."""

from __future__ import annotations

import pytest

from pvinfo.errors import UsageError
from pvinfo.execlist import (
    CONTEXT_STATUS_EVENT,
    CONTEXT_STATUS_OFFSET,
    CONTEXT_STATUS_WRITE_OFFSET,
    HARDWARE_STATUS_PAGE,
    KERNEL_SEQNO_OFFSET,
    PER_PROCESS_STATUS_PAGE,
    SCRATCH_OFFSET,
    SUBMISSION,
    AddressingMode,
    ContextDescriptor,
    ContextPriority,
    ContextStatusEvent,
    Submission,
    next_status_entry,
)
from pvinfo.registers.engine import ContextStatus
from pvinfo.units import GraphicsAddress

IMAGE = GraphicsAddress(0x0012_3000)


@pytest.mark.parametrize(
    ("flags", "low"),
    [
        ({"priority": ContextPriority.NORMAL}, 0x319),
        ({"priority": ContextPriority.NORMAL, "force_restore": 1}, 0x31D),
        ({}, 0x119),
        ({"force_restore": 1}, 0x11D),
        ({"llc_coherent": 1, "priority": ContextPriority.NORMAL}, 0x339),
        ({"llc_coherent": 1}, 0x139),
    ],
)
def test_descriptors_have_the_flags_that_the_driver_gives_them(flags: dict[str, int], low: int) -> None:
    descriptor = ContextDescriptor.naming(IMAGE, 0x20, **flags)
    assert descriptor == 0x20_0012_3000 | low
    assert descriptor.low == 0x0012_3000 | low
    assert descriptor.image == IMAGE
    assert descriptor.addressing_mode is AddressingMode.LEGACY_64_BIT


def test_a_three_level_context_says_so() -> None:
    descriptor = ContextDescriptor.naming(IMAGE, 0, addressing_mode=AddressingMode.LEGACY_32_BIT)
    assert descriptor.low == 0x0012_3109


def test_the_context_id_fills_the_upper_half_unchanged() -> None:
    assert ContextDescriptor(0xFFFF_FFFE_0000_0001).context_id == 0xFFFF_FFFE


@pytest.mark.parametrize("image", [0x123004, 0x1_0000_0000, -0x1000])
def test_an_image_begins_at_a_page_that_a_descriptor_can_name(image: int) -> None:
    with pytest.raises(UsageError, match="begins at a page below 0x100000000"):
        ContextDescriptor.naming(GraphicsAddress(image), 1)


def test_contexts_are_the_same_when_id_and_image_are_whatever_the_flags() -> None:
    descriptor = ContextDescriptor.naming(IMAGE, 0x40)
    assert descriptor.same_context(ContextDescriptor.naming(IMAGE, 0x40, force_restore=1))
    assert not descriptor.same_context(ContextDescriptor.naming(IMAGE, 0x60))
    assert not descriptor.same_context(ContextDescriptor.naming(GraphicsAddress(IMAGE + 0x1000), 0x40))


def test_a_submission_is_written_second_context_first_and_high_halves_first() -> None:
    first, second = ContextDescriptor.naming(IMAGE, 0x20), ContextDescriptor.naming(GraphicsAddress(0x7000), 0x40)
    submission = Submission.loading(first, second)
    assert tuple(submission) == (0x40, 0x7119, 0x20, 0x123119)
    assert SUBMISSION.pack(submission) == bytes.fromhex("40000000" "19710000" "20000000" "19311200")
    assert submission.elements == (first, second)


def test_an_unused_element_is_two_zero_writes() -> None:
    submission = Submission.loading(ContextDescriptor.naming(IMAGE, 0x20))
    assert tuple(submission) == (0, 0, 0x20, 0x123119)
    assert not submission.elements[1].valid


def test_events_have_the_bits_of_the_documented_sequences() -> None:
    assert ContextStatus.of(idle_to_active=1) == 0x0001
    assert ContextStatus.of(context_complete=1, element_switch=1) == 0x0014
    assert ContextStatus.of(context_complete=1, active_to_idle=1) == 0x0018
    assert ContextStatus.of(lite_restore=1, preempted=1) == 0x8002
    event = ContextStatusEvent(ContextStatus(0x18), 0x20)
    assert CONTEXT_STATUS_EVENT.pack(event) == bytes.fromhex("1800000020000000")


def test_the_first_event_after_a_reset_goes_to_entry_0_and_six_entries_are_filled_in_turn() -> None:
    assert [next_status_entry(pointer) for pointer in (7, 0, 1, 2, 3, 4, 5)] == [0, 1, 2, 3, 4, 5, 0]


def test_an_engines_status_page_holds_events_their_number_and_the_kernels_sequence_numbers() -> None:
    assert [HARDWARE_STATUS_PAGE.offset_of(f"context_status.{entry}.status") for entry in range(6)] == [0x40, 0x48, 0x50, 0x58, 0x60, 0x68]
    assert HARDWARE_STATUS_PAGE.offset_of("context_status.0.status") == CONTEXT_STATUS_OFFSET
    assert HARDWARE_STATUS_PAGE.offset_of("context_status_write") == CONTEXT_STATUS_WRITE_OFFSET == 0x1F * 4
    assert HARDWARE_STATUS_PAGE.offset_of("preempt") == 0x32 * 4
    assert HARDWARE_STATUS_PAGE.offset_of("kernel_seqno") == KERNEL_SEQNO_OFFSET == 0x40 * 4
    assert HARDWARE_STATUS_PAGE.offset_of("migrate_seqno") == 0x42 * 4
    assert HARDWARE_STATUS_PAGE.offset_of("scratch") == 0x80 * 4
    assert HARDWARE_STATUS_PAGE.offset_of("head_report") == 4 * 4
    assert HARDWARE_STATUS_PAGE.size == 0x1000


def test_a_contexts_status_page_has_the_drivers_scratch_quadword() -> None:
    assert PER_PROCESS_STATUS_PAGE.offset_of("scratch") == SCRATCH_OFFSET == 0x34 * 4
    assert PER_PROCESS_STATUS_PAGE.offset_of("head_report") == 0x10
    assert PER_PROCESS_STATUS_PAGE.size == 0x1000
