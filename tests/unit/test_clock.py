"""The host's clock: timers, and time that moves only while somebody waits."""

from __future__ import annotations

import random

import pytest

from host_model.clock import RealClock, VirtualClock


def test_virtual_time_stands_still_until_somebody_waits() -> None:
    clock = VirtualClock()
    assert (clock.now_ns(), clock.now_ns()) == (0, 0)
    clock.wait_ns(1500)
    assert clock.now_ns() == 1500
    clock.wait_ns(0)
    clock.wait_ns(-7)
    assert clock.now_ns() == 1500


def test_each_timer_is_called_at_its_own_instant_even_within_one_wait() -> None:
    clock = VirtualClock()
    seen: list[tuple[str, int]] = []
    for name, delay in (("late", 30), ("early", 10), ("never", 101)):
        clock.call_after(delay, lambda name=name: seen.append((name, clock.now_ns())))  # type: ignore[misc]
    clock.wait_ns(100)
    assert seen == [("early", 10), ("late", 30)]
    assert clock.now_ns() == 100
    assert clock.next_deadline_ns() == 101


def test_equal_deadlines_keep_the_order_in_which_they_were_set() -> None:
    clock = VirtualClock()
    seen: list[int] = []
    for number in range(50):
        clock.call_at(7, lambda number=number: seen.append(number))  # type: ignore[misc]
    clock.wait_ns(7)
    assert seen == list(range(50))


def test_a_cancelled_timer_is_never_called_and_never_wakes_anybody() -> None:
    clock = VirtualClock()
    seen: list[str] = []
    first = clock.call_at(5, lambda: seen.append("first"))
    clock.call_at(9, lambda: seen.append("second"))
    first.cancel()
    assert clock.next_deadline_ns() == 9
    clock.wait_ns(20)
    assert seen == ["second"]
    first.cancel()
    assert clock.next_deadline_ns() is None


def test_a_timer_can_cancel_another_that_is_due_at_the_same_instant() -> None:
    clock = VirtualClock()
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        second.cancel()

    clock.call_at(5, first)
    second = clock.call_at(5, lambda: seen.append("second"))
    clock.wait_ns(5)
    assert seen == ["first"]


def test_a_timer_set_by_a_timer_is_called_within_the_same_wait_when_it_is_due() -> None:
    clock = VirtualClock()
    seen: list[int] = []

    def tick() -> None:
        seen.append(clock.now_ns())
        clock.call_after(10, tick)

    clock.call_after(10, tick)
    clock.wait_ns(45)
    assert seen == [10, 20, 30, 40]
    clock.wait_ns(5)
    assert seen[-1] == 50


def test_what_is_overdue_is_called_without_moving_time_back() -> None:
    clock = VirtualClock()
    clock.wait_ns(100)
    seen: list[int] = []
    clock.call_at(40, lambda: seen.append(clock.now_ns()))
    clock.wait_ns(0)
    assert seen == [100]


def test_running_what_is_due_leaves_the_rest_and_what_is_set_meanwhile() -> None:
    clock = VirtualClock()
    seen: list[str] = []

    def first() -> None:
        seen.append("first")
        clock.call_after(0, lambda: seen.append("meanwhile"))

    clock.call_at(0, first)
    clock.call_at(1, lambda: seen.append("later"))
    assert clock.run_due() == 1
    assert seen == ["first"]
    assert clock.run_due() == 1
    assert seen == ["first", "meanwhile"]
    assert clock.next_deadline_ns() == 1


def test_time_never_runs_back_when_somebody_waits_inside_a_timer() -> None:
    """An interrupt handler of the guest, called from a timer, may itself wait for a register."""
    clock = VirtualClock()
    clock.call_at(5, lambda: clock.wait_ns(100))
    clock.wait_ns(10)
    assert clock.now_ns() == 105


@pytest.mark.parametrize("seed", range(10))
def test_random_timers_are_called_in_order_each_at_its_deadline(seed: int) -> None:
    rng = random.Random(seed)
    clock = VirtualClock()
    called: list[tuple[int, int, int]] = []
    expected: list[tuple[int, int]] = []
    for number in range(200):
        deadline = rng.randrange(1000)
        timer = clock.call_at(deadline, lambda deadline=deadline, number=number: called.append((clock.now_ns(), deadline, number)))  # type: ignore[misc]
        if rng.random() < 0.2:
            timer.cancel()
        else:
            expected.append((deadline, number))
    while clock.now_ns() < 1000:
        clock.wait_ns(rng.randrange(1, 60))
    assert [(deadline, number) for _, deadline, number in called] == sorted(expected)
    assert all(now == deadline for now, deadline, _ in called)


def test_real_time_begins_at_zero_and_goes_on_by_itself() -> None:
    clock = RealClock()
    first = clock.now_ns()
    assert first >= 0
    while clock.now_ns() == first:
        pass
    called: list[int] = []
    clock.call_at(first, lambda: called.append(1))
    clock.call_after(3_600_000_000_000, lambda: called.append(2))
    assert clock.run_due() == 1
    assert called == [1]
