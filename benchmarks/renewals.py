"""The renewal of a large VM pool beside its lower bound: wall, rounds and calls (P9).

At the speed of a real service 200 nodes take hours, so this runs in one process on virtual time: the simulated
account, the real client and the rollout. Only the wire and the clock are replaced, and a call takes 20 ms. The lower
bound is what Batch itself takes, by the simulator's own clock: in each round from the accepted resize until the last
new node is ready, and from the accepted removal until the pool is steady. What is left is the loop: the marker, the
reads, and the time until it sees that a step has ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.vm_target import AllocatedSince
from batch_os_provider.rollout.context import RolloutContext
from batch_os_provider.rollout.image_renewal.renewal import ImageRenewal
from batch_os_provider.rollout.progress import Reporter
from batch_os_provider.schema.declared import DeclaredImage, ImagePolicy
from batch_os_provider.schema.units import parse_share
from tests.support.inprocess import ENDPOINT, Account
from tests.support.simulator import IMAGES, WINDOWS_2022, vm_pool
from tests.unit.rollout.doubles import VirtualWaiter

from .evidence import ACCEPTED, instant

LINUX, WINDOWS = "Linux", "Windows"
Case = tuple[str, int, int | str, int | str]
"""The nodes' system and their number, ``surge`` and ``max_unavailable``."""
CASES: tuple[Case, ...] = (
    (LINUX, 20, 1, 0),
    (LINUX, 20, "25%", 0),
    (LINUX, 20, 0, "25%"),
    (LINUX, 200, "5%", 0),
    (LINUX, 200, "25%", 0),
    (LINUX, 200, 0, "25%"),
    (WINDOWS, 20, "25%", 0),
    (WINDOWS, 200, "25%", 0),
)
_SEEDS = {LINUX: IMAGES["ubuntu"], WINDOWS: WINDOWS_2022}
_GROWS, _LEAVES = "Pool_Resize", "Pool_RemoveNodes"
_WEEK = 7 * 86_400.0


class _Silent:
    """A log that keeps nothing."""

    def status(self, text: str) -> None:
        """A line of progress."""

    def info(self, text: str) -> None:
        """The summary."""

    def warn(self, text: str) -> None:
        """A warning."""


def measure(cases: Iterable[Case] = CASES) -> list[dict[str, Any]]:
    """Renew a pool in each of these ways.

    Returns:
        For each ``system``, ``nodes``, ``surge`` and ``max_unavailable``; the ``wall`` and the lower ``bound`` in
        virtual seconds; ``rounds``, ``calls`` and ``reads``.

    Raises:
        BatchOsError: a renewal failed.
    """
    return [_renewed(*case) for case in cases]


def _renewed(system: str, nodes: int, surge: int | str, max_unavailable: int | str) -> dict[str, Any]:
    waiter, image = VirtualWaiter(), _SEEDS[system]
    pool = vm_pool(nodes=nodes, exact="latest", image=image)
    account = Account(waiter, {"pools": [pool], "images": [image.row], "durations": "recorded"})
    account.world.unknowns.set({"exactVersionOfLatest": "latest"})
    policy = ImagePolicy("surge", parse_share(surge), max_unavailable=parse_share(max_unavailable))
    goal = DeclaredImage(PoolRef(ENDPOINT, "render"), AllocatedSince.parse("2024-06-01"), policy, 3600.0, _WEEK)
    ImageRenewal(goal, RolloutContext(account.client(), waiter, Reporter(_Silent()), lambda: 0.5)).run()
    entries = [entry.to_json() for entry in account.world.audit.entries]
    calls = [entry for entry in entries if entry["kind"] == "request"]
    rounds, bound = lower_bound(entries)
    return {
        "system": system,
        "nodes": nodes,
        "surge": str(surge),
        "max_unavailable": str(max_unavailable),
        "wall": round(waiter.now(), 1),
        "bound": round(bound, 1),
        "rounds": rounds,
        "calls": len(calls),
        "reads": sum(each["method"] == "GET" for each in calls),
    }


def lower_bound(entries: Iterable[Mapping[str, Any]]) -> tuple[int, float]:
    """The number of rounds in an audit, and the seconds that the steps of Batch took in all of them."""
    rounds, total, begun, ended, grows = 0, 0.0, 0.0, 0.0, False
    for entry in entries:
        at, detail = instant(entry["virtual"]), entry["detail"]
        if entry["kind"] == "request":
            if entry["status"] == ACCEPTED and entry["operation"] in (_GROWS, _LEAVES):
                total += ended - begun
                begun, ended, grows = at, at, entry["operation"] == _GROWS
                rounds += not grows
        elif begun:
            steady = (detail["resource"], detail["to"]) == ("allocation", "steady")
            ready = grows and detail["resource"] == "node" and detail["to"] in ("idle", "running")
            ended = at if steady or ready else ended
    return rounds, total + ended - begun
