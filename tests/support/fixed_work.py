"""The fixed piece of work of ``tests/linux/workload/submissions.c``, by the Python driver: step by step the same."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from guest_driver import BufferObject, Client, Context, GuestDriver, Request
from guest_driver.batch import Batch
from pvinfo.platform import Engine
from pvinfo.units import PAGE_SIZE

__all__ = ("do_fixed_work",)

LOW: Final = -500
HIGH: Final = 500
ENGINES: Final = (Engine.RCS0, Engine.BCS0, Engine.VCS0, Engine.VECS0)
MOMENT_NS: Final = 10_000_000
SLEEP_NS: Final = 300_000_000
PATIENCE_NS: Final = 30_000_000_000


class _Spinner:
    """A batch that goes round until its first command is made an end."""

    def __init__(
        self, client: Client, driver: GuestDriver, engine: Engine, context: Context | None = None, priority: int = 0
    ) -> None:
        begun = client.create_buffer(PAGE_SIZE, "sign")
        self._commands = client.create_buffer(PAGE_SIZE, "spinner")
        batch = Batch()
        batch.arb_check()
        batch.store_dword(begun.gpu_address, 1)
        batch.batch_start(self._commands.gpu_address)
        self._commands.write(0, batch.bytes)
        self.request = client.submit(engine, self._commands, context=context, priority=priority)
        while not begun.read_dword(0):
            driver.wait(MOMENT_NS)

    def end(self) -> None:
        batch = Batch()
        batch.batch_end()
        self._commands.write(0, batch.bytes)
        self.request.wait(PATIENCE_NS)


class _FixedWork:
    def __init__(self, driver: GuestDriver) -> None:
        self.driver = driver
        self.client = driver.open_client("fixed work")
        self.targets: list[tuple[BufferObject, int]] = []

    def store(
        self, engine: Engine, number: int, after: Sequence[Request] = (), context: Context | None = None, priority: int = 0
    ) -> Request:
        target = self.client.create_buffer(PAGE_SIZE, f"target {number}")
        self.targets.append((target, number))
        batch = Batch()
        batch.store_dword(target.gpu_address, number)
        return self.client.submit(engine, batch, after=after, context=context, priority=priority)

    def fall_asleep(self) -> None:
        self.driver.wait(SLEEP_NS)

    def one_each(self) -> None:
        for number, engine in enumerate(ENGINES):
            self.store(engine, number).wait(PATIENCE_NS)
            self.fall_asleep()

    def two_ports(self) -> None:
        one, other = (self.client.create_context(Engine.VECS0, name) for name in ("one", "other"))
        spinner = _Spinner(self.client, self.driver, Engine.RCS0)
        held = [
            self.store(Engine.VECS0, 4, [spinner.request], one, LOW),
            self.store(Engine.VECS0, 5, [], one, LOW),
            self.store(Engine.VECS0, 6, [spinner.request], other, LOW),
        ]
        spinner.end()
        for request in held:
            request.wait(PATIENCE_NS)
        self.fall_asleep()

    def preemption(self) -> None:
        low, high = (self.client.create_context(Engine.VECS0, name) for name in ("low", "high"))
        spinner = _Spinner(self.client, self.driver, Engine.VECS0, low, LOW)
        self.store(Engine.VECS0, 7, [], high, HIGH).wait(PATIENCE_NS)
        assert not spinner.request.complete
        spinner.end()
        self.fall_asleep()

    def semaphore(self) -> None:
        spinner = _Spinner(self.client, self.driver, Engine.VCS0)
        waiting = self.store(Engine.VECS0, 8, [spinner.request])
        self.driver.wait(SLEEP_NS)
        spinner.end()
        waiting.wait(PATIENCE_NS)
        self.fall_asleep()


def do_fixed_work(driver: GuestDriver) -> None:
    """Do it, and check that every store was made. Each step ends with all engines asleep."""
    work = _FixedWork(driver)
    work.fall_asleep()
    work.one_each()
    work.two_ports()
    if all(streamer.has_preemption for streamer in driver.gt.engines.values()):
        work.preemption()
    work.semaphore()
    assert [target.read_dword(0) for target, _ in work.targets] == [number for _, number in work.targets]
