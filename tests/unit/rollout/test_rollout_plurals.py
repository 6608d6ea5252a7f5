"""Renders each message of a rollout that has a number in it, with 0, 1, 2 and 3, and judges the plural forms."""

from __future__ import annotations

import ast
import functools
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import batch_os_provider
from batch_os_provider.batch.vm_pool import MARKER, Marker
from batch_os_provider.rollout.image_renewal.decide import deallocated, resize_errors
from batch_os_provider.rollout.image_renewal.steps import ImageHistory, tally
from batch_os_provider.rollout.image_renewal.surge_view import drains, foreign
from batch_os_provider.rollout.os_upgrade.health import judge
from batch_os_provider.rollout.progress import NodeCounts, name_nodes, name_some
from batch_os_provider.schema.declared import Gate
from batch_os_provider.schema.units import Share
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.doubles import V24, V25, At, Script, State, at, begun, nodes_of, transient
from tests.unit.rollout.image_renewal.image_doubles import (
    NEWER,
    OLD,
    TARGET,
    WANTED,
    FakeVmService,
    ImagePlay,
    Machine,
    VmScript,
    VmState,
    When,
    look,
    play_image,
    pool_of,
    renew,
    resized,
)
from tests.unit.rollout.stage import Play, play, wanting

Texts = list[str]
DAY = 86_400.0
FAILED_RESIZE = ("AllocationTimedout: Desired number of dedicated nodes could not be allocated",)


def said(played: Play | ImagePlay) -> Texts:
    """All lines of a rollout, and the text of its error."""
    return [text for _, text in played.voice.said] + ([str(played.error)] if played.error is not None else [])


def upgrades(count: int) -> Texts:
    """An upgrade from its start to its end, joined or alone."""
    joined = State(nodes=count, **{**begun(V25, -10.0, 80.0), "current": V24})
    return said(play(State(nodes=count))) + said(play(joined))


def stuck(count: int) -> Texts:
    """An upgrade whose nodes do not come back, and every early end of it."""
    state = State(nodes=3, stuck=tuple(range(count)))
    goals = wanting(timeout=1800.0), wanting(timeout=1800.0, defer=True), wanting(stall_after=600.0)
    return [text for goal in goals for text in said(play(state, goal=goal))] + said(play(state, stop_at=60.0))


def resizes(count: int) -> Texts:
    """An upgrade that waits for one resize after the other."""
    turns = (("steady", "resizing")[turn % 2] for turn in range(2 * count))
    events = tuple(
        At(100.0 * turn + 50.0, {"allocation": allocation, "resize_began": 100.0 * turn})
        for turn, allocation in enumerate(turns)
    )
    return said(play(State(allocation="resizing"), Script(events=events), goal=wanting(timeout=3600.0)))


def failures(count: int) -> Texts:
    """Reads that fail, at first or for so many times."""
    busy = transient(503, "ServerBusy", "busy")
    return said(play(script=Script(reads=lambda number: busy if number <= count else None))) + said(
        play(script=Script(reads=lambda _number: busy))
    )


def health(count: int) -> Texts:
    """The verdicts on nodes of which so many are unhealthy or not ready, at the target and after an upgrade."""
    texts = []
    for state in ("unusable", "starting", "idle"):
        resting = dict.fromkeys(range(count), state)
        pool = State(current=V25, target=V25, nodes=3, resting=resting, finished=0.0)
        for gate in (Gate(), Gate(Share(0)), Gate(Share(1)), Gate(Share(50, percent=True)), Gate(soak=600.0)):
            texts += said(play(pool, goal=wanting(gate=gate, timeout=1200.0)))
            texts += [judge(nodes_of(replace(pool, nodes=max(count, 1)), 0.0, 90.0), gate, 0.0).why]
        texts += said(play(replace(pool, current=V24, target=V24), goal=wanting(timeout=1200.0)))
    return texts


def node_counts(count: int) -> Texts:
    """The counts of a line, with the start of the upgrade and without it; names of nodes."""
    nodes = nodes_of(State(nodes=count), 0.0, 90.0)
    names = [node.node_id for node in nodes]
    return [
        *(f"{NodeCounts(nodes, since)}, {NodeCounts(nodes, since).states()}" for since in (None, at(0))),
        name_nodes(nodes * 3),
        name_some(names, 1),
    ]


def renewals(count: int) -> Texts:
    """A renewal of so many nodes, one or two at a time; with tasks, and again once it is done."""
    busy = dict.fromkeys(range(count), 600.0)
    texts = []
    for surge in (1, 2):
        service = FakeVmService(pool_of(count, busy=busy))
        texts += said(renew(service, surge=surge)) + said(renew(service, surge=surge))
    return texts


def early_ends(count: int) -> Texts:
    """A renewal that ends at every stage: by ^C, the deadline, or a drain that takes too long."""
    state = pool_of(3, busy=dict.fromkeys(range(count), DAY))
    texts = []
    for seconds in (1.0, 30.0, 62.0, 80.0, 120.0, 200.0, 400.0, 4000.0):
        texts += said(play_image(state, stop_at=seconds, surge=2))
        texts += said(play_image(state, timeout=seconds, surge=2))
        texts += said(play_image(state, timeout=seconds, surge=max(count, 1), defer=True))
    return texts + said(play_image(state, drain_timeout=60.0, surge=2))


def lost_allocations(count: int) -> Texts:
    """A quota that lets so many nodes of three be added, and new nodes that fail after so many good ones."""
    fates = dict.fromkeys(range(count, 9), "starttaskfailed")
    return [
        *said(play_image(pool_of(3), VmScript(quota=3 + count), surge=3)),
        *said(play_image(pool_of(3), VmScript(fates=fates), surge=1)),
        *said(play_image(pool_of(3), VmScript(fates=fates), surge=0, max_unavailable=count)),
        *said(play_image(pool_of(3), VmScript(quota=2 + count % 2), surge=0, max_unavailable=2)),
        *said(play_image(pool_of(3), VmScript(fates=dict.fromkeys(range(count), "starting")), surge=3, timeout=600.0)),
        *said(play_image(pool_of(3), VmScript(latest=((-9e9, TARGET), (60.0 * count, OLD))), surge=1)),
    ]


def refusals(count: int) -> Texts:
    """The refusals and waits of the table for a pool of so many nodes."""
    pools = [
        pool_of(count, autoscale=True),
        pool_of(count, version=OLD),
        pool_of(count, automatic=True),
        pool_of(count, at="latest"),
        pool_of(count, at=""),
        replace(pool_of(3 - count, at=TARGET), size=3, errors=FAILED_RESIZE),
        replace(pool_of(3 - count), size=3, errors=FAILED_RESIZE),
        replace(pool_of(3), nodes=tuple(replace(node, shown_from=DAY) for node in pool_of(count).nodes), size=count),
    ]
    return [
        text
        for pool in pools
        for strategy in ("surge", "when_empty")
        for text in said(play_image(pool, strategy=strategy, timeout=600.0))
    ]


def other_actors(count: int) -> Texts:
    """A pool that another actor resizes to so many nodes in the middle of a cycle."""

    def has_marker(state: VmState) -> bool:
        return state.marker is not None and len(state.dedicated) > 3

    marked = pool_of(3, metadata=((MARKER, str(Marker(count, 1, ""))),))
    return [
        *said(play_image(pool_of(3), VmScript(whens=(When(has_marker, resized(count)),)))),
        foreign(look(marked), Marker(count, 1, "")).reason,
        foreign(look(pool_of(count)), Marker(count, 1, "")).reason,
    ]


def warnings(count: int) -> Texts:
    """What a summary adds: deallocated nodes, spot nodes, errors of an earlier resize."""
    asleep = tuple(Machine(f"asleep-{index}", OLD, fate="deallocated") for index in range(count))
    spot = tuple(Machine(f"spot-{index}", OLD, dedicated=False) for index in range(count))
    state = pool_of(1, at=NEWER)
    sleeping = replace(state, nodes=state.nodes + asleep, size=1 + count)
    texts = said(play_image(sleeping)) + said(play_image(replace(state, nodes=state.nodes + spot, spot=count)))
    texts += said(play_image(pool_of(count, at=TARGET, errors=FAILED_RESIZE)))
    texts += [tally(look(sleeping), WANTED)]
    if count:
        texts += [deallocated(look(sleeping), WANTED), resize_errors(look(pool_of(count, errors=FAILED_RESIZE)))]
    return texts


def draining(count: int) -> Texts:
    """A resize in which so many nodes finish so many tasks."""
    for_long = pool_of(3, busy=dict.fromkeys(range(count), DAY), allocation="resizing")
    seen = look(for_long, 60.0)
    asked = [frozenset(f"old-{index:02d}" for index in range(leaving)) for leaving in range(4)]
    return [drains(seen, ImageHistory(asked=each)) for each in asked]


SCENES: tuple[Callable[[int], Texts], ...] = (
    upgrades,
    stuck,
    resizes,
    failures,
    health,
    node_counts,
    renewals,
    early_ends,
    lost_allocations,
    refusals,
    other_actors,
    warnings,
    draining,
)


@functools.cache
def rendered(scene: Callable[[int], Texts], count: int) -> Texts:
    """The texts of a scene, which two tests read."""
    return scene(count)


@pytest.mark.parametrize("count", range(4))
@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_each_number_in_a_message_has_its_word(scene: Callable[[int], Texts], count: int) -> None:
    assert [wrong for text in rendered(scene, count) for wrong in wrong_plurals(text)] == []


PHRASES = (
    r"1 of 3 nodes back",
    r"1 of 1 nodes is unhealthy",
    r"1 of 3 nodes is unhealthy",
    r"2 of 3 nodes are unhealthy",
    r"2 not ready yet",
    r"given up after 4 tries",
    r"adding 1 node;",
    r"adding 2 nodes;",
    r"1 old node finishes 1 task, then leaves",
    r"2 old nodes finish 2 tasks, then leave",
    r"1 node finishes its tasks and leaves",
    r"2 nodes finish their tasks and leave",
    r"1 old node did not finish its tasks",
    r"2 old nodes did not finish their tasks",
    r"1 of 3 nodes is behind",
    r"2 of 3 nodes are behind",
    r"1 is extra now",
    r"2 are extra now",
    r"1 more is ordered",
    r"2 more are ordered",
    r"could not allocate 1 more node",
    r"could not allocate 2 more nodes",
    r"1 node is renewed, no other node was touched",
    r"2 nodes are renewed, no other node was touched",
    r"1 of \d new nodes is not ready yet",
    r"2 of \d new nodes are not ready yet",
    r"1 node is behind, and the pool scales itself",
    r"2 nodes are behind, and the pool scales itself",
    r"changed while the pool has 1 node\b",
    r"with 2 nodes; waiting until the pool is empty",
    r"for 1 of 1 nodes\)",
    r"1 node shows no image version",
    r"2 nodes show no image version",
    r"1 node is starting",
    r"2 nodes are starting",
    r"1 of 3 nodes is missing",
    r"2 of 3 nodes are missing",
    r"began at 1 node and",
    r"there is 1 now",
    r"1 node at the target or newer",
    r"2 nodes at the target or newer",
    r"1 spot node not renewed",
    r"2 spot nodes not renewed",
    r"1 deallocated node not changed",
    r"2 deallocated nodes not changed: .*; 2 of them have",
    r"its target of 1 dedicated node:",
    r"its target of 2 dedicated nodes:",
)


def test_the_scenes_render_each_message() -> None:
    texts = "\n".join(text for scene in SCENES for count in range(4) for text in rendered(scene, count))
    assert [phrase for phrase in PHRASES if not re.search(phrase, texts)] == []


NUMBER_AND_NOUN = re.compile(r"(?<!of )(?<!/)\{\} (?:\w+ )?(?:nodes?|tasks?|tries|try|resizes?)\b")
"""A value, then its noun, in an f-string; ``of {} nodes`` has always the plural."""


def test_no_message_writes_a_plural_by_hand() -> None:
    root = Path(batch_os_provider.__file__).parent
    found = []
    for file in [root / "crud.py", *sorted((root / "rollout").rglob("*.py"))]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                text = "".join(part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)  # type: ignore[misc]
                found += [f"{file.name}: {match.group()}" for match in NUMBER_AND_NOUN.finditer(text)]
    assert found == []
