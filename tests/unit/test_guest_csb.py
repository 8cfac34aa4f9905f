"""What engines say of submissions, and what the driver makes of it."""

from __future__ import annotations

from typing import Final

import pytest
from support.fake_engines import SWITCH, FakeEngine
from support.guest_machine import FakeMachine, with_driver

from guest_driver import Client, Context, GuestDriver, Request
from guest_driver.execlists import Execlists
from guest_driver.status_buffer import ImpossibleEvent, StatusBuffer
from pvinfo.platform import Engine
from pvinfo.registers import ContextStatus
from pvinfo.trace import Op

ENGINE: Final = Engine.BCS0
BASE: Final = 0x22000
MICROSECOND: Final = 1_000
SECOND: Final = 1_000_000_000


class Stage:
    """A driver whose copy engine does what a test says; two contexts that want it."""

    def __init__(self, *, native: bool = False) -> None:
        self.machine: FakeMachine
        self.driver: GuestDriver
        self.machine, self.driver = with_driver(native=native)
        self.client: Client = self.driver.open_client("test")
        self.a: Context = self.client.context(ENGINE)
        self.b: Context = self.client.create_context(ENGINE, "b")
        self.driver.wait_idle(SECOND)
        self.fake: FakeEngine = self.machine.engines[ENGINE]
        self.fake.silent = True
        self.fake.submissions.clear()
        self.execlists: Execlists = self.driver.gt.engines[ENGINE].execlists

    def submit(self, context: Context) -> Request:
        return self.client.submit(ENGINE, (0,), context=context)

    def done(self, request: Request) -> None:
        """Its breadcrumb is written."""
        self.fake.store(request.context.timeline.address, request.seqno)

    @property
    def state(self) -> tuple[list[Context], list[Context]]:
        """Contexts that are pending, and that are in flight."""
        return [r.context for r in self.execlists.pending], [r.context for r in self.execlists.inflight]

    @property
    def images(self) -> list[tuple[int, int]]:
        """Images of each submission, first port first."""
        return [(words[3] & ~0xFFF, words[1] & ~0xFFF) for words in self.fake.submissions]

    def image(self, context: Context) -> int:
        assert context.image is not None
        return int(context.image.address)

    def reasons(self) -> list[str]:
        return [line.text for line in self.driver.log.lines if line.rule == "engine-reset"]


# ---- legal sequences ----


def test_a_submission_is_pending_until_the_engine_says_that_it_has_taken_it() -> None:
    stage = Stage()
    request = stage.submit(stage.a)
    assert stage.state == ([stage.a], [])
    stage.fake.tell(0x1, stage.a.ccid)
    assert stage.state == ([], [stage.a])
    stage.done(request)
    stage.fake.tell(0x18, stage.a.ccid)
    assert stage.state == ([], [])
    assert stage.a.inflight == 0
    assert stage.reasons() == []


def test_nothing_is_written_while_a_submission_is_pending() -> None:
    stage = Stage()
    stage.submit(stage.a)
    stage.submit(stage.b)
    assert stage.images == [(stage.image(stage.a), 0)]
    stage.fake.tell(0x1, stage.a.ccid)
    assert stage.images == [(stage.image(stage.a), 0), (stage.image(stage.a), stage.image(stage.b))]


def test_the_second_port_follows_when_the_first_is_done() -> None:
    stage = Stage()
    first, second = stage.submit(stage.a), stage.submit(stage.b)
    stage.fake.tell(0x1, stage.a.ccid)
    stage.fake.tell(0x8002, stage.a.ccid)
    assert stage.state == ([], [stage.a, stage.b])
    stage.done(first)
    stage.fake.tell(0x14, stage.a.ccid)
    assert stage.state == ([], [stage.b])
    stage.done(second)
    stage.fake.tell(0x18, stage.b.ccid)
    assert stage.state == ([], [])
    assert stage.reasons() == []


def test_a_submission_that_comes_as_the_last_one_ends_is_told_of_in_two_events() -> None:
    stage = Stage()
    first = stage.submit(stage.a)
    stage.fake.tell(0x1, stage.a.ccid)
    ccid = stage.a.ccid
    second = stage.submit(stage.b)
    stage.done(first)
    stage.fake.tell(0x18, ccid, interrupt=False)
    stage.fake.tell(0x1, ccid)
    assert stage.state == ([], [stage.a, stage.b]), "the first context again, for the two dwords behind its end"
    stage.fake.tell(0x14, ccid)
    stage.done(second)
    stage.fake.tell(0x18, stage.b.ccid)
    assert stage.state == ([], [])
    assert stage.reasons() == []


def test_more_work_for_a_context_that_runs_only_moves_its_tail() -> None:
    stage = Stage()
    stage.submit(stage.a)
    stage.fake.tell(0x1, stage.a.ccid)
    tail = stage.a.ring.tail
    request = stage.submit(stage.a)
    assert stage.images == [(stage.image(stage.a), 0)] * 2
    assert stage.a.ring.tail == request.wa_tail - 8 > tail
    low = [words[3] & 0xFFF for words in stage.fake.submissions]
    assert low == [0x11D, 0x119], "the image is not loaded again"
    stage.fake.tell(0x8002, stage.a.ccid)
    assert stage.state == ([], [stage.a])
    assert stage.a.inflight == 1
    stage.done(request)
    stage.fake.tell(0x18, stage.a.ccid)
    assert stage.state == ([], [])


def test_a_context_that_is_submitted_again_as_it_was_gets_two_more_dwords() -> None:
    stage = Stage()
    stage.submit(stage.a)
    tail = stage.a.ring.tail
    stage.fake.tell(0x1, stage.a.ccid)
    stage.submit(stage.b)
    assert stage.a.ring.tail == tail + 8, "over the arbitration point and the no-operation: a tail must not stand still"
    assert stage.images[-1] == (stage.image(stage.a), stage.image(stage.b))
    assert stage.fake.submissions[-1][3] & 4 == 0


def test_a_context_that_gives_way_is_told_of_as_preempted() -> None:
    stage = Stage(native=True)
    low = stage.client.submit(ENGINE, (0,), context=stage.a, priority=-100)
    stage.fake.tell(0x1, stage.a.ccid)
    high = stage.client.submit(ENGINE, (0,), context=stage.b, priority=100)
    assert stage.state == ([stage.b, stage.a], [stage.a]), "what waits may come after what is urgent"
    ccid = stage.a.ccid
    stage.fake.tell(0x2, ccid)
    assert stage.state == ([], [stage.b, stage.a])
    stage.done(high)
    stage.fake.tell(0x14, stage.b.ccid)
    stage.done(low)
    stage.fake.tell(0x18, stage.a.ccid)
    assert stage.state == ([], [])
    assert stage.reasons() == []


def test_the_events_go_around_their_six_places_and_are_marked_as_taken() -> None:
    stage = Stage()
    page = stage.driver.gt.engines[ENGINE].status_page.buffer
    for _ in range(5):
        request = stage.submit(stage.a)
        stage.fake.tell(0x1, stage.a.ccid)
        stage.done(request)
        stage.fake.tell(0x18, stage.a.ccid)
    assert page.read(0x40, 48) == b"\xff" * 48
    assert stage.reasons() == []
    assert stage.driver.gt.engines[ENGINE].events[0x18] >= 5


def test_the_contexts_name_in_an_event_is_not_looked_at() -> None:
    stage = Stage()
    request = stage.submit(stage.a)
    stage.fake.tell(0x1, 0x1234)
    stage.done(request)
    stage.fake.tell(0x18, 0)
    assert stage.state == ([], [])
    assert stage.reasons() == []


def test_a_look_at_the_pointer_register_follows_each_submission_that_was_taken() -> None:
    stage = Stage()
    stage.submit(stage.a)
    stage.machine.regs.accesses.clear()
    stage.fake.tell(0x1, stage.a.ccid)
    assert [(access.op, access.offset) for access in stage.machine.regs.accesses if access.offset == BASE + 0x3A0] == [(Op.READ, BASE + 0x3A0)]


# ---- events that cannot be ----


def test_an_engine_that_takes_what_nobody_submitted_is_reset() -> None:
    stage = Stage()
    stage.submit(stage.a)
    stage.fake.tell(0x1, stage.a.ccid)
    stage.fake.tell(0x1, stage.a.ccid)
    assert stage.reasons() == ["bcs0 is reset: invalid CSB event"]
    (line,) = [line for line in stage.driver.log.lines if line.rule == "csb-event"]
    assert line.text == "bcs0: event 1, idle_to_active: no submission is pending"


def test_an_engine_that_is_done_with_what_it_does_not_have_is_reset() -> None:
    stage = Stage()
    stage.submit(stage.a)
    stage.fake.tell(0x18, stage.a.ccid)
    assert stage.reasons() == ["bcs0 is reset: invalid CSB event"]
    assert "nothing is in flight" in next(line.text for line in stage.driver.log.lines if line.rule == "csb-event")


def test_a_pointer_to_an_event_that_there_is_not_means_a_reset() -> None:
    stage = Stage()
    stage.submit(stage.a)
    page = stage.driver.gt.engines[ENGINE].status_page.address
    stage.fake.store(page + 0x7C, 6)
    stage.fake.interrupt(SWITCH)
    assert stage.reasons() == ["bcs0 is reset: invalid CSB event"]


def test_after_such_a_reset_work_is_handed_over_anew_and_completes() -> None:
    stage = Stage()
    request = stage.submit(stage.a)
    stage.fake.silent = False
    stage.fake.tell(0x18, stage.a.ccid)
    assert stage.images == [(stage.image(stage.a), 0)] * 2
    assert stage.fake.submissions[-1][3] & 4, "what the engine has of the context is lost"
    assert not request.complete
    request.wait(SECOND)
    assert request.error is None


def test_events_are_agreed_on_again_after_a_reset() -> None:
    stage = Stage()
    stage.submit(stage.a)
    stage.machine.regs.accesses.clear()
    stage.fake.tell(0x18, stage.a.ccid)
    pointer = [(access.op, access.value) for access in stage.machine.regs.accesses if access.offset == BASE + 0x3A0]
    assert pointer[:4] == [(Op.WRITE, 0xFFFF_0505), (Op.READ, 0x505), (Op.WRITE, 0xFFFF_0505), (Op.READ, 0x505)]
    page = stage.driver.gt.engines[ENGINE].status_page.buffer
    assert page.read_dword(0x7C) == 5
    assert page.read(0x40, 48) == b"\xff" * 48


# ---- an event that comes after its number ----


class Late:
    """A status buffer whose newest event has not landed yet."""

    def __init__(self) -> None:
        self.machine, driver = with_driver()
        self.streamer = driver.gt.engines[ENGINE]
        self.page = self.streamer.status_page
        self.events = StatusBuffer(self.streamer.uncore, ENGINE, self.page)
        self.events.reset()
        self.page.buffer.write_dword(0x7C, 0)


def test_an_event_that_lands_a_moment_after_its_number_is_waited_for() -> None:
    late = Late()
    late.machine.clock.while_waiting = lambda: late.page.buffer.write(0x40, (0x20 << 32 | 0x18).to_bytes(8, "little"))
    before = late.machine.clock.now
    assert list(late.events.take()) == [(0, ContextStatus(0x18))]
    assert late.machine.clock.now - before == 10 * MICROSECOND
    assert list(late.events.take()) == []


def test_an_event_that_does_not_land_is_read_from_its_register() -> None:
    late = Late()
    late.machine.regs.stored[BASE + 0x370] = 0x14
    late.machine.regs.stored[BASE + 0x374] = 0x20
    assert list(late.events.take()) == [(0, ContextStatus(0x14))]


@pytest.mark.parametrize("newest", [6, 7, 255])
def test_only_six_events_can_be_newest(newest: int) -> None:
    late = Late()
    late.page.buffer.write_dword(0x7C, newest)
    with pytest.raises(ImpossibleEvent, match=f"said to be number {newest}, but there are 6"):
        list(late.events.take())


def test_the_high_bytes_of_the_newest_events_number_mean_nothing() -> None:
    late = Late()
    late.page.buffer.write_dword(0x7C, 0xABCD_EF00)
    late.page.buffer.write(0x40, (0x18).to_bytes(8, "little"))
    assert [number for number, _ in late.events.take()] == [0]
