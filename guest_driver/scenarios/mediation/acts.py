"""What many of these stories do or look at."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple, final

from host_model.mediator.failsafe import FailsafeReason
from pvinfo.errors import RequestFailed
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

from ...batch import Batch
from ...context import Context
from ...driver import GuestDriver
from ...ggtt import Binding
from ...request import Request
from ..stage import Stage
from ..vgpu.acts import failsafe_reason, is_distrusted
from ..work.acts import PATIENCE_NS, at_work, come_to_rest, mix, mixed, wait_for_all

__all__ = (
    "A_WHILE_NS",
    "Case",
    "Neighbour",
    "bound_page",
    "check_works",
    "give_up",
    "refused_for_good",
    "refused_once",
    "submit_in_ring",
)

A_WHILE_NS: Final = 20_000_000
"""In this time a mediator has certainly looked at what it was given."""


@final
class Neighbour:
    """The second guest: it works, and has memory that nobody else may touch."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.guest = stage.guests[1]
        stage.step("a neighbour is at work")
        self.driver = at_work(stage, self.guest)
        self._memory = self.driver.create_buffer(2 * PAGE_SIZE, "memory of the neighbour")
        self._content = bytearray(stage.random.randbytes(self._memory.size))
        self._memory.write(0, self._content)
        self.bound = self.driver.ggtt.bind(self._memory)
        """The same memory in its slice of graphics memory."""

    def submit(self, engine: Engine) -> Request:
        """It has something to do, of which nothing is left."""
        batch = Batch()
        batch.noop()
        return self.driver.submit(engine, batch)

    def check(self) -> None:
        """It works as ever, and finds its memory as it left it."""
        requests = []
        for place, engine in enumerate(self.driver.platform.engines):
            number, at = self._stage.random.getrandbits(32), 64 * place
            before = int.from_bytes(self._content[at : at + 4], "little")
            requests.append(self.driver.submit(engine, mix(self._memory.gpu_address + at, number)))
            self._content[at : at + 4] = mixed([number], before).to_bytes(4, "little")
        wait_for_all(requests)
        self._stage.check("the neighbour's work is done, and its memory is its own", self._memory.read(0, self._memory.size) == self._content, True)
        self._stage.host_view("why the host distrusts the neighbour", failsafe_reason, None, guest=1)


def submit_in_ring(context: Context, words: Sequence[int], spoil: Callable[[], None] | None = None) -> Request:
    """Have ``context`` execute commands in its ring itself, where they have privilege. What the driver lets clients do is
    to start batches without any. ``spoil`` is done last, before the engine is told."""
    request = Request(context)
    request.emit([*words, 0] if len(words) % 2 else words)
    if spoil is not None:
        spoil()
    request.commit()
    return request


def bound_page(driver: GuestDriver, name: str, pages: int = 1) -> Binding:
    """Fresh memory in the guest's slice of graphics memory, at addresses that take privilege."""
    return driver.ggtt.bind(driver.memory.allocate(pages, name))


def check_works(stage: Stage, driver: GuestDriver) -> None:
    """Every engine executes what it is given."""
    result = driver.create_buffer(PAGE_SIZE, "result")
    requests, values = [], []
    for place, engine in enumerate(driver.platform.engines):
        values.append(stage.random.getrandbits(32))
        batch = Batch()
        batch.store_dword(result.gpu_address + 4 * place, values[-1])
        requests.append(driver.submit(engine, batch))
    wait_for_all(requests)
    stage.check("what its engines have stored", [result.read_dword(4 * place) for place in range(len(values))], values)


# ---- what is refused ----


class Case(NamedTuple):
    """Something that a mediator refuses."""

    what: str
    """In a phrase, after "the guest submits"."""
    engine: Engine
    commands: Callable[[GuestDriver], Sequence[int]]
    """What stands in the ring."""


def refused_for_good(stage: Stage, rule: str, cases: Sequence[Case | tuple[str, Callable[[GuestDriver], Request]]]) -> None:
    """Each case breaks ``rule``, is not executed, and costs the host's trust, which a device reset brings back. The neighbour
    notices nothing."""
    neighbour = Neighbour(stage)
    for case in cases:
        stage.step("the driver starts the engines")
        driver = at_work(stage)
        come_to_rest(stage, driver)
        what = case.what if isinstance(case, Case) else case[0]
        stage.step(f"the guest submits {what}")
        if isinstance(case, Case):
            witness = bound_page(driver, "witness")
            store = Batch()
            store.store_dword(witness.address, 1, use_global_gtt=True)
            request = submit_in_ring(driver.client.context(case.engine), [*store.words, *case.commands(driver)])
        else:
            witness, request = None, case[1](driver)
        driver.wait(A_WHILE_NS)
        stage.check("the request is done", request.complete, False)
        if witness is not None:
            stage.check("what stands before it was executed", witness.buffer.read_dword(0), 0)
        stage.expect_finding(rule)
        stage.expect_finding("failsafe")
        stage.check("the guest's registers have become plain storage", is_distrusted(stage.guest), True)
        stage.host_view("why the host distrusts the guest", failsafe_reason, FailsafeReason.GUEST_ERROR)
        neighbour.check()
        stage.guest.machine.gpu.reset()
        stage.host_view("why the host distrusts the guest after a device reset", failsafe_reason, None)

    stage.step("after the reset a new driver has work done")
    check_works(stage, at_work(stage))
    neighbour.check()


def give_up(stage: Stage, request: Request) -> None:
    """The driver sees that ``request`` does not end, takes it back and resets the engine."""
    stage.check("the request is done", request.complete, False)
    request.fail("it was not executed")
    request.skip()
    stage.check("its engine can be reset", request.streamer.recover("its work does not end"), True)
    stage.check_raises("the wait for it ends with", RequestFailed, partial(request.wait, PATIENCE_NS))


def refused_once(stage: Stage, driver: GuestDriver, what: str, rule: str, submit: Callable[[], Request], mend: Callable[[], None] | None = None) -> None:
    """``submit`` breaks ``rule``: its work is dropped, and nothing else happens. The guest resets its engine and goes on, after
    it has mended what was wrong."""
    come_to_rest(stage, driver)
    stage.step(f"the guest submits {what}")
    request = submit()
    driver.wait(A_WHILE_NS)
    stage.expect_finding(rule)
    stage.host_view("why the host distrusts the guest", failsafe_reason, None)
    if mend is not None:
        mend()
    give_up(stage, request)
    check_works(stage, driver)
