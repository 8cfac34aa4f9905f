"""Requests: what stands in the ring, order, waiting, room, waking and resting of engines."""

from __future__ import annotations

from typing import Final

import pytest
from support.fake_engines import FakeEngine
from support.guest_machine import FakeMachine, with_driver

from guest_driver import Batch, Context, GuestDriver, Priority, Request
from pvinfo.errors import StateError, UsageError, WaitTimeout
from pvinfo.platform import ENGINES, Engine
from pvinfo.trace import Op

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000
NOTHING: Final = (0, 0)
RC6_CONTEXT: Final = 0x8504
RC_CONTROL: Final = 0xA090
RC_STATE: Final = 0xA094


def ring_words(context: Context, start: int, end: int) -> list[int]:
    return list(memoryview(context.ring.binding.buffer.read(start, end - start)).cast("I"))


def seqnos(fake: FakeEngine, context: Context) -> list[int]:
    """Numbers that requests of ``context`` have reported, in order."""
    return [value for address, value in fake.seqnos if address == context.timeline.address]


# ---- in the ring ----


def test_the_first_requests_of_a_probe_are_three_on_each_engine() -> None:
    machine, driver = with_driver()
    for engine, streamer in driver.gt.engines.items():
        page = streamer.status_page.address
        (first, second, third) = machine.engines[engine].seqnos
        assert first == (page + 0x100, 1), "the first request of the kernel's context, as the engine is woken"
        assert second[1] == 2 and second[0] not in range(page, page + 4096), "the first request of a context with a timeline of its own"
        assert third == (page + 0x100, 2), "the switch to the kernel's context, after which the engine rests"
        assert not streamer.awake
    assert machine.clock.now < 200 * MILLISECOND


def test_a_request_of_a_client_reports_its_start_runs_a_batch_and_reports_its_end() -> None:
    _, driver = with_driver()
    request = driver.submit(Engine.BCS0, NOTHING)
    request.wait(SECOND)
    context, address = request.context, request.context.timeline.address
    (batch,) = [buffer for buffer in driver.client.buffers]
    assert ring_words(context, request.head, request.postfix + 32) == [
        0x1324_4002, 0xD0, 0, 0,
        0x1040_0002, address, 0, 1, 0, 0x0280_0000,
        0x0400_0000, 0x1880_0101, batch.gpu_address, 0,
        0x1300_4002, address | 4, 0, 2, 0x0100_0000, 0x0400_0001, 0x0280_0000, 0,
    ]  # fmt: skip
    assert (request.seqno, request.head, request.postfix) == (2, 0, 14 * 4)
    assert (request.tail, request.wa_tail) == (request.postfix + 32, request.postfix + 32), "moved over the two spare dwords when it was submitted"
    assert context.ring.tail == request.postfix + 24


def test_the_end_of_a_request_is_written_as_it_is_handed_over() -> None:
    machine, driver = with_driver()
    machine.engines[Engine.RCS0].held = True
    first = driver.submit(Engine.RCS0, NOTHING)
    second = driver.submit(Engine.BCS0, NOTHING, after=(first,))
    assert not any(ring_words(second.context, second.postfix, second.postfix + 32))
    machine.engines[Engine.RCS0].held = False
    second.wait(SECOND)
    assert ring_words(second.context, second.postfix, second.postfix + 4) == [0x1300_4002]


def test_a_batch_may_be_a_builder_dwords_bytes_or_a_place_in_a_buffer() -> None:
    _, driver = with_driver()
    batch = Batch()
    batch.arb_check()
    for work in (batch, (0x0280_0000,), bytes.fromhex("00008002")):
        request = driver.submit(Engine.VCS0, work)
        request.wait(SECOND)
        (memory,) = driver.client.buffers
        assert memory.read(0, 8) == bytes.fromhex("00008002 00000005"), "it is ended"
    assert len(batch) == 1, "the builder itself is left as it was"
    buffer = driver.create_buffer(8192)
    request = driver.submit(Engine.VCS0, buffer, offset=0x1040)
    start = ring_words(request.context, request.head, request.postfix)[11:14]
    assert start == [0x1880_0101, buffer.gpu_address + 0x1040, 0]


def test_memory_of_batches_is_used_again_when_they_are_done() -> None:
    _, driver = with_driver()
    for _ in range(20):
        driver.submit(Engine.RCS0, NOTHING).wait(SECOND)
        driver.wait_idle(SECOND)
    assert len(driver.client.buffers) == 1
    first = driver.submit(Engine.RCS0, NOTHING)
    second = driver.submit(Engine.RCS0, NOTHING)
    assert len(driver.client.buffers) == 2, "not before"
    second.wait(SECOND)
    assert first.complete
    driver.submit(Engine.RCS0, bytes(8192)).wait(SECOND)
    assert max(buffer.size for buffer in driver.client.buffers) == 3 * 4096, "with its end, a batch of two pages takes a third"


# ---- order ----


def test_requests_of_one_context_go_as_one() -> None:
    machine, driver = with_driver()
    fake = machine.engines[Engine.BCS0]
    fake.silent = True
    first = driver.submit(Engine.BCS0, NOTHING)
    others = [driver.submit(Engine.BCS0, NOTHING) for _ in range(3)]
    fake.submissions.clear()
    fake.tell(0x1, first.context.ccid)
    assert len(fake.submissions) == 1
    assert fake.submissions[0][:2] == (0, 0)
    assert first.context.ring.tail == others[-1].wa_tail - 8


def test_work_is_handed_over_by_priority_then_in_order() -> None:
    machine, driver = with_driver()
    fake = machine.engines[Engine.BCS0]
    client = driver.open_client("one")
    contexts = [client.create_context(Engine.BCS0, str(number)) for number in range(5)]
    fake.silent = True
    client.submit(Engine.BCS0, NOTHING, context=contexts[0])
    waiting = [client.submit(Engine.BCS0, NOTHING, context=context, priority=priority) for context, priority in zip(contexts[1:], (0, 5, 0, 5), strict=True)]
    assert [request.priority for request in driver.gt.engines[Engine.BCS0].execlists.queue] == [5, 5, 0, 0]
    assert list(driver.gt.engines[Engine.BCS0].execlists.queue) == [waiting[1], waiting[3], waiting[0], waiting[2]]


def test_on_a_vgpu_work_that_runs_is_not_preempted_whatever_waits() -> None:
    machine, driver = with_driver()
    fake = machine.engines[Engine.BCS0]
    client = driver.open_client("one")
    contexts = [client.create_context(Engine.BCS0, str(number)) for number in range(3)]
    fake.held = True
    fake.submissions.clear()
    for context, priority in zip(contexts, (-5, -5, 5), strict=True):
        client.submit(Engine.BCS0, NOTHING, context=context, priority=priority)
    driver.wait(10 * MILLISECOND)
    assert len(fake.submissions) == 2, "the first alone, then the first and the second"


@pytest.mark.parametrize("native", [False, True])
def test_work_comes_after_what_it_is_said_to_come_after(native: bool) -> None:
    machine, driver = with_driver(native=native)
    machine.engines[Engine.RCS0].held = True
    first = driver.submit(Engine.RCS0, NOTHING)
    second = driver.submit(Engine.BCS0, NOTHING, after=(first,))
    driver.wait(5 * MILLISECOND)
    assert second.active is native, "a vGPU has no semaphores: the driver waits, and hands over then"
    assert not second.complete
    words = ring_words(second.context, second.head, second.postfix)
    wait = [0x0E40_9002, first.seqno, first.context.timeline.address, 0]
    assert (words[4:8] == wait) is native
    machine.engines[Engine.RCS0].held = False
    if not native:
        second.wait(SECOND)
        assert first.complete


@pytest.mark.parametrize("native", [False, True])
def test_on_one_engine_nobody_waits_what_comes_after_stands_behind(native: bool) -> None:
    machine, driver = with_driver(native=native)
    fake, client = machine.engines[Engine.BCS0], driver.client
    contexts = [client.create_context(Engine.BCS0, str(number)) for number in range(2)]
    fake.held = True
    fake.submissions.clear()
    first = client.submit(Engine.BCS0, NOTHING, context=contexts[0])
    second = client.submit(Engine.BCS0, NOTHING, context=contexts[1], after=(first,))
    driver.wait(MILLISECOND // 2)
    images = [context.image.address for context in contexts if context.image is not None]
    assert [words[3] & ~0xFFF for words in fake.submissions] == [images[0], images[0]]
    assert [words[1] & ~0xFFF for words in fake.submissions] == [0, images[1]]
    assert (first.active, second.active, second.complete) == (True, True, False)


def test_an_engine_polls_for_no_more_than_one_request_of_each_other() -> None:
    machine, driver = with_driver(native=True)
    for fake in machine.engines:
        fake.held = True
    before = [driver.submit(engine, NOTHING) for engine in (Engine.RCS0, Engine.RCS0, Engine.VCS0)]
    last = driver.submit(Engine.BCS0, NOTHING, after=before)
    words = ring_words(last.context, last.head, last.postfix)
    assert [words[at + 2] for at, word in enumerate(words) if word == 0x0E40_9002] == [before[0].report_address, before[2].report_address]
    assert not last.ready, "the driver waits for the second of the render engine"


def test_work_that_must_not_be_preempted_goes_alone() -> None:
    machine, driver = with_driver(native=True)
    fake = machine.engines[Engine.BCS0]
    fake.silent = True
    fake.submissions.clear()
    first = driver.submit(Engine.BCS0, NOTHING, preemptible=False)
    second = driver.submit(Engine.BCS0, NOTHING, preemptible=False)
    fake.tell(0x1, first.context.ccid)
    assert (first.active, second.active, len(fake.submissions)) == (True, False, 1), "not even with what follows in its context"
    fake.store(first.report_address, first.seqno)
    fake.tell(0x18, first.context.ccid)
    assert (second.active, len(fake.submissions)) == (True, 2)


def test_a_semaphore_is_not_polled_before_the_other_engine_has_what_signals_it() -> None:
    machine, driver = with_driver(native=True)
    machine.engines[Engine.RCS0].silent = True
    blocker = driver.open_client("one").submit(Engine.RCS0, NOTHING)
    first = driver.submit(Engine.RCS0, NOTHING)
    second = driver.submit(Engine.BCS0, NOTHING, after=(first,))
    assert (blocker.active, first.active, second.active) == (True, False, False)


def test_what_is_done_already_is_not_waited_for() -> None:
    _, driver = with_driver()
    first = driver.submit(Engine.RCS0, NOTHING)
    first.wait(SECOND)
    second = driver.submit(Engine.BCS0, NOTHING, after=(first,))
    assert second.ready


def test_what_urgent_work_waits_for_becomes_urgent() -> None:
    machine, driver = with_driver()
    machine.engines[Engine.RCS0].silent = True
    client = driver.open_client("one")
    driver.submit(Engine.RCS0, NOTHING)
    earlier = client.submit(Engine.RCS0, NOTHING, priority=-10)
    first = client.submit(Engine.RCS0, NOTHING, priority=-10)
    client.submit(Engine.BCS0, NOTHING, after=(first,), priority=7)
    assert (first.priority, earlier.priority) == (7, 7), "and what is before it in its context, too"


def test_what_must_come_before_what_urgent_work_waits_for_becomes_urgent_wherever_it_is() -> None:
    machine, driver = with_driver()
    client = driver.open_client("one")
    chain: list[Request] = []
    for engine in (Engine.RCS0, Engine.VCS0, Engine.RCS0, Engine.VECS0):
        machine.engines[engine].silent = True
        driver.submit(engine, NOTHING)
        chain.append(client.submit(engine, NOTHING, context=client.create_context(engine, "chain"), after=chain[-1:], priority=-10))
    bystander = client.submit(Engine.RCS0, NOTHING, priority=-10)
    urgent = client.submit(Engine.BCS0, NOTHING, after=chain[-1:], priority=7)
    assert [request.priority for request in chain] == [7, 7, 7, 7]
    assert bystander.priority == -10
    assert [request.ready for request in (*chain, urgent)] == [True, False, False, False, False]


def test_on_a_bare_gpu_urgent_work_has_the_engine_wait_while_it_is_put_first() -> None:
    machine, driver = with_driver(native=True)
    fake = machine.engines[Engine.BCS0]
    word = driver.gt.engines[Engine.BCS0].status_page.address + 0xC8
    client = driver.open_client("one")
    urgent = client.create_context(Engine.BCS0, "urgent")
    fake.silent = True
    low = client.submit(Engine.BCS0, NOTHING, priority=-5)
    fake.tell(0x1, low.context.ccid)
    assert fake.dword(word) == 0
    client.submit(Engine.BCS0, NOTHING, context=urgent, priority=5)
    assert fake.dword(word) == 1
    fake.tell(0x2, low.context.ccid)
    assert fake.dword(word) == 0


def test_on_a_bare_gpu_contexts_take_turns() -> None:
    machine, driver = with_driver(native=True)
    fake = machine.engines[Engine.BCS0]
    client = driver.open_client("one")
    contexts = [client.create_context(Engine.BCS0, str(number)) for number in range(3)]
    images = {int(context.image.address): number for number, context in enumerate(contexts) if context.image is not None}
    fake.held = True
    fake.submissions.clear()
    for context in contexts:
        client.submit(Engine.BCS0, NOTHING, context=context)
    begin = machine.clock.now
    driver.wait(int(3.5 * MILLISECOND))
    ports = [(images[words[3] & ~0xFFF], images[words[1] & ~0xFFF]) for words in fake.submissions if words[1]]
    assert ports == [(0, 1), (1, 2), (2, 0), (0, 1)], "a millisecond each"
    assert machine.clock.now - begin < 4 * MILLISECOND


def test_no_batch_is_preempted_on_gen8_though_whole_requests_give_way() -> None:
    """Source: linux:drivers/gpu/drm/i915/gt/intel_execlists_submission.c (``can_preempt``)"""
    _, driver = with_driver("bdw", native=True)
    streamers = driver.gt.engines
    assert not any(streamer.has_preemption or streamer.has_timeslices for streamer in streamers.values())
    assert all(streamer.has_semaphores for streamer in streamers.values())
    _, guest = with_driver("bdw")
    assert not any(streamer.has_semaphores or streamer.has_preemption for streamer in guest.gt.engines.values())


# ---- waiting ----


def test_a_wait_ends_when_the_request_says_that_it_is_done() -> None:
    machine, driver = with_driver()
    request = driver.submit(Engine.RCS0, NOTHING)
    before = machine.clock.now
    request.wait(SECOND)
    assert (request.complete, request.signalled) == (True, True)
    assert 0 < machine.clock.now - before < 100_000
    request.wait(0)


def test_a_wait_may_be_too_short() -> None:
    machine, driver = with_driver()
    machine.engines[Engine.RCS0].held = True
    request = driver.submit(Engine.RCS0, NOTHING)
    before = machine.clock.now
    with pytest.raises(WaitTimeout, match=r"request 2 of driver on rcs0, which reports at 0x[0-9a-f]+: reads 0x0, still not 0x2 after 5000 us"):
        request.wait(5 * MILLISECOND)
    assert machine.clock.now - before == 5 * MILLISECOND
    machine.engines[Engine.RCS0].held = False
    request.wait(SECOND)


def test_a_request_that_was_never_submitted_is_not_waited_for() -> None:
    _, driver = with_driver()
    request = Request(driver.client.context(Engine.BCS0))
    with pytest.raises(StateError, match="wait for request 2 of driver on bcs0"):
        request.wait(SECOND)


def test_the_engines_interrupt_is_let_through_while_somebody_waits() -> None:
    machine, driver = with_driver()
    mask = ENGINES[Engine.BCS0].base + 0xA8
    request = driver.submit(Engine.BCS0, NOTHING)
    closed = machine.regs.peek(mask)
    assert closed >> 16 & 0xFFFF == 0xF6F7, "errors, switches of contexts, waits for semaphores; in the high half: the group is shared"
    machine.regs.accesses.clear()
    request.wait(SECOND)
    written = [access.value >> 16 for access in machine.regs.accesses if access.offset == mask and access.op is Op.WRITE]
    assert written[0] == 0xF6F6
    driver.wait_idle(SECOND)
    assert machine.regs.peek(mask) == closed


def test_a_request_whose_interrupt_gets_lost_is_found_done_at_the_end_of_the_wait() -> None:
    machine, driver = with_driver()
    request = driver.submit(Engine.BCS0, NOTHING)
    machine.gpu.handler = None
    before = machine.clock.now
    request.wait(20 * MILLISECOND)
    assert machine.clock.now - before == 20 * MILLISECOND
    assert [line.text for line in driver.log.complaints()] == ["request 2 of driver on bcs0 was done, but no interrupt said so"]


@pytest.mark.parametrize("native", [False, True])
def test_numbers_begin_anew_in_another_dword_so_that_no_engine_that_polls_is_misled(native: bool) -> None:
    machine, driver = with_driver(native=native)
    context = driver.client.context(Engine.BCS0)
    context.timeline.seqno = 0xFFFF_FFFA
    context.timeline.reset_reported()
    place = context.timeline.address
    machine.engines[Engine.BCS0].held = True
    requests = [driver.submit(Engine.BCS0, NOTHING) for _ in range(4)]
    waiting = [driver.submit(Engine.RCS0, NOTHING, after=(request,)) for request in requests[1:3]]
    driver.wait(5 * MILLISECOND)
    assert not any(request.complete for request in (*requests, *waiting))
    if native:
        polled = [ring_words(request.context, request.head, request.postfix) for request in waiting]
        assert [words[words.index(0x0E40_9002) :][:3] for words in polled] == [[0x0E40_9002, 0xFFFF_FFFE, place], [0x0E40_9002, 2, place + 8]]
    machine.engines[Engine.BCS0].held = False
    for request in requests if native else (*requests, *waiting):
        request.wait(SECOND)
    reported = [(address - place, value) for address, value in machine.engines[Engine.BCS0].seqnos if address in range(place, place + 4096)]
    assert reported == [(0, 0xFFFF_FFFC), (0, 0xFFFF_FFFE), (8, 2), (8, 4)]


# ---- room ----


def test_a_ring_is_used_round_and_round() -> None:
    machine, driver = with_driver()
    requests = [driver.submit(Engine.BCS0, NOTHING) for _ in range(600)]
    requests[-1].wait(SECOND)
    assert seqnos(machine.engines[Engine.BCS0], requests[0].context) == [2 * number for number in range(1, 601)]
    assert 600 * 22 * 4 > 3 * requests[0].context.ring.size
    assert all(request.complete and request.error is None for request in requests)


def test_a_full_ring_is_waited_for_and_at_last_complained_of() -> None:
    machine, driver = with_driver()
    machine.engines[Engine.BCS0].silent = True
    driver.gt.engines[Engine.BCS0].space_timeout_ns = 10 * MILLISECOND
    count = 0
    with pytest.raises(WaitTimeout):  # noqa: PT012
        while True:
            driver.submit(Engine.BCS0, NOTHING)
            count += 1
    assert count == (16384 - 64) // 88 == 185
    context = driver.client.context(Engine.BCS0)
    assert len(context.timeline.requests) == count, "the one without room has left nothing behind"
    assert context.ring.emit == 88 * count


def test_work_that_cannot_be_written_leaves_nothing_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, driver = with_driver()
    streamer = driver.gt.engines[Engine.BCS0]
    context = driver.client.context(Engine.BCS0)

    def full(*_: object, **__: object) -> tuple[int, ...]:
        raise WaitTimeout("room", 0, 1, 1)

    with monkeypatch.context() as patch:
        patch.setattr(streamer.emission, "batch_start", full)
        for _ in range(3):
            with pytest.raises(WaitTimeout):
                driver.submit(Engine.BCS0, NOTHING)
    assert (context.timeline.requests, context.ring.emit, len(driver.client.buffers)) == ([], 0, 1)
    assert driver.wait_idle(SECOND)
    driver.submit(Engine.BCS0, NOTHING).wait(SECOND)
    assert len(driver.client.buffers) == 1, "not even memory for its commands"


# ---- engines wake and rest ----


def test_an_engine_rests_after_it_has_switched_to_the_kernels_context() -> None:
    machine, driver = with_driver()
    streamer = driver.gt.engines[Engine.VECS0]
    request = driver.submit(Engine.VECS0, NOTHING)
    awake = [streamer.awake]
    request.wait(SECOND)
    assert driver.wait_idle(SECOND)
    assert [*awake, streamer.awake] == [True, False]
    fake = machine.engines[Engine.VECS0]
    assert streamer.kernel_context.image is not None
    ports = [low & ~0xFFF for words in fake.submissions for low in (words[3], words[1]) if low]
    assert ports[-1] == streamer.kernel_context.image.address
    assert streamer.kernel_context.timeline.reported() == 3
    assert streamer.only_kernel_context


def test_waking_an_engine_scrubs_the_kernels_context() -> None:
    _, driver = with_driver()
    streamer = driver.gt.engines[Engine.VECS0]
    context = streamer.kernel_context
    assert context.image is not None
    context.image.buffer.write(4096 + 0x0C, b"\xff" * 4)
    driver.submit(Engine.VECS0, NOTHING)
    assert context.read_register("context_control") == 0x000F_0009
    assert context.read_register("head") == context.read_register("tail") == context.ring.tail


def test_a_bare_gpu_may_sleep_only_while_all_engines_rest() -> None:
    machine = FakeMachine(running=True, registers={RC6_CONTEXT: 1})
    driver = GuestDriver(machine)
    driver.probe()
    driver.wait_idle(SECOND)
    machine.regs.accesses.clear()
    requests = [driver.submit(engine, NOTHING) for engine in (Engine.RCS0, Engine.BCS0)]
    for request in requests:
        request.wait(SECOND)
    assert [access.value for access in machine.regs.accesses if access.offset == RC_CONTROL] == [0], "as the first engine wakes"
    driver.wait_idle(SECOND)
    written = [(access.offset, access.value) for access in machine.regs.accesses if access.offset in (RC_CONTROL, RC_STATE) and access.op is Op.WRITE]
    assert written == [(RC_CONTROL, 0), (RC_CONTROL, 1 << 18), (RC_STATE, 4 << 16)], "and as the last one rests"


# ---- refusals ----


def test_what_cannot_be_submitted_is_refused() -> None:
    _, driver = with_driver()
    client = driver.open_client("one")
    with pytest.raises(UsageError, match="priority 1024: clients have -1023 to 1023"):
        client.submit(Engine.RCS0, NOTHING, priority=1024)
    with pytest.raises(UsageError, match="priority -1024"):
        client.submit(Engine.RCS0, NOTHING, priority=Priority.IDLE)
    with pytest.raises(UsageError, match="one context of rcs0> for work on bcs0"):
        client.submit(Engine.BCS0, NOTHING, context=client.context(Engine.RCS0))
    with pytest.raises(UsageError, match="driver context of rcs0> for work of client one: it is none of its own"):
        client.submit(Engine.RCS0, NOTHING, context=driver.client.context(Engine.RCS0))
    with pytest.raises(UsageError, match="hers of client driver for work of client one"):
        client.submit(Engine.RCS0, driver.create_buffer(4096, "hers"))
    with pytest.raises(UsageError, match="offset 0x8 into commands that are no buffer"):
        client.submit(Engine.RCS0, NOTHING, offset=8)
    buffer = client.create_buffer(4096, "mine")
    for offset in (-4, 2, 4096):
        with pytest.raises(UsageError, match="commands at byte .* of mine, which has 0x1000 bytes"):
            client.submit(Engine.RCS0, buffer, offset=offset)
    assert client.context(Engine.RCS0).timeline.requests == []
    client.close()
    with pytest.raises(StateError, match="work of client one needs state open, but the state is closed"):
        client.submit(Engine.RCS0, NOTHING)


def test_an_unloaded_driver_takes_no_work() -> None:
    machine = FakeMachine(running=True)
    driver = GuestDriver(machine)
    with pytest.raises(StateError, match="submit work"):
        driver.submit(Engine.RCS0, NOTHING)
    with pytest.raises(StateError, match="create a buffer"):
        driver.create_buffer(4096)
    driver.probe()
    request = driver.submit(Engine.RCS0, NOTHING)
    request.wait(SECOND)
    driver.unload()
    with pytest.raises(StateError, match="submit work"):
        driver.submit(Engine.RCS0, NOTHING)
