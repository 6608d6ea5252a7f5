"""Fleets: which pool comes in which wave, what is refused before anything is registered, and what is registered."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pulumi
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, settings

from batch_os_provider import PoolFleet, PoolImageVersion
from batch_os_provider.engine import parallel_hint
from batch_os_provider.schema.waves import WavesError, arrange, find, members
from tests.unit.rollout.stage import quick

AT = "https://farm.westeurope.batch.azure.com"
NORTH = "https://farm.northeurope.batch.azure.com"
OLD = "WA-GUEST-OS-4.58_201809-01"
TEN = list("abcdefghij")


def waves_of(pools: list[str], canary: Any = None, waves: Any = None, own: str = AT) -> list[str]:
    """The waves, each as one word where pools have one letter."""
    return ["".join(member.spelled for member in wave) for wave in arrange(members(pools, own), canary, waves, own)]


# ── Who comes when ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("canary", "waves", "expected"),
    [
        (None, None, ["a", "bcdefghij"]),
        ([], None, ["abcdefghij"]),
        ([], [], ["abcdefghij"]),
        ("c", None, ["c", "abdefghij"]),
        (["j", "C"], None, ["cj", "abdefghi"]),
        (TEN, None, ["abcdefghij"]),
        (None, ["50%", "100%"], ["a", "bcde", "fghij"]),
        (None, ["50%"], ["a", "bcde", "fghij"]),
        (None, ["29%", "100%"], ["a", "b", "cdefghij"]),
        (None, ["5%", "10%", "20%"], ["a", "b", "cdefghij"]),
        ([], ["5%", "10%"], ["a", "bcdefghij"]),
        (None, [2, "3"], ["a", "bc", "def", "ghij"]),
        (None, [100, 1], ["a", "bcdefghij"]),
        (None, [["j", "b"]], ["a", "bj", "cdefghi"]),
        (None, ["50%", ["b"], "100%"], ["a", "cdef", "b", "ghij"]),
        ([], [2, "50%", ["a"], "80%"], ["bc", "def", "a", "gh", "ij"]),
    ],
)
def test_who_comes_when(canary: Any, waves: Any, expected: list[str]) -> None:
    assert waves_of(TEN, canary, waves) == expected


def test_a_small_fleet_leaves_out_what_its_shares_round_to_nothing() -> None:
    assert waves_of(["a"], None, ["10%", "50%", "100%"]) == ["a"]
    assert waves_of(["a", "b", "c"], None, ["10%", "50%", "100%"]) == ["a", "bc"]


plain_waves = st.lists(st.integers(1, 12) | st.integers(1, 12).map(str), max_size=4)
shares = st.lists(st.integers(1, 100), max_size=4, unique=True).map(lambda some: [f"{each}%" for each in sorted(some)])


@quick
@given(st.data())
def test_every_pool_is_in_exactly_one_wave_the_canary_first_and_the_order_kept(data: st.DataObject) -> None:
    pools = [f"p{number}" for number in range(data.draw(st.integers(1, 30)))]
    canary = data.draw(st.none() | st.sampled_from(pools) | st.lists(st.sampled_from(pools), unique=True))
    first = [pools[0]] if canary is None else [canary] if isinstance(canary, str) else canary
    others = [pool for pool in pools if pool not in first]
    some = [*data.draw(plain_waves), *data.draw(shares)]
    if others:
        some += [list(chunk) for chunk in data.draw(st.lists(st.just(others[:2]), max_size=1))]
    arranged = [[member.spelled for member in wave] for wave in arrange(members(pools), canary, some)]
    assert sorted(pool for wave in arranged for pool in wave) == sorted(pools)
    assert all(arranged), "no wave is empty"
    assert all(wave == sorted(wave, key=pools.index) for wave in arranged)
    assert not first or set(arranged[0]) == set(first)


@quick
@given(st.integers(1, 60), shares)
def test_no_more_is_done_after_a_wave_than_its_share_says(size: int, some: list[str]) -> None:
    sizes = [len(wave) for wave in arrange(members([f"p{number}" for number in range(size)]), [], some)]
    done = {sum(sizes[: number + 1]) for number in range(len(sizes))}
    assert {size * int(share[:-1]) // 100 for share in some} - {0} <= done


def test_an_id_means_the_fleets_account_or_the_only_pool_of_that_name() -> None:
    fleet = members(["a", f"{NORTH}/pools/a", f"{NORTH}/pools/B"], AT)
    assert find("canary", "A", fleet, AT) is fleet[0]
    assert find("canary", "b", fleet, AT) is fleet[2]
    assert find("canary", f"{AT.upper()}/pools/a", fleet, AT) is fleet[0]


def test_a_child_is_named_by_its_pool_alone() -> None:
    pools = ["Render", f"{NORTH}/pools/render", f"{AT}/pools/b", "http://127.0.0.1:80/pools/x"]
    assert [member.label for member in members(pools, AT)] == [
        "render",
        "farm.northeurope-render",
        "b",
        "127.0.0.1-x",
    ]
    assert [member.label for member in members(["http://127.0.0.1:8700/pools/x"])] == ["127.0.0.1-8700-x"]


@pytest.mark.parametrize(
    ("pools", "canary", "waves", "words"),
    [
        ("abc", None, None, "pools: 'abc' is not a list"),
        ([], None, None, "pools: it is empty; allowed: a list of pool ids"),
        ([3], None, None, "pools[0]: 3 is not a string"),
        (["a b"], None, None, "pools[0]: 'a b' is not a pool id"),
        (["https://x.y/a"], None, None, "pools[0]: 'https://x.y/a' is not a pool URL: it has no /pools/<pool id>"),
        (["https://me:secret@x/pools/a"], None, None, "pools[0]: '...@x/pools/a' is not a pool URL"),
        (["a", "A"], None, None, "pools[1]: 'A' is the same pool as 'a'; allowed: each pool once, compared without"),
        (["a", f"{AT}/pools/a/"], None, None, f"pools[1]: '{AT}/pools/a/' is the same pool as 'a'"),
        (TEN, 3, None, "canary: 3 is not a list; allowed: a pool of the fleet, or a list of them"),
        (TEN, ["a", "A"], None, "canary: 'a' appears twice"),
        (
            ["render"],
            "rendre",
            None,
            "canary: 'rendre' is not in pools; allowed: a pool that pools contains; did you mean 'render'",
        ),
        (
            [f"{AT}1/pools/a", f"{AT}2/pools/a"],
            "a",
            None,
            f"'a' is the id of pools in several accounts; write {AT}1/pools/a or",
        ),
        (TEN, None, "50%", "waves: '50%' is not a list; allowed: a list, each wave the percentage of the fleet"),
        (TEN, None, [[]], "waves[0]: it is empty"),
        (TEN, None, [["a"]], "waves[0]: 'a' is already in canary; allowed: each pool in one wave"),
        (TEN, None, [["b"], ["c", "b"]], "waves[1]: 'b' is already in waves[0]"),
        (TEN, None, [["b", "z"]], "waves[0]: 'z' is not in pools"),
        (
            TEN,
            None,
            [0],
            "waves[0]: 0 is not a wave; allowed: the percentage of the fleet that is done when the wave ends",
        ),
        (TEN, None, ["0%"], "waves[0]: '0%' is not a wave"),
        (TEN, None, [True], "waves[0]: True is not a wave"),
        (TEN, None, ["101%"], "waves[0]: '101%' is not a wave"),
        (
            TEN,
            None,
            [0.25],
            "waves[0]: 0.25 is not a wave; allowed: the percentage of the fleet that is done when the wave ends",
        ),
        (TEN, None, [0.25], 'did you mean "25%"?'),
        (TEN, None, ["50%", "50%"], "waves[1]: '50%' is not more than '50%' before it; allowed: growing percentages"),
        (TEN, None, ["50%", 2, "25%"], "waves[2]: '25%' is not more than '50%' before it"),
    ],
)
def test_what_cannot_be_meant_is_named(pools: Any, canary: Any, waves: Any, words: str) -> None:
    with pytest.raises(WavesError, match=re.escape(words)) as raised:
        waves_of(pools, canary, waves)
    assert "secret" not in str(raised.value)


# ── The component ────────────────────────────────────────────────────────────────────────────────────────────────────


class Engine(Mocks):
    """Notes what is registered."""

    def __init__(self) -> None:
        self.registered: list[MockResourceArgs] = []

    def call(self, _args: MockCallArgs) -> tuple[dict[str, Any], None]:
        return {}, None

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.registered.append(args)
        return args.name, args.inputs

    @property
    def names(self) -> list[str]:
        return [each.name for each in self.registered]


def run(program: Callable[[], Any]) -> Engine:
    """Run a program on Pulumi's own mocks, as an `up`."""
    engine = Engine()
    loops: list[asyncio.AbstractEventLoop] = []

    def give_a_loop() -> None:
        # The mocks make one for each thread that answers a call, and close none.
        loops.append(asyncio.new_event_loop())
        asyncio.set_event_loop(loops[-1])

    async def main() -> None:
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(initializer=give_a_loop))
        pulumi.runtime.set_mocks(engine, "farm", "dev", preview=False)
        # As in command.mocked: their stack is closed, and a program needs one that is open.
        settings.set_root_resource(None)  # type: ignore[arg-type]
        await pulumi.runtime.run_in_stack(program)

    asyncio.run(main())
    for loop in loops:
        loop.close()
    return engine


FAIR: dict[str, Any] = {"pools": ["a", "b"], "account_endpoint": AT, "target_os_version": OLD}
IMAGES = {**FAIR, "target_os_version": None, "target_image_version": "1.2.3", "strategy": "surge"}


@pytest.mark.parametrize(
    ("bag", "words"),
    [
        ({"waves": ["101%"]}, "PoolFleet farm: waves[0]: '101%' is not a wave"),
        (
            {"target_image_version": "1.2.3"},
            "target_os_version, target_image_version: 2 are given; allowed: exactly one",
        ),
        (
            {**IMAGES, "nodes_since": "2026-11-24"},
            "target_image_version, nodes_since: 2 are given; allowed: exactly one",
        ),
        ({"target_os_version": None}, "target_os_version, target_image_version, nodes_since: none is given"),
        ({"account_endpoint": None}, "account_endpoint: it is missing, and pools contains the pool id 'a'"),
        ({"account_endpoint": "ftp://x"}, "account_endpoint: 'ftp://x' is not an account endpoint"),
        (
            {"pools": [f"{AT}/pools/a"], "account_endpoint": "ftp://x"},
            "account_endpoint: 'ftp://x' is not an account endpoint",
        ),
        ({"target_os_version": "latest"}, "target_os_version: 'latest' is not a Guest OS version"),
        ({"timeout": "soon"}, "timeout: 'soon' is not a duration"),
        ({"max_unhealthy": "a few", "soak": 0}, "; soak: 0 is not more than zero"),
        ({"surge": 2}, "surge: 2 is not allowed with target_os_version; allowed with it: account_endpoint, "),
        ({"canary_nodes": 2}, "canary_nodes: 2 is not allowed with target_os_version"),
        ({**IMAGES, "canary_nodes": 2}, 'canary_nodes: 2 is not allowed with strategy="surge"; allowed only with'),
        ({**IMAGES, "strategy": "empty", "canary_nodes": 0}, "canary_nodes: 0 is not a number of nodes"),
        ({**IMAGES, "strategy": "when_empty", "autoscale": "hold"}, "autoscale: 'hold' is not allowed with strategy="),
        ({**IMAGES, "soak": "1h"}, "soak: '1h' is not allowed with target_image_version"),
        ({**IMAGES, "strategy": None}, "strategy: it is missing; required: surge"),
        (
            {"on_timeout": "defer"},
            "on_timeout: 'defer' is not allowed for a fleet of several waves: a deferred pool counts",
        ),
        ({**IMAGES, "on_timeout": "defer"}, "on_timeout: 'defer' is not allowed for a fleet of several waves"),
        (
            {"target_os_version": None, "strategy": "automatic", "nodes_since": "2026-11-24"},
            "nodes_since: '2026-11-24' is not allowed with strategy=\"automatic\": Batch renews nodes in place",
        ),
        ({"strategy": "automatic"}, "strategy: 'automatic' is not allowed with target_os_version"),
        ({"waves": [0.25]}, 'did you mean "25%"? Correct the program'),
        ({"aliases": {"z": "old"}}, "aliases['z']: 'z' is not in pools"),
        ({"aliases": {"a": 3}}, "aliases['a']: 3 is not a former resource; allowed: a pool of the fleet, and the name"),
        ({"aliases": ["a"]}, "aliases: ['a'] is not a mapping; allowed: "),
    ],
)
def test_an_error_comes_before_anything_is_registered(bag: dict[str, Any], words: str) -> None:
    def program() -> None:
        with pytest.raises(pulumi.RunError, match=re.escape(words)) as raised:
            PoolFleet("farm", **{**FAIR, **bag})
        assert str(raised.value).endswith("Correct the program and run `pulumi preview`.")

    assert run(program).names == []


@pytest.mark.parametrize("name", ["pools", "canary", "waves", "aliases"])
def test_an_output_cannot_decide_what_is_registered(name: str) -> None:
    def program() -> None:
        late = pulumi.Output.from_input("a")
        inside = {"a": late} if name == "aliases" else [late]
        for value in (late, inside, [inside] if name == "waves" else inside):
            with pytest.raises(pulumi.RunError, match=f"{name}: it is or contains an output"):
                PoolFleet("farm", **{**FAIR, name: value})

    assert run(program).names == []


def test_where_a_wave_waits_on_timeout_is_plain() -> None:
    def program() -> None:
        late = pulumi.Output.from_input("fail")
        with pytest.raises(pulumi.RunError, match="on_timeout: it is an output"):
            PoolFleet("farm", **FAIR, on_timeout=late)
        PoolFleet("one", **FAIR, on_timeout=late, canary=[])
        PoolFleet("two", **FAIR, on_timeout="defer", canary=[])
        PoolFleet("three", **{**FAIR, "pools": ["a"]}, on_timeout="defer")

    # Outputs settle in threads, so fleets side by side register in any order.
    assert sorted(run(program).names) == ["one", "one-a", "one-b", "three", "three-a", "two", "two-a", "two-b"]


@pytest.mark.parametrize("target", [{"target_image_version": "1.2.3"}, {"nodes_since": "2026-11-24"}])
def test_the_children_are_ordinary_pools_with_what_the_fleet_was_given(target: dict[str, str]) -> None:
    fleets: list[PoolFleet] = []

    def program() -> None:
        fleet = PoolFleet(
            "farm",
            pools=["c", f"{NORTH}/pools/c", "b"],
            account_endpoint=pulumi.Output.from_input(AT),
            **{name: pulumi.Output.from_input(value) for name, value in target.items()},  # type: ignore[arg-type]
            strategy="surge",
            surge=2,
            waves=[1],
        )
        fleets.append(fleet)

    engine = run(program)
    assert [(each.typ, each.name) for each in engine.registered] == [
        ("batch:index:PoolFleet", "farm"),
        *[
            ("pulumi-python:dynamic/batch:PoolImageVersion", f"farm-{name}")
            for name in ("c", "farm.northeurope-c", "b")
        ],
    ]
    declared = [{k: v for k, v in each.inputs.items() if v is not None} for each in engine.registered[1:]]
    common = {**target, "strategy": "surge", "surge": 2}
    assert [{key: value for key, value in each.items() if key != "__provider"} for each in declared] == [
        {"account_endpoint": AT, "pool_id": "c", **common},
        {"account_endpoint": NORTH, "pool_id": "c", **common},
        {"account_endpoint": AT, "pool_id": "b", **common},
    ]
    (fleet,) = fleets
    assert fleet.waves == [["c"], [f"{NORTH}/pools/c"], ["b"]]
    assert list(fleet.pools) == ["c", f"{NORTH}/pools/c", "b"]
    assert all(isinstance(each, PoolImageVersion) for each in fleet.pools.values())


def test_of_a_fleet_the_widest_wave_counts_against_the_engine() -> None:
    one, two = object(), object()
    assert parallel_hint.together({None: 3, (one, 0): 1, (one, 1): 20, (one, 2): 40, (two, 0): 5}) == 48
    assert (
        parallel_hint.hint(69, 8, 48)
        == "69 pools change, up to 48 at once, but the engine runs 8 steps at once; pass --parallel 48"
    )
    assert not parallel_hint.hint(69, 48, 48)
    assert parallel_hint.hint(9, 8, 9) == parallel_hint.hint(9, 8), "no words of waves where all come at once"


def test_pools_that_batch_renews_need_no_target() -> None:
    def program() -> None:
        fleet = PoolFleet("farm", pools=["a", "b"], account_endpoint=AT, strategy="automatic")
        assert {type(pool) for pool in fleet.pools.values()} == {PoolImageVersion}

    run(program)
