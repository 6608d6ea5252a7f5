"""Pins that calls of other packages' dynamic providers are known, and run as many at a time as before."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from types import ModuleType
from typing import Any

import pytest

from batch_os_provider.engine import foreign_calls
from batch_os_provider.image_provider import PoolImageVersionProvider
from batch_os_provider.provider import PoolOsVersionProvider

SERVER = """
def get_provider(props, config):
    return props["__provider"]

def serve(props, method):
    provider = get_provider(props, {})
    return getattr(provider, method)()

def between_calls(action):
    return action()
"""


def server() -> Any:
    """A module whose functions serve calls, as the SDK's main module has them."""
    module = ModuleType("server")
    exec(SERVER, vars(module))  # noqa: S102 - a text of this file
    return module


class Other:
    """A provider of another package, whose calls last until they may end; counts those at work."""

    name = "other"

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.began = threading.Semaphore(0)
        self.lock = threading.Lock()
        self.running = self.peak = 0

    def work(self) -> str:
        with self.lock:
            self.running += 1
            self.peak = max(self.peak, self.running)
        self.began.release()
        self.may_end.wait(20)
        with self.lock:
            self.running -= 1
        return "done"

    create = update = read = delete = diff = work


class Ours(Other, PoolOsVersionProvider):  # type: ignore[misc]  # the methods are not called as the SDK does
    """A provider that somebody made from ours."""

    create = update = read = delete = diff = Other.work


@pytest.mark.parametrize(
    ("provider", "ours"),
    [
        (PoolOsVersionProvider(), True),
        (PoolImageVersionProvider(), True),
        (Ours(), True),
        (Other(), False),
        (None, False),
        (foreign_calls._Limited(PoolOsVersionProvider(), threading.BoundedSemaphore(4)), False),
    ],
)
def test_what_is_ours(provider: object, ours: bool) -> None:
    assert foreign_calls.is_ours(provider) is ours


@pytest.mark.parametrize(("kind", "foreign"), [(Other, True), (Ours, False)])
def test_a_call_is_told_by_the_frames_of_the_server(kind: type[Other], *, foreign: bool) -> None:
    module, provider = server(), kind()
    assert not foreign_calls.are_running(module)
    with ThreadPoolExecutor() as executor:
        call = executor.submit(module.serve, {"__provider": provider}, "create")
        assert provider.began.acquire(timeout=20)
        assert foreign_calls.are_running(module) is foreign
        provider.may_end.set()
        assert call.result() == "done"
        assert not foreign_calls.are_running(module), "an idle worker serves no call"


def test_a_call_that_is_not_known_yet_counts_as_foreign() -> None:
    """While the provider is being unpickled the frames do not name it; better wait a moment than cut it off."""
    module, provider = server(), Other()
    with ThreadPoolExecutor() as executor:
        executor.submit(module.between_calls, provider.work)
        assert provider.began.acquire(timeout=20)
        assert foreign_calls.are_running(module)
        provider.may_end.set()


def test_the_thread_of_our_own_call_is_verified() -> None:
    module = server()

    class Asks(PoolOsVersionProvider):
        def configure(self) -> None:  # type: ignore[override]  # only its frames count
            foreign_calls.confirm_ours(module)

    class AsksForeign(Other):
        def configure(self) -> None:
            foreign_calls.confirm_ours(module)

    module.serve({"__provider": Asks()}, "configure")
    with pytest.raises(LookupError):
        module.serve({"__provider": AsksForeign()}, "configure")
    with pytest.raises(LookupError):
        foreign_calls.confirm_ours(module)


@pytest.mark.parametrize("method", ["create", "update", "delete", "read"])
def test_foreign_work_is_limited(method: str) -> None:
    module, provider = server(), Other()
    foreign_calls.keep_width(module, 2)
    with ThreadPoolExecutor(8) as executor:
        calls = [executor.submit(module.serve, {"__provider": provider}, method) for _ in range(6)]
        assert provider.began.acquire(timeout=20)
        assert provider.began.acquire(timeout=20)
        assert not provider.began.acquire(timeout=0.3), "a third waits"
        assert foreign_calls.are_running(module), "one that waits is a call too"
        provider.may_end.set()
        assert [call.result() for call in calls] == ["done"] * 6
    assert provider.peak == 2


@pytest.mark.parametrize(("kind", "method"), [(Other, "diff"), (Ours, "create")])
def test_diffs_and_our_own_work_are_not_limited(kind: type[Other], method: str) -> None:
    module, provider = server(), kind()
    foreign_calls.keep_width(module, 1)
    with ThreadPoolExecutor(8) as executor:
        for _ in range(3):
            executor.submit(module.serve, {"__provider": provider}, method)
        for _ in range(3):
            assert provider.began.acquire(timeout=20)
        provider.may_end.set()
    assert provider.peak == 3


def test_a_failing_call_gives_its_slot_back_and_a_provider_is_otherwise_as_it_is() -> None:
    module = server()
    foreign_calls.keep_width(module, 1)

    class Fails(Other):
        def create(self) -> str:
            raise ValueError("broken")

    for _ in range(3):
        with pytest.raises(ValueError, match="broken"):
            module.serve({"__provider": Fails()}, "create")
    assert module.get_provider({"__provider": Fails()}, {}).name == "other"
    with pytest.raises(AttributeError):
        module.serve({"__provider": object()}, "create")


def test_a_server_without_the_private_part_is_an_error_for_the_guard() -> None:
    bare: Any = ModuleType("bare")
    with pytest.raises(AttributeError):
        foreign_calls.keep_width(bare, 4)
    bare.get_provider = None
    with pytest.raises(TypeError):
        foreign_calls.keep_width(bare, 4)
