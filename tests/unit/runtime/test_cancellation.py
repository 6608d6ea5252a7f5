"""Pins that every wait ends when it must: real threads and events, and no sleeping for luck."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from batch_os_provider.errors import TransientError
from batch_os_provider.runtime import cancellation
from batch_os_provider.runtime.cancellation import Canceled, CancellationToken, RealWaiter, StopReason

HANG = 30.0
"""How long a test waits for what must come; it never comes near it when all is well."""


class Blocked:
    """A call that begins, tells so, and returns when released."""

    def __init__(self) -> None:
        self.began, self.release, self.returned = threading.Event(), threading.Event(), threading.Event()

    def __call__(self) -> str:
        self.began.set()
        assert self.release.wait(HANG)
        self.returned.set()
        return "answer"


def stopped(action: Callable[[], object]) -> Canceled:
    with pytest.raises(Canceled) as caught:
        action()
    return caught.value


def test_a_call_returns_what_the_function_returns_and_runs_in_another_thread() -> None:
    waiter = RealWaiter(CancellationToken())
    assert waiter.call(lambda: 7) == 7
    assert waiter.call(lambda: 7, write=True) == 7
    assert waiter.call(lambda: None) is None
    assert waiter.call(threading.current_thread) is not threading.current_thread()


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt()])
def test_a_call_raises_what_the_function_raises(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as caught:
        RealWaiter(CancellationToken()).call(fail)
    assert caught.value is error


def test_nothing_is_called_after_a_stop() -> None:
    token = CancellationToken()
    token.set(StopReason.CANCELED)
    waiter = RealWaiter(token)
    called: list[int] = []
    for write in (False, True):
        error = stopped(lambda write=write: waiter.call(lambda: called.append(1), write=write))  # type: ignore[misc]
        assert (error.reason, error.in_call) == (StopReason.CANCELED, False)
    assert called == []


def test_a_stop_during_a_read_returns_at_once_and_abandons_it() -> None:
    token, blocked = CancellationToken(), Blocked()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(stopped, lambda: RealWaiter(token).call(blocked))
        assert blocked.began.wait(HANG)
        token.set(StopReason.CANCELED)
        error = future.result(HANG)
        assert not blocked.returned.is_set(), "the read is still blocked, and nobody waits for it"
        blocked.release.set()
    assert (error.reason, error.in_call) == (StopReason.CANCELED, True)


def test_a_stop_during_a_write_waits_for_an_answer_that_comes_within_the_grace() -> None:
    token, blocked = CancellationToken(), Blocked()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(lambda: RealWaiter(token).call(blocked, write=True))
        assert blocked.began.wait(HANG)
        token.set(StopReason.CANCELED)
        blocked.release.set()
        assert future.result(HANG) == "answer"


def test_a_write_that_outlasts_its_grace_is_abandoned_and_said_to_have_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cancellation, "WRITE_GRACE", 0.05)
    token, blocked = CancellationToken(), Blocked()
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(stopped, lambda: RealWaiter(token).call(blocked, write=True))
        assert blocked.began.wait(HANG)
        token.set(StopReason.ENGINE_GONE)
        error = future.result(HANG)
        blocked.release.set()
    assert (error.reason, error.in_call) == (StopReason.ENGINE_GONE, True)


@pytest.mark.parametrize("write", [False, True])
def test_a_call_without_end_is_given_up_and_may_have_happened(monkeypatch: pytest.MonkeyPatch, write: bool) -> None:
    monkeypatch.setattr(cancellation, "WRITE_GRACE", 0.01)
    ended = threading.Event()
    with pytest.raises(TransientError, match="calling Batch failed: the answer did not end within") as caught:
        RealWaiter(CancellationToken(), longest=0.01).call(lambda: ended.wait(HANG), write=write)
    assert caught.value.reply.status == 0, "nobody knows what became of it"
    assert "run the command again" in caught.value.next_step
    ended.set()


def test_the_grace_of_a_write_fits_into_the_three_seconds_of_an_interrupt() -> None:
    assert 0 < cancellation.WRITE_GRACE < 3


def test_a_stop_ends_a_sleep_at_once() -> None:
    token = CancellationToken()
    entered = threading.Event()

    def sleep() -> None:
        entered.set()
        RealWaiter(token).sleep(HANG * 10)

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(stopped, sleep)
        assert entered.wait(HANG)
        token.set(StopReason.CANCELED)
        error = future.result(HANG)
    assert (error.reason, error.in_call) == (StopReason.CANCELED, False)


def test_a_sleep_of_nothing_still_hears_a_stop() -> None:
    token = CancellationToken()
    RealWaiter(token).sleep(0)
    RealWaiter(token).sleep(-1)
    token.set(StopReason.CANCELED)
    stopped(lambda: RealWaiter(token).sleep(0))


def test_one_stop_ends_every_wait_of_the_process() -> None:
    token, calls = CancellationToken(), [Blocked() for _ in range(20)]
    with ThreadPoolExecutor(40) as pool:
        futures = [pool.submit(stopped, lambda one=one: RealWaiter(token).call(one)) for one in calls]  # type: ignore[misc]
        futures += [pool.submit(stopped, lambda: RealWaiter(token).sleep(HANG * 10)) for _ in range(20)]
        assert all(one.began.wait(HANG) for one in calls)
        token.set(StopReason.CANCELED)
        assert {future.result(HANG).reason for future in futures} == {StopReason.CANCELED}
        for one in calls:
            one.release.set()


def test_a_gone_engine_outranks_an_interrupt_and_not_the_other_way_round() -> None:
    token = CancellationToken()
    assert token.reason is None
    token.set(StopReason.CANCELED)
    token.set(StopReason.ENGINE_GONE)
    assert token.reason is StopReason.ENGINE_GONE
    token.set(StopReason.CANCELED)
    assert token.reason is StopReason.ENGINE_GONE


def test_listeners_are_told_once_and_forgotten() -> None:
    token, early, late = CancellationToken(), threading.Event(), threading.Event()
    with token.also_setting(early):
        pass
    with token.also_setting(late):
        token.set(StopReason.CANCELED)
        assert late.is_set()
    assert not early.is_set()
    with token.also_setting(early):
        assert early.is_set(), "a stop that came before is heard too"


def test_the_clock_is_the_monotonic_one() -> None:
    before = time.monotonic()
    assert before <= RealWaiter(CancellationToken()).now() <= time.monotonic()
