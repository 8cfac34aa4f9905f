"""Hangs: how they are noticed, who pays for them, and that everybody else goes on."""

from __future__ import annotations

from typing import Final

import pytest
from support.fake_engines import FakeEngine
from support.guest_machine import FakeMachine, with_driver

from guest_driver import Batch, BufferObject, Client, Context, GtState, GuestDriver, Priority, Request
from host_model.bare_metal import bare_machine
from pvinfo.errors import GpuWedged, RequestFailed
from pvinfo.platform import ENGINES, Engine

SECOND: Final = 1_000_000_000
MILLISECOND: Final = 1_000_000
NOTHING: Final = (0, 0)
ENGINE: Final = Engine.BCS0
GDRST: Final = 0x941C


def begin(fake: FakeEngine, request: Request) -> None:
    """The engine is in ``request``: it has reported its start, and is stopped there by a reset."""
    fake.store(request.report_address, request.seqno - 1)
    fake.machine.regs.stored[ENGINES[request.engine].base + 0x238] = request.context.ccid


class Spinner:
    """A batch that goes round, and says so, until it is told to end; ``preemptible``: it gives way to others."""

    def __init__(self, client: Client, *, preemptible: bool = True) -> None:
        self.rounds: BufferObject = client.create_buffer(4096, "rounds")
        self.commands: BufferObject = client.create_buffer(4096, "spinner")
        batch = Batch()
        batch.store_dword(self.rounds.gpu_address, 1)
        if preemptible:
            batch.arb_check()
        batch.batch_start(self.commands.gpu_address)
        self.commands.write(0, batch.bytes)

    @property
    def spins(self) -> bool:
        """Whether it has come round since this was last asked."""
        spun = bool(self.rounds.read_dword(0))
        self.rounds.write_dword(0, 0)
        return spun

    def end(self) -> None:
        self.commands.write_dword(0, 0x0500_0000)


def on_bare_metal(platform: str = "skl") -> GuestDriver:
    _, machine = bare_machine(platform)
    driver = GuestDriver(machine)
    driver.probe()
    return driver


# ---- noticing ----


def test_an_earlier_request_is_heard_of_though_somebody_has_asked_for_a_later_one_first() -> None:
    machine, driver = with_driver()
    fake = machine.engines[ENGINE]
    fake.held = True
    earlier, later = (driver.submit(ENGINE, NOTHING) for _ in range(2))
    later.want_signal()
    begun = machine.clock.now
    run = machine.clock.while_waiting
    assert run is not None

    def finish_earlier() -> None:
        run()
        if machine.clock.now >= begun + MILLISECOND and not earlier.complete:
            fake.store(earlier.report_address, earlier.seqno)
            fake.interrupt(1)

    machine.clock.while_waiting = finish_earlier
    earlier.wait(SECOND)
    assert machine.clock.now - begun < 3 * MILLISECOND
    assert driver.log.complaints() == ()


def test_the_heartbeat_grows_more_urgent_beat_by_beat_until_the_engine_is_reset() -> None:
    machine, driver = with_driver()
    fake, streamer = machine.engines[ENGINE], driver.gt.engines[ENGINE]
    fake.silent = True
    woken = machine.clock.now
    request = driver.submit(ENGINE, NOTHING)
    fake.tell(0x1, request.context.ccid)
    begin(fake, request)
    seen = []
    for beat in range(1, 6):
        driver.wait(woken + beat * 2500 * MILLISECOND - machine.clock.now - MILLISECOND)
        pulse = streamer.heartbeat.pulse
        seen.append((None if pulse is None else pulse.priority, streamer.resets))
        driver.wait(2 * MILLISECOND)
    assert seen == [(None, 0), (Priority.IDLE, 0), (Priority.NORMAL, 0), (Priority.HEARTBEAT, 0), (Priority.BARRIER, 0)]
    assert streamer.resets == 1
    assert isinstance(request.error, RequestFailed)
    assert [line.text for line in driver.log.lines if line.rule == "engine-reset"] == ["bcs0 is reset: stopped heartbeat on bcs0"]
    assert [(state.engine, state.reason) for state in driver.gt.error_states] == [(ENGINE, "stopped heartbeat on bcs0")]


def test_work_that_gives_way_is_no_hang() -> None:
    driver = on_bare_metal()
    spinner = Spinner(driver.client)
    request = driver.submit(ENGINE, spinner.commands)
    driver.wait(13 * SECOND)
    assert (driver.gt.engines[ENGINE].resets, request.complete, spinner.spins) == (0, False, True)
    spinner.end()
    request.wait(SECOND)


def test_work_that_does_not_give_way_to_something_urgent_is_taken_away_after_640_milliseconds() -> None:
    driver = on_bare_metal()
    spinner = Spinner(driver.client, preemptible=False)
    stuck = driver.submit(ENGINE, spinner.commands)
    driver.wait(MILLISECOND)
    urgent = driver.open_client("urgent").submit(ENGINE, NOTHING, priority=5)
    driver.wait(600 * MILLISECOND)
    assert not urgent.complete
    driver.wait(50 * MILLISECOND)
    urgent.wait(0)
    assert [line.text for line in driver.log.lines if line.rule == "engine-reset"] == ["bcs0 is reset: preemption time out"]
    (state,) = driver.gt.error_states
    assert (state.engine, state.reason, state.context_id) == (ENGINE, "preemption time out", stuck.context.ccid)
    assert state.acthd - spinner.commands.gpu_address in range(32), "it was found in the batch"
    with pytest.raises(RequestFailed, match="bcs0 hung while it was executed"):
        stuck.wait(SECOND)


def test_two_that_spin_take_turns() -> None:
    driver = on_bare_metal()
    spinners, requests = [], []
    for name in ("one", "two", "three"):
        client = driver.open_client(name)
        spinners.append(Spinner(client))
        requests.append(client.submit(ENGINE, spinners[-1].commands))
    for _ in range(3):
        driver.wait(10 * MILLISECOND)
        assert [spinner.spins for spinner in spinners] == [True, True, True]
    for spinner in spinners:
        spinner.end()
    for request in requests:
        request.wait(SECOND)
    assert driver.gt.engines[ENGINE].resets == 0


# ---- who pays ----


def test_a_hang_costs_its_request_and_nothing_else() -> None:
    driver = on_bare_metal()
    guilty, innocent = driver.open_client("guilty"), driver.open_client("innocent")
    spinner = Spinner(guilty, preemptible=False)
    hung = guilty.submit(ENGINE, spinner.commands)
    driver.wait(MILLISECOND)
    target = innocent.create_buffer(4096)
    batch = Batch()
    batch.store_dword(target.gpu_address, 7)
    behind, other = guilty.submit(ENGINE, NOTHING), innocent.submit(ENGINE, batch)
    other.wait(20 * SECOND)
    behind.wait(SECOND)
    assert target.read_dword(0) == 7
    assert (driver.gt.engines[ENGINE].resets, driver.gt.resets) == (1, 0)
    with pytest.raises(RequestFailed, match="request 2 of guilty.*bcs0 hung while it was executed"):
        hung.wait(0)
    guilty.submit(ENGINE, NOTHING).wait(SECOND)


def test_the_third_hang_within_two_minutes_bans_the_context() -> None:
    driver = on_bare_metal()
    client, urgent = driver.open_client("guilty"), driver.open_client("urgent")
    spinner = Spinner(client, preemptible=False)
    context = client.context(ENGINE)

    def hang() -> Request:
        hung, behind = client.submit(ENGINE, spinner.commands), client.submit(ENGINE, NOTHING)
        driver.wait(MILLISECOND)
        urgent.submit(ENGINE, NOTHING, priority=5)
        with pytest.raises(RequestFailed, match="hung while it was executed"):
            hung.wait(20 * SECOND)
        return behind

    for _ in range(2):
        hang().wait(SECOND)
        assert not context.banned
    with pytest.raises(RequestFailed, match="its context is banned: it has hung the engine too often"):
        hang().wait(SECOND)
    with pytest.raises(RequestFailed, match="banned"):
        client.submit(ENGINE, NOTHING)
    client.submit(ENGINE, NOTHING, context=client.create_context(ENGINE, "fresh")).wait(SECOND)
    driver.open_client("innocent").submit(ENGINE, NOTHING).wait(SECOND)


def test_hangs_are_forgiven_after_two_minutes() -> None:
    machine, driver = with_driver()
    fake, streamer = machine.engines[ENGINE], driver.gt.engines[ENGINE]
    context = driver.client.context(ENGINE)
    banned = []
    for pause in (50, 100, 1, 0):
        fake.silent = True
        request = driver.submit(ENGINE, NOTHING)
        fake.tell(0x1, context.ccid)
        begin(fake, request)
        fake.silent = False
        assert streamer.recover("the test says so")
        driver.wait_idle(SECOND)
        assert request.error is not None
        machine.clock.now += pause * SECOND
        banned.append(context.banned)
    assert banned == [False, False, False, True], "the first is forgotten when the third comes, and the other three are too many"


def test_a_client_that_has_gone_is_not_forgiven() -> None:
    driver = on_bare_metal()
    client = driver.open_client("gone")
    spinner = Spinner(client, preemptible=False)
    client.submit(ENGINE, spinner.commands)
    context = client.context(ENGINE)
    driver.wait(MILLISECOND)
    client.close()
    assert client.vm.alive
    assert driver.wait_idle(30 * SECOND)
    assert (context.banned, client.vm.alive) == (True, False)


# ---- resets of everything ----


def test_a_reset_of_the_whole_costs_only_what_hung() -> None:
    machine, driver = with_driver(native=True)
    held = [machine.engines[engine] for engine in (Engine.RCS0, ENGINE)]
    for fake in held:
        fake.held = True
    requests = [driver.submit(fake.engine, NOTHING) for fake in held]
    driver.wait(MILLISECOND)
    for fake, request in zip(held, requests, strict=True):
        begin(fake, request)
        fake.held = False
        fake.seqnos.clear()
    assert driver.gt.reset([driver.gt.engines[Engine.RCS0]], "the test says so")
    with pytest.raises(RequestFailed, match="rcs0 hung while it was executed"):
        requests[0].wait(SECOND)
    requests[1].wait(SECOND)
    assert [fake.seqnos[0] for fake in held] == [(request.report_address, request.seqno) for request in requests], "both report their end"
    assert (driver.gt.resets, driver.gt_state) == (1, GtState.RUNNING)


def stick(machine: FakeMachine, domains: int) -> None:
    """Resets of ``domains`` do not end."""
    rule = machine.regs.rules[GDRST]
    machine.regs.rules[GDRST] = lambda value: value if value & domains else rule(value)


def test_an_engine_that_cannot_be_reset_alone_is_reset_with_all_others() -> None:
    machine, driver = with_driver()
    fake, streamer = machine.engines[ENGINE], driver.gt.engines[ENGINE]
    stick(machine, 1 << ENGINES[ENGINE].reset_bit)
    fake.silent = True
    request = driver.submit(ENGINE, NOTHING)
    fake.tell(0x1, request.context.ccid)
    begin(fake, request)
    fake.silent = False
    driver.gt.handle_error([streamer], "the test says so")
    with pytest.raises(RequestFailed, match="bcs0 hung"):
        request.wait(SECOND)
    assert driver.gt.resets == 1
    driver.submit(ENGINE, NOTHING).wait(SECOND)


def test_a_gt_that_cannot_be_reset_is_given_up_and_all_its_work_fails() -> None:
    machine, driver = with_driver()
    fake, streamer = machine.engines[ENGINE], driver.gt.engines[ENGINE]
    stick(machine, ~0)
    fake.silent = True
    requests = [driver.submit(ENGINE, NOTHING), driver.submit(ENGINE, NOTHING), driver.submit(Engine.RCS0, NOTHING)]
    requests.append(driver.submit(Engine.VCS0, NOTHING, after=requests[:1]))
    driver.gt.handle_error([streamer], "the test says so")
    assert driver.gt_state is GtState.WEDGED
    for request in (requests[0], requests[1], requests[3]):
        with pytest.raises(GpuWedged, match="the GT was given up"):
            request.wait(0)
    with pytest.raises(GpuWedged, match="there is no GPU work"):
        driver.submit(ENGINE, NOTHING)
    assert driver.wait_idle(SECOND)
    assert not driver.gt.reset()
    driver.unload()


def test_what_failed_with_a_gt_that_was_given_up_is_never_executed_when_it_is_taken_up_again() -> None:
    machine, driver = with_driver()
    fake, client = machine.engines[ENGINE], driver.client
    fake.held = True
    contexts: list[Context] = [client.context(ENGINE), client.create_context(ENGINE, "second"), client.create_context(ENGINE, "third")]
    given_up = [client.submit(ENGINE, NOTHING, context=context) for context in contexts for _ in range(2)]
    driver.wait(MILLISECOND)
    driver.gt.set_wedged()
    assert all(isinstance(request.error, GpuWedged) for request in given_up)
    fake.held = False
    assert driver.gt.reset()
    fake.seqnos.clear()
    fresh = [client.submit(ENGINE, NOTHING, context=context) for context in contexts]
    for request in fresh:
        request.wait(SECOND)
    clients = {(request.report_address, request.seqno) for request in (*fresh, *given_up)}
    assert [report for report in fake.seqnos if report in clients] == [(request.report_address, request.seqno) for request in fresh]
