"""What the driver puts off: tasklets, timers, waiting."""

from __future__ import annotations

from support.guest_machine import FakeClock

from guest_driver.work import Alarm, Work


def work() -> tuple[FakeClock, Work]:
    clock = FakeClock()
    return clock, Work(clock)


def test_a_tasklet_runs_once_however_often_it_is_asked_for() -> None:
    _, put_off = work()
    ran: list[str] = []

    def tasklet() -> None:
        ran.append("tasklet")

    put_off.schedule(tasklet)
    put_off.schedule(tasklet)
    put_off.run_tasklets()
    put_off.run_tasklets()
    assert ran == ["tasklet"]


def test_news_of_requests_come_before_any_tasklet() -> None:
    _, put_off = work()
    ran: list[str] = []
    put_off.schedule(lambda: ran.append("tasklet"))
    put_off.signal(lambda: ran.append("news"))
    put_off.run_tasklets()
    assert ran == ["news", "tasklet"]


def test_a_tasklet_is_not_run_inside_another() -> None:
    _, put_off = work()
    ran: list[str] = []

    def first() -> None:
        ran.append("first begins")
        put_off.schedule(lambda: ran.append("second"))
        put_off.run_tasklets()
        ran.append("first ends")

    put_off.schedule(first)
    put_off.run_tasklets()
    assert ran == ["first begins", "first ends", "second"]


def test_timers_go_off_in_the_order_of_their_time_while_the_driver_waits() -> None:
    clock, put_off = work()
    ran: list[tuple[str, int]] = []
    put_off.after(3_000, lambda: ran.append(("late", clock.now)))
    put_off.after(1_000, lambda: ran.append(("early", clock.now)))
    put_off.after(1_000, lambda: ran.append(("early too", clock.now)))
    clock.wait_ns(500)
    assert ran == [], "time alone does nothing: the driver has no threads"
    put_off.wait(10_000)
    assert ran == [("early", 1_000), ("early too", 1_000), ("late", 3_000)]
    assert clock.now == 10_500


def test_a_timer_that_is_cancelled_does_not_go_off() -> None:
    _, put_off = work()
    ran: list[str] = []
    timer = put_off.after(1_000, lambda: ran.append("gone off"))
    assert timer.pending
    timer.cancel()
    put_off.wait(2_000)
    assert ran == []
    assert not timer.pending


def test_a_timer_may_set_another_and_wait() -> None:
    clock, put_off = work()
    ran: list[tuple[str, int]] = []

    def first() -> None:
        put_off.after(500, lambda: ran.append(("second", clock.now)))
        put_off.wait(1_000)
        ran.append(("first", clock.now))

    put_off.after(1_000, first)
    put_off.wait(5_000)
    assert ran == [("first", 2_000), ("second", 2_000)], "a worker that waits keeps the others waiting"


def test_a_wait_ends_as_soon_as_what_is_waited_for_is_so() -> None:
    clock, put_off = work()
    put_off.after(7_000, lambda: None)
    assert put_off.wait_until(lambda: clock.now >= 7_000, 1_000_000)
    assert clock.now == 7_000
    assert put_off.wait_until(lambda: True, 0)
    assert clock.now == 7_000


def test_a_wait_that_is_too_short_takes_exactly_its_time() -> None:
    clock, put_off = work()
    assert not put_off.wait_until(lambda: False, 12_345)
    assert clock.now == 12_345


def test_pauses_grow_to_a_millisecond() -> None:
    clock, put_off = work()
    looks: list[int] = []

    def look() -> bool:
        looks.append(clock.now)
        return False

    put_off.wait_until(look, 5_000_000)
    pauses = [after - before for before, after in zip(looks, looks[1:], strict=False)]
    assert pauses[:4] == [1_000, 2_000, 4_000, 8_000]
    assert max(pauses) == 1_000_000


def test_an_alarm_says_whether_it_is_set_and_whether_it_went_off() -> None:
    _, put_off = work()
    ran: list[str] = []
    alarm = Alarm(put_off, lambda: ran.append("looked"))
    assert (alarm.is_set, alarm.went_off) == (False, False)
    alarm.set(1_000)
    assert (alarm.is_set, alarm.went_off) == (True, False)
    put_off.wait(1_000)
    assert (alarm.is_set, alarm.went_off, ran) == (True, True, ["looked"])
    alarm.cancel()
    assert (alarm.is_set, alarm.went_off) == (False, False)
    alarm.set(1_000)
    alarm.set(5_000)
    put_off.wait(2_000)
    assert not alarm.went_off, "setting it anew forgets the time before"
