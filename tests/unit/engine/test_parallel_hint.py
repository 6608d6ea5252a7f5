"""Pins when a preview says that the engine runs fewer steps than pools change, and in which words."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pulumi
import pytest

from batch_os_provider.engine import parallel_hint
from batch_os_provider.engine.parallel_hint import hint
from batch_os_provider.runtime import request_log


def test_the_words_name_the_flag() -> None:
    assert hint(60, 8) == "60 pools change, but the engine runs 8 steps at once; pass --parallel 60"


@pytest.mark.parametrize(
    ("changes", "at_once"), [(8, 8), (0, 8), (7, 8), (60, None), (60, 0), (60, -1), (60, 2**31 - 1), (0, None)]
)
def test_nothing_is_said_where_all_fit_or_there_is_no_limit(changes: int, at_once: int | None) -> None:
    assert not hint(changes, at_once)


@pytest.mark.parametrize(("changes", "at_once"), [(9, 8), (2, 1)])
def test_one_too_many_is_enough(changes: int, at_once: int) -> None:
    assert hint(changes, at_once).endswith(f"pass --parallel {changes}")


class Engine:
    """The engine's log; ``gone`` where it has ended."""

    def __init__(self, *, gone: bool = False) -> None:
        self.gone = gone
        self.said: list[str] = []

    def Log(self, request: Any, timeout: float) -> None:  # noqa: N802 - as gRPC names it
        assert timeout > 0
        if self.gone:
            raise grpc.RpcError("gone")
        self.said.append(request.message)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Engine]:
    """Run a program of so many pools to its end."""
    at_end: list[Callable[[], None]] = []
    monkeypatch.setattr(parallel_hint, "program_end", SimpleNamespace(at_end=at_end.append))

    def run(*, changed: int, unchanged: int = 0, preview: bool = True, gone: bool = False, waves: int = 1) -> Engine:
        engine = Engine(gone=gone)
        at_end.clear()
        this_program = SimpleNamespace(parallel=4, rpc_manager=type("RPCManager", (), {})())
        known = SimpleNamespace(SETTINGS=this_program, get_engine=lambda: engine)
        monkeypatch.setattr(parallel_hint, "settings", known)
        monkeypatch.setattr(pulumi.runtime, "is_dry_run", lambda: preview)

        async def program() -> None:
            outputs = [output(is_known=number >= changed) for number in range(changed + unchanged)]
            for number, each in enumerate(outputs):
                with parallel_hint.wave("farm", number % waves) if waves > 1 else nullcontext():
                    parallel_hint.count(each)
            while len(asyncio.all_tasks()) > 1:
                await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()})

        asyncio.run(program())
        assert len(at_end) == (1 if preview and changed + unchanged else 0), (
            "one line for a program, however many pools"
        )
        for each in at_end:
            each()
        return engine

    return run


def output(*, is_known: bool) -> pulumi.Output[str]:
    """An output as a preview has it: of a resource that changes it is not known."""

    async def value(of: Any) -> Any:
        return of

    loop = asyncio.get_running_loop()
    return pulumi.Output(
        loop.create_task(value(set())), loop.create_task(value("outs")), loop.create_task(value(is_known))
    )


def test_a_program_counts_what_changes_and_not_what_it_declares(told: Callable[..., Engine]) -> None:
    assert told(changed=5, unchanged=20).said == [hint(5, 4)]


def test_each_program_of_a_process_has_its_own_count(told: Callable[..., Engine]) -> None:
    """The Automation API runs many in one process."""
    assert told(changed=5, unchanged=20).said == [hint(5, 4)]
    assert told(changed=4).said == []
    assert told(changed=6).said == [hint(6, 4)]


def test_of_a_fleet_only_the_widest_wave_wants_room(told: Callable[..., Engine]) -> None:
    assert told(changed=15, unchanged=20, waves=2).said == [hint(15, 4, 8)]
    assert hint(15, 4, 8) == "15 pools change, up to 8 at once, but the engine runs 4 steps at once; pass --parallel 8"


@pytest.mark.parametrize(
    "program",
    [
        {"changed": 4, "unchanged": 20},
        {"changed": 8, "waves": 2},
        {"changed": 0},
        {"changed": 9, "preview": False},
    ],
    ids=["all fit", "each wave fits", "no pools", "an up"],
)
def test_a_program_says_nothing_where_there_is_nothing_to_say(
    told: Callable[..., Engine], program: dict[str, Any]
) -> None:
    assert told(**program).said == []


def test_an_engine_that_is_gone_is_noted_and_no_error(
    told: Callable[..., Engine], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(request_log.VARIABLE, str(tmp_path / "log"))
    assert told(changed=5, gone=True).said == []
    assert hint(5, 4) in json.loads((tmp_path / "log").read_text())["note"]
