"""Whose turn it is: the queue and the ports of an engine against a model that is too simple to be wrong."""

from __future__ import annotations

import random
from typing import Final

import pytest
from support.fake_engines import FakeEngine
from support.guest_machine import FakeMachine, with_driver
from support.sample import sampled

from guest_driver import Client, Context, GuestDriver, Request
from guest_driver.queue import RequestQueue
from pvinfo.platform import Engine

ENGINE: Final = Engine.BCS0
SECOND: Final = 1_000_000_000
NOTHING: Final = (0, 0)
PRIORITIES: Final = (-5, 0, 0, 0, 7)


class NaiveQueue:
    """A list, sorted anew for every question; ``rank`` says who came first among equals."""

    def __init__(self) -> None:
        self.ranks: dict[Request, int] = {}
        self.last = self.first = 0

    def append(self, request: Request) -> None:
        self.last += 1
        self.ranks[request] = self.last

    def push(self, request: Request) -> None:
        self.first -= 1
        self.ranks[request] = self.first

    def remove(self, request: Request) -> None:
        del self.ranks[request]

    def defer(self, request: Request) -> None:
        """What must come after it is what is of its context, or after something that moves."""
        moved: list[Request] = []
        for other in self.order():
            if other.priority == request.priority and (other is request or any(other.context is one.context or one in other.after for one in moved)):
                moved.append(other)
        for other in moved:
            self.append(other)

    def order(self) -> list[Request]:
        return sorted(self.ranks, key=lambda request: (-request.priority, self.ranks[request]))


@pytest.mark.parametrize("seed", sampled(range(20), range(5)))
def test_the_queue_does_what_a_sorted_list_does(seed: int) -> None:
    chance = random.Random(seed)
    machine, driver = with_driver()
    client = driver.open_client("test")
    contexts = [client.create_context(ENGINE, str(number)) for number in range(4)]
    machine.engines[ENGINE].silent = True
    requests: list[Request] = []
    for _ in range(25):
        after = chance.sample(requests, min(len(requests), chance.choice((0, 0, 0, 1, 2))))
        requests.append(client.submit(ENGINE, NOTHING, context=chance.choice(contexts), after=after, priority=chance.choice(PRIORITIES)))
    queue, naive = RequestQueue(), NaiveQueue()
    for request in requests:
        request.queued = False
    for _ in range(400):
        waiting = list(naive.ranks)
        outside = [request for request in requests if request not in naive.ranks]
        act = chance.choice(("append", "append", "push", "remove", "defer"))
        if act in ("append", "push"):
            if not outside:
                continue
            request = chance.choice(outside)
            getattr(queue, act)(request)
            getattr(naive, act)(request)
        elif waiting:
            # What is deferred was taken back first, and so stands before everything that must come after it.
            request = chance.choice(waiting)
            if act == "defer":
                for one in (queue, naive):
                    one.remove(request)
                    one.push(request)
            getattr(queue, act)(request)
            getattr(naive, act)(request)
        order = naive.order()
        assert list(queue) == order
        assert queue.first() is (order[0] if order else None)
        assert queue.top == (order[0].priority if order else None)
        assert bool(queue) is bool(order)
        assert all(request.queued is (request in naive.ranks) for request in requests)


class Ports:
    """An engine that takes its time, and what may and must be seen of it at any moment."""

    def __init__(self, seed: int, *, native: bool) -> None:
        self.chance = random.Random(seed)
        self.machine: FakeMachine
        self.driver: GuestDriver
        self.machine, self.driver = with_driver(native=native)
        self.fake: FakeEngine = self.machine.engines[ENGINE]
        self.client: Client = self.driver.open_client("test")
        self.contexts: list[Context] = [self.client.create_context(ENGINE, str(number)) for number in range(4)]
        self.requests: list[Request] = []
        self.native = native
        self.fake.submissions.clear()
        self.fake.seqnos.clear()

    def act(self) -> None:
        chance = self.chance
        kind = chance.choice(("submit", "submit", "submit", "hold", "let go", "pass", "pass"))
        if kind == "submit":
            recent = self.requests[-6:]
            after = chance.sample(recent, min(len(recent), chance.choice((0, 0, 0, 1, 2))))
            context, priority = chance.choice(self.contexts), chance.choice(PRIORITIES)
            self.requests.append(self.client.submit(ENGINE, NOTHING, context=context, after=after, priority=priority))
        elif kind == "pass":
            self.driver.wait(chance.choice((1_000, 50_000, 1_500_000)))
        else:
            self.fake.held = kind == "hold"

    def check(self) -> None:
        execlists = self.driver.gt.engines[ENGINE].execlists
        for ports in (execlists.inflight, execlists.pending):
            assert len({request.context for request in ports}) == len(ports) <= 2, "one context never stands in both ports"
        for context in self.contexts:
            assert context.inflight == sum(request.context is context for request in (*execlists.inflight, *execlists.pending))
        names = [request.context.ccid for request in (*execlists.inflight, *execlists.pending)]
        assert len(set(names)) == len({request.context for request in (*execlists.inflight, *execlists.pending)}), "no two contexts have one name"

    def check_order(self) -> None:
        """Each was done once, behind what it comes after, and behind what came before it in its context."""
        own = {(request.report_address, request.seqno): request for request in self.requests}
        done = [own[report] for report in self.fake.seqnos if report in own]
        assert len(done) == len(set(done)) == len(self.requests)
        place = {request: number for number, request in enumerate(done)}
        for number, request in enumerate(self.requests):
            for other in self.expected_before[number]:
                assert place[other] < place[request]

    def run(self) -> None:
        self.expected_before: list[list[Request]] = []
        for _ in range(150):
            self.act()
            if len(self.expected_before) < len(self.requests):
                newest = self.requests[-1]
                self.expected_before.append([other for other in self.requests[:-1] if other.context is newest.context] + list(newest.after))
            self.check()
        self.fake.held = False
        for request in self.requests:
            request.wait(SECOND)
        assert self.driver.wait_idle(SECOND)
        self.check_order()
        assert self.driver.log.complaints() == ()
        assert self.driver.gt.engines[ENGINE].resets == 0


@pytest.mark.parametrize("native", [False, True])
@pytest.mark.parametrize("seed", sampled(range(15), range(4)))
def test_everything_is_done_once_and_in_an_order_that_holds_whatever_comes_when(seed: int, native: bool) -> None:
    Ports(seed, native=native).run()


@pytest.mark.parametrize("seed", sampled(range(10), range(4)))
def test_on_a_vgpu_what_waits_goes_by_priority_as_long_as_nothing_is_taken_back(seed: int) -> None:
    """What the ports hold stays; then the most urgent comes, and of equals what came first, each context in its own order."""
    ports = Ports(seed, native=False)
    ports.fake.held = True
    blockers = [ports.client.submit(ENGINE, NOTHING, context=context, priority=7) for context in ports.contexts[:2]]
    ports.driver.wait(1_000)
    contexts = [ports.client.create_context(ENGINE, f"waiting {number}") for number in range(30)]
    waiting = [ports.client.submit(ENGINE, NOTHING, context=context, priority=ports.chance.choice(PRIORITIES)) for context in contexts]
    ports.fake.held = False
    for request in (*blockers, *waiting):
        request.wait(SECOND)
    by_report = {(request.report_address, request.seqno): request for request in (*blockers, *waiting)}
    done = [by_report[report] for report in ports.fake.seqnos if report in by_report]
    assert done[:2] == blockers
    assert done[2:] == sorted(waiting, key=lambda request: (-request.priority, waiting.index(request)))
