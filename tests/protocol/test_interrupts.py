"""Interrupts: event descriptors, the pin's state, and everything DEVICE_SET_IRQS may not say."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pvinfo.vfio_user import Command
from support.plain_device import MSI_AT, PlainDevice
from support.vfio_wire import INVALID, Irq, Peer, message, open_fds, refusal, reply, set_irqs

INTX, MSI, MSIX, ERR, REQ = range(5)
DONE = reply(Command.DEVICE_SET_IRQS)
REFUSED = refusal(Command.DEVICE_SET_IRQS, INVALID)
CONNECT = Irq.EVENTFD | Irq.TRIGGER
DISCONNECT = Irq.NONE | Irq.TRIGGER


@pytest.fixture
def event() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


@pytest.fixture
def unmask_event() -> Iterator[int]:
    fd = os.eventfd(0, os.EFD_NONBLOCK)
    yield fd
    os.close(fd)


def events(fd: int) -> int:
    """How often ``fd`` was signalled since the last look."""
    try:
        return os.eventfd_read(fd)
    except BlockingIOError:
        return 0


# ---- messages ----


def test_a_message_interrupt_is_one_event(event: int) -> None:
    peer = Peer()
    assert peer.ask(set_irqs(MSI, CONNECT, count=1), (event,)) == DONE
    for _ in range(3):
        peer.device.interrupt()
    assert events(event) == 3
    peer.device.interrupt()
    assert events(event) == 1
    assert peer.server.interrupts.lost == 0


def test_an_interrupt_that_nobody_listens_to_is_counted_and_nothing_else(event: int) -> None:
    peer = Peer()
    peer.device.interrupt()
    assert peer.server.interrupts.lost == 1
    peer.ask(set_irqs(MSI, CONNECT, count=1), (event,))
    assert events(event) == 0


def test_disconnecting_a_kind_drops_its_descriptor(event: int) -> None:
    peer = Peer()
    before = open_fds()
    assert peer.ask(set_irqs(MSI, CONNECT, count=1), (event,)) == DONE
    assert open_fds() == before + 1
    assert peer.ask(set_irqs(MSI, DISCONNECT)) == DONE
    assert open_fds() == before
    peer.device.interrupt()
    assert events(event) == 0


def test_connecting_without_a_descriptor_disconnects_the_range(event: int) -> None:
    peer = Peer()
    before = open_fds()
    peer.ask(set_irqs(MSI, CONNECT, count=1), (event,))
    assert peer.ask(set_irqs(MSI, CONNECT, count=1)) == DONE
    assert open_fds() == before


def test_connecting_again_replaces_the_descriptor(event: int, unmask_event: int) -> None:
    peer = Peer()
    before = open_fds()
    peer.ask(set_irqs(MSI, CONNECT, count=1), (event,))
    assert peer.ask(set_irqs(MSI, CONNECT, count=1), (unmask_event,)) == DONE
    assert open_fds() == before + 1
    peer.device.interrupt()
    assert (events(event), events(unmask_event)) == (0, 1)


def test_of_several_vectors_the_device_uses_the_first(event: int, unmask_event: int) -> None:
    device = PlainDevice()
    device.config.bytes[MSI_AT + 2] = 1 << 1
    peer = Peer(device)
    assert peer.ask(set_irqs(MSI, CONNECT, count=2), (event, unmask_event)) == DONE
    device.interrupt()
    assert (events(event), events(unmask_event)) == (1, 0)
    assert peer.ask(set_irqs(MSI, DISCONNECT | 0, start=1, count=1)) == DONE
    assert (events(event), events(unmask_event)) == (0, 1), "a client may fire one itself"
    assert peer.ask(set_irqs(MSI, Irq.BOOL | Irq.TRIGGER, count=2, data=b"\1\0")) == DONE
    assert (events(event), events(unmask_event)) == (1, 0)
    assert peer.ask(set_irqs(MSI, CONNECT, start=0, count=1)) == DONE
    assert peer.ask(set_irqs(MSI, Irq.BOOL | Irq.TRIGGER, count=2, data=b"\xff\xff")) == DONE
    assert (events(event), events(unmask_event)) == (0, 1)


@pytest.mark.parametrize("irq", [ERR, REQ])
def test_error_and_request_interrupts_can_be_connected_and_fired_by_the_client(irq: int, event: int) -> None:
    peer = Peer()
    assert peer.ask(set_irqs(irq, CONNECT, count=1), (event,)) == DONE
    peer.device.interrupt()
    assert events(event) == 0
    assert peer.ask(set_irqs(irq, DISCONNECT, count=1)) == DONE
    assert events(event) == 1
    assert peer.ask(set_irqs(irq, DISCONNECT)) == DONE


def test_a_counter_that_is_full_does_not_stop_the_server() -> None:
    peer = Peer()
    for flags in (0, os.EFD_NONBLOCK):
        full = os.eventfd(0, flags)
        os.eventfd_write(full, (1 << 64) - 2)
        peer.ask(set_irqs(MSI, CONNECT, count=1), (full,))
        peer.device.interrupt()
        peer.device.interrupt()
        assert os.eventfd_read(full) == (1 << 64) - 2
        peer.device.interrupt()
        assert os.eventfd_read(full) == 1
        os.close(full)


# ---- the pin ----


def test_the_pin_is_signalled_once_and_then_waits_for_the_guest(event: int) -> None:
    peer = Peer()
    assert peer.ask(set_irqs(INTX, CONNECT, count=1), (event,)) == DONE
    peer.device.assert_pin(True)
    for _ in range(3):
        peer.device.interrupt()
    assert events(event) == 1
    assert peer.ask(set_irqs(INTX, Irq.NONE | Irq.UNMASK, count=1)) == DONE
    assert events(event) == 1, "still asserted"
    peer.device.assert_pin(False)
    assert peer.ask(set_irqs(INTX, Irq.NONE | Irq.UNMASK, count=1)) == DONE
    assert events(event) == 0
    peer.device.interrupt()
    assert events(event) == 1


def test_the_pin_is_signalled_again_for_what_came_while_it_waited(event: int) -> None:
    peer = Peer()
    peer.ask(set_irqs(INTX, CONNECT, count=1), (event,))
    peer.device.interrupt()
    peer.device.interrupt()
    assert events(event) == 1
    peer.ask(set_irqs(INTX, Irq.NONE | Irq.UNMASK, count=1))
    assert events(event) == 1
    peer.ask(set_irqs(INTX, Irq.NONE | Irq.UNMASK, count=1))
    assert events(event) == 0


def test_a_masked_pin_keeps_its_interrupt(event: int) -> None:
    peer = Peer()
    peer.ask(set_irqs(INTX, CONNECT, count=1), (event,))
    assert peer.ask(set_irqs(INTX, Irq.NONE | Irq.MASK, count=1)) == DONE
    peer.device.interrupt()
    assert events(event) == 0
    assert peer.ask(set_irqs(INTX, Irq.BOOL | Irq.UNMASK, count=1, data=b"\0")) == DONE
    assert events(event) == 0
    assert peer.ask(set_irqs(INTX, Irq.BOOL | Irq.UNMASK, count=1, data=b"\1")) == DONE
    assert events(event) == 1


def test_a_pin_that_the_guest_has_switched_off_is_not_asserted(event: int) -> None:
    peer = Peer()
    peer.ask(set_irqs(INTX, CONNECT, count=1), (event,))
    peer.device.assert_pin(True)
    peer.device.config.write(4, 2, 0x400)
    peer.ask(set_irqs(INTX, Irq.NONE | Irq.UNMASK, count=1))
    assert events(event) == 0


def test_a_pin_that_is_asserted_already_is_signalled_when_it_is_connected(event: int) -> None:
    peer = Peer()
    peer.device.assert_pin(True)
    peer.ask(set_irqs(INTX, CONNECT, count=1), (event,))
    assert events(event) == 1


def test_the_guests_end_of_interrupt_may_come_by_an_event_descriptor(event: int, unmask_event: int) -> None:
    peer = Peer()
    before = open_fds()
    peer.ask(set_irqs(INTX, CONNECT, count=1), (event,))
    assert peer.ask(set_irqs(INTX, Irq.EVENTFD | Irq.UNMASK, count=1), (unmask_event,)) == DONE
    (ready,) = peer.watch.watched.values()
    peer.device.assert_pin(True)
    peer.device.interrupt()
    assert events(event) == 1
    os.eventfd_write(unmask_event, 1)
    ready()
    assert events(event) == 1
    assert events(unmask_event) == 0, "the server has taken the event"
    ready()
    assert events(event) == 0, "nothing had come"
    assert peer.ask(set_irqs(INTX, Irq.EVENTFD | Irq.UNMASK, count=1)) == DONE
    assert peer.watch.watched == {}
    assert open_fds() == before + 1


def test_message_interrupts_go_before_the_pin(event: int, unmask_event: int) -> None:
    peer = Peer()
    peer.ask(set_irqs(INTX, CONNECT, count=1), (event,))
    peer.ask(set_irqs(MSI, CONNECT, count=1), (unmask_event,))
    peer.device.interrupt()
    assert (events(event), events(unmask_event)) == (0, 1)


def test_disconnecting_the_pin_forgets_mask_end_of_interrupt_and_what_was_pending(event: int, unmask_event: int) -> None:
    peer = Peer()
    before = open_fds()
    peer.ask(set_irqs(INTX, CONNECT, count=1), (event,))
    peer.ask(set_irqs(INTX, Irq.EVENTFD | Irq.UNMASK, count=1), (unmask_event,))
    peer.ask(set_irqs(INTX, Irq.NONE | Irq.MASK, count=1))
    peer.device.interrupt()
    assert peer.ask(set_irqs(INTX, DISCONNECT)) == DONE
    assert open_fds() == before and peer.watch.watched == {}
    peer.ask(set_irqs(INTX, CONNECT, count=1), (event,))
    assert events(event) == 0
    peer.device.interrupt()
    assert events(event) == 1


def test_a_reset_device_asserts_nothing_and_stays_connected(event: int) -> None:
    peer = Peer()
    peer.ask(set_irqs(INTX, CONNECT, count=1), (event,))
    peer.device.interrupt()
    peer.device.interrupt()
    assert events(event) == 1
    assert peer.ask(message(Command.DEVICE_RESET)) == reply(Command.DEVICE_RESET)
    peer.ask(set_irqs(INTX, Irq.NONE | Irq.UNMASK, count=1))
    assert events(event) == 0
    peer.device.interrupt()
    assert events(event) == 1


# ---- what may not be said ----


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        (set_irqs(MSI, Irq.TRIGGER), "one kind of data and one action"),
        (set_irqs(MSI, Irq.NONE), "one kind of data and one action"),
        (set_irqs(MSI, Irq.NONE | Irq.BOOL | Irq.TRIGGER), "one kind of data"),
        (set_irqs(MSI, Irq.NONE | Irq.EVENTFD | Irq.TRIGGER), "one kind of data"),
        (set_irqs(INTX, Irq.NONE | Irq.MASK | Irq.UNMASK, count=1), "one kind of data and one action"),
        (set_irqs(INTX, Irq.NONE | Irq.MASK | Irq.TRIGGER), "one kind of data and one action"),
        (set_irqs(MSI, DISCONNECT | 64), "one kind of data and one action"),
        (set_irqs(5, DISCONNECT), "kinds of interrupt are 0 to 4"),
        (set_irqs(0xFFFF_FFFF, DISCONNECT), "kinds of interrupt are 0 to 4"),
        (set_irqs(MSI, DISCONNECT, start=1), "an empty range"),
        (set_irqs(MSI, CONNECT), "an empty range"),
        (set_irqs(MSI, Irq.BOOL | Irq.TRIGGER), "an empty range"),
        (set_irqs(INTX, Irq.NONE | Irq.MASK), "an empty range"),
        (set_irqs(MSI, DISCONNECT, count=2), "there are 1 of MSI"),
        (set_irqs(MSI, DISCONNECT, start=1, count=1), "there are 1 of MSI"),
        (set_irqs(MSI, CONNECT, start=1, count=0xFFFF_FFFF), "there are 1 of MSI"),
        (set_irqs(MSIX, CONNECT, count=1), "there are 0 of MSIX"),
        (set_irqs(ERR, DISCONNECT, count=2), "there are 1 of ERR"),
        (set_irqs(MSI, Irq.NONE | Irq.MASK, count=1), "MSI can be triggered only"),
        (set_irqs(ERR, Irq.NONE | Irq.UNMASK, count=1), "ERR can be triggered only"),
        (set_irqs(INTX, Irq.EVENTFD | Irq.MASK, count=1), "INTX tells nobody"),
        (set_irqs(MSI, Irq.BOOL | Irq.TRIGGER, count=1), "1 interrupts with 0 bytes of data"),
        (set_irqs(MSI, Irq.BOOL | Irq.TRIGGER, count=1, data=b"\1\1"), "1 interrupts with 2 bytes of data"),
        (set_irqs(MSI, DISCONNECT, count=1, data=b"\1"), "1 interrupts with 1 bytes of data"),
        (set_irqs(MSI, CONNECT, count=1, argsz=19), "argsz 19"),
    ],
)
def test_what_makes_no_sense_is_refused_with_the_rule_and_changes_nothing(wrong: bytes, rule: str, event: int) -> None:
    peer = Peer()
    peer.ask(set_irqs(MSI, CONNECT, count=1), (event,))
    assert peer.ask(wrong) == REFUSED
    assert rule in peer.errors[0].rule
    assert events(event) == 0
    peer.device.interrupt()
    assert events(event) == 1


def test_disconnecting_a_kind_that_has_none_is_accepted() -> None:
    assert Peer().ask(set_irqs(MSIX, DISCONNECT)) == DONE


@pytest.mark.parametrize(
    "wrong",
    [
        set_irqs(MSI, DISCONNECT),
        set_irqs(MSI, DISCONNECT, count=1),
        set_irqs(MSI, Irq.BOOL | Irq.TRIGGER, count=1, data=b"\0"),
        set_irqs(MSIX, CONNECT, count=1),
        set_irqs(9, CONNECT, count=1),
        set_irqs(INTX, Irq.EVENTFD | Irq.MASK, count=1),
    ],
)
def test_descriptors_of_a_refused_request_are_closed(wrong: bytes, event: int) -> None:
    peer = Peer()
    before = open_fds()
    assert peer.ask(wrong, (event,)) == REFUSED
    assert peer.ask(set_irqs(MSI, CONNECT, count=1), (event, event)) == REFUSED
    assert open_fds() == before


def test_a_descriptor_that_is_no_event_descriptor_is_refused_and_closed(event: int) -> None:
    device = PlainDevice()
    device.config.bytes[MSI_AT + 2] = 1 << 1
    peer = Peer(device)
    read_end, write_end = os.pipe()
    before = open_fds()
    for fds in ((write_end, event), (event, write_end), (event, read_end)):
        assert peer.ask(set_irqs(MSI, CONNECT, count=2), fds) == REFUSED
    assert peer.ask(set_irqs(INTX, Irq.EVENTFD | Irq.UNMASK, count=1), (read_end,)) == REFUSED
    assert open_fds() == before
    device.interrupt()
    assert events(event) == 0
    os.close(read_end)
    os.close(write_end)


def test_everything_is_let_go_when_the_client_has_gone(event: int, unmask_event: int) -> None:
    peer = Peer()
    before = open_fds()
    for irq in (INTX, MSI, ERR, REQ):
        assert peer.ask(set_irqs(irq, CONNECT, count=1), (event,)) == DONE
    assert peer.ask(set_irqs(INTX, Irq.EVENTFD | Irq.UNMASK, count=1), (unmask_event,)) == DONE
    assert open_fds() == before + 5
    peer.server.client_gone()
    assert open_fds() == before and peer.watch.watched == {}
    peer.device.interrupt()
    assert events(event) == 0
