"""Many waits in one account: as quick as one, with few calls, and none of them at another's mercy."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_os_provider.batch.shared_list import AUDIT_EVERY, DISABLE_FOR, LIST_INTERVAL, LIST_TIMEOUT
from batch_os_provider.batch.shared_poller import COUNT_EVERY
from batch_os_provider.errors import DeadlineError, PoolGoneError, TransientError
from batch_os_provider.schema.declared import Policy
from batch_os_provider.simulator.world.clock import TICKS
from tests.inprocess.machine import brief
from tests.support.crowd import Crowd, Member
from tests.support.simulator import MOVED, NEW, OLD, job, paas_pool, vm_pool

ONE_BY_ONE = 0.05
"""Seconds between the beginnings of two rollouts."""
A_CALL = 1.0
"""Seconds that the last reads and the end of a rollout take in a crowd, generously."""
FOREVER = {"kind": "stale", "seconds": 86400}


def crowd_of(count: int, **goal: Any) -> Crowd:
    crowd = Crowd(*(paas_pool(f"p{number}") for number in range(count)))
    for number in range(count):
        crowd.upgrade(f"p{number}", after=number * ONE_BY_ONE, **goal)
    return crowd


def lists(effect: dict[str, Any], **match: Any) -> dict[str, Any]:
    return {"match": {"operation": "Pool_List", **match}, "effect": effect}


def lag(crowd: Crowd, member: Member) -> float:
    """Seconds from the end of an upgrade in Batch to that of its rollout."""
    ended = next(entry for entry in crowd.became("active") if entry.detail["id"] == member.name)
    return member.ended_at - (ended.virtual - crowd.beginning) / TICKS


def all_upgraded(crowd: Crowd) -> None:
    assert [member.error for member in crowd.members if member.error is not None] == []
    assert {pool.cloud_service["currentOSVersion"] for pool in crowd.account.world.pools.values()} == {NEW}
    posts = Counter(entry.pool for entry in crowd.requests("Pool_UpgradeOS") if entry.status == 202)
    assert set(posts.values()) == {1}


def waited(crowd: Crowd) -> tuple[float, Counter[str]]:
    """From the last 202 to the first pool that is done: seconds, and the reads that began in them."""
    last, first = crowd.requests("Pool_UpgradeOS")[-1], crowd.became("active")[0]
    reads = [entry for entry in crowd.requests() if entry.method == "GET" and last.seq < entry.seq < first.seq]
    return (first.virtual - last.virtual) / TICKS, Counter(entry.operation for entry in reads)


@pytest.mark.parametrize("count", [8, 64, 200])
def test_the_calls_of_a_wait_are_those_of_the_account_and_not_of_its_pools(count: int) -> None:
    crowd = crowd_of(count)
    crowd.run()
    all_upgraded(crowd)
    seconds, reads = waited(crowd)
    assert reads["Pool_List"] <= seconds / LIST_INTERVAL + 3, (
        "one list for each tick, and the quick ones of the beginning"
    )
    assert reads["Pool_Get"] <= seconds / AUDIT_EVERY + 1, "a pool of its own once a minute, to check the list"
    assert reads["ComputeNode_List"] <= seconds / COUNT_EVERY + 1
    assert sum(reads.values()) * 20 <= count * seconds / 5 or count == 8, "a twentieth of a read per pool every 5 s"
    gets = Counter(entry.pool for entry in crowd.requests("Pool_Get"))
    assert max(gets.values()) <= 4, "before it, after it, to check the list, and the first one while it was alone"


def test_nobody_is_told_later_than_by_his_own_look() -> None:
    crowd = crowd_of(64)
    crowd.run()
    assert max(lag(crowd, member) for member in crowd.members) <= LIST_INTERVAL + A_CALL


def test_a_pool_is_done_by_its_own_read_and_never_by_a_list() -> None:
    crowd = crowd_of(6)
    crowd.run()
    for entry in crowd.became("active"):
        later = [each.operation for each in crowd.requests(pool=entry.detail["id"]) if each.seq > entry.seq]
        assert "Pool_Get" in later


def test_one_pool_alone_is_read_by_itself() -> None:
    crowd = crowd_of(1)
    crowd.run()
    all_upgraded(crowd)
    assert crowd.requests("Pool_List") == []


def test_the_last_of_a_crowd_is_read_by_itself() -> None:
    crowd = Crowd(paas_pool("few", nodes=1), paas_pool("many", nodes=9))
    crowd.upgrade("few")
    crowd.upgrade("many")
    crowd.run()
    all_upgraded(crowd)
    ended = crowd.became("active")[0]
    assert [
        entry for entry in crowd.requests("Pool_List") if entry.virtual > ended.virtual + 2 * LIST_INTERVAL * TICKS
    ] == []
    assert [entry for entry in crowd.requests("Pool_Get", pool="many") if entry.seq > ended.seq + 1]


def test_nodes_are_read_in_turn() -> None:
    crowd = Crowd(*(paas_pool(f"p{number}", nodes=30) for number in range(12)))
    for number in range(12):
        crowd.upgrade(f"p{number}")
    crowd.run()
    all_upgraded(crowd)
    seconds, reads = waited(crowd)
    in_turn = [entry.pool for entry in crowd.requests("ComputeNode_List")][:12]
    assert len(set(in_turn)) == 12, "each once before any has its second turn"
    assert seconds > 100
    assert reads["ComputeNode_List"] <= seconds / COUNT_EVERY + 1


def test_a_stall_is_seen_in_time_however_many_wait() -> None:
    crowd = Crowd(*(paas_pool(f"p{number}", nodes=60) for number in range(20)))
    for number in range(20):
        crowd.upgrade(f"p{number}", stall_after=600.0)
    crowd.run()
    all_upgraded(crowd)
    per_pool = Counter(entry.pool for entry in crowd.requests("ComputeNode_List"))
    seconds, _reads = waited(crowd)
    assert min(per_pool.values()) >= seconds / 40, "every 30 s, whoever else wants to count"


@pytest.mark.parametrize(
    "effect",
    [
        {"kind": "status", "status": 403, "code": "AuthorizationPermissionMismatch"},
        {"kind": "status", "status": 400, "code": "InvalidQueryParameterValue"},
        {"kind": "status", "status": 401, "code": "AuthenticationFailed"},
    ],
    ids=["forbidden", "filter refused", "not signed in"],
)
def test_where_lists_are_refused_every_pool_is_read_by_itself(effect: dict[str, Any]) -> None:
    crowd = crowd_of(8)
    crowd.faults.add(lists(effect))
    crowd.run()
    all_upgraded(crowd)
    assert len(crowd.requests("Pool_List")) <= crowd.scheduler.now() / DISABLE_FOR + 1
    assert not [text for member in crowd.members for text in member.listener.lines("warn")]
    assert max(lag(crowd, member) for member in crowd.members) <= 11 + A_CALL, "as quick as alone"


def test_a_list_that_shows_for_ever_what_was_is_found_out() -> None:
    crowd = crowd_of(8)
    # What it shows begins when all are upgrading, and stays.
    crowd.faults.add(lists(FOREVER, nth=8))
    for number in range(9, 400):
        crowd.faults.add(lists({"kind": "stale", "seconds": 10 * number}, nth=number))
    crowd.run()
    all_upgraded(crowd)
    assert max(lag(crowd, member) for member in crowd.members) <= AUDIT_EVERY + 12 + A_CALL


def test_a_list_that_does_not_show_who_waits_is_found_out() -> None:
    crowd = crowd_of(8)
    crowd.faults.add(lists(FOREVER))  # from before any was upgrading
    crowd.run()
    all_upgraded(crowd)
    assert len(crowd.requests("Pool_List")) < 12
    assert max(lag(crowd, member) for member in crowd.members) <= 11 + A_CALL


def test_a_list_that_loses_what_it_should_tell_is_no_evidence() -> None:
    crowd = crowd_of(4)
    crowd.faults.add(lists({"kind": "missingFields", "names": ["targetOSVersion", "currentOSVersion"]}))
    crowd.run()
    all_upgraded(crowd)


@pytest.mark.parametrize("kind", ["garbage", "truncate", "extraFields", "unknownState", "clockSkew"])
def test_a_broken_list_costs_no_upgrade(kind: str) -> None:
    effect: dict[str, Any] = {"kind": kind}
    effect |= {"unknownState": {"value": "hibernating"}, "clockSkew": {"seconds": 7200}}.get(kind, {})
    crowd = crowd_of(4)
    crowd.faults.add(lists(effect))
    crowd.run()
    all_upgraded(crowd)


def test_a_list_that_hangs_holds_nobody_up() -> None:
    crowd = crowd_of(8)
    crowd.faults.add(lists({"kind": "delay", "seconds": 3600}))
    crowd.run()
    all_upgraded(crowd)
    assert max(lag(crowd, member) for member in crowd.members) <= LIST_TIMEOUT + 11 + A_CALL
    assert len(crowd.requests("Pool_List")) <= crowd.scheduler.now() / DISABLE_FOR + 1


def test_a_busy_service_gets_fewer_calls_and_no_storm() -> None:
    crowd = crowd_of(32)
    busy = {"kind": "status", "status": 429, "code": "TooManyRequests", "retryAfter": 20}
    crowd.faults.add(lists(busy, nth=10))
    crowd.run()
    all_upgraded(crowd)
    refused = next(entry for entry in crowd.requests("Pool_List") if entry.status == 429)
    after = [e for e in crowd.requests("Pool_Get") if 0 < e.virtual - refused.virtual < 19 * TICKS]
    assert len(after) <= 1
    assert len([entry for entry in crowd.requests("Pool_List") if entry.seq > refused.seq]) >= 3, (
        "it goes on with lists"
    )


def test_lists_that_fail_twice_are_given_up_for_a_while() -> None:
    crowd = Crowd(*(paas_pool(f"p{number}", nodes=60) for number in range(4)))
    for number in range(4):
        crowd.upgrade(f"p{number}")
    crowd.faults.add(lists({"kind": "status", "status": 500, "code": "InternalError"}))
    crowd.run()
    all_upgraded(crowd)
    assert len(crowd.requests("Pool_List")) <= 2 * (crowd.scheduler.now() / DISABLE_FOR + 1)


def test_the_failure_of_one_pool_is_its_own() -> None:
    crowd = crowd_of(6)
    down = {"kind": "status", "status": 500, "code": "InternalError"}
    crowd.faults.add({"match": {"operation": "Pool_Get", "pool": "p2"}, "effect": down})
    crowd.run()
    failed = crowd.members.pop(2)
    assert isinstance(failed.error, TransientError)
    del crowd.account.world.pools["p2"]
    all_upgraded(crowd)
    assert max(lag(crowd, member) for member in crowd.members) <= LIST_INTERVAL + A_CALL


def test_a_deadline_falls_where_it_falls_and_holds_nobody_up() -> None:
    crowd = Crowd(*(paas_pool(f"p{number}") for number in range(5)))
    for number in range(4):
        crowd.upgrade(f"p{number}")
    late = crowd.upgrade("p4", timeout=31.0)
    crowd.run()
    assert isinstance(late.error, DeadlineError)
    assert 31.0 <= late.ended_at <= 31.0 + A_CALL
    last = crowd.requests("Pool_Get", pool="p4")[-1]
    assert (last.virtual - crowd.beginning) / TICKS >= 31.0, "the last look is its own, and on the deadline"
    crowd.members.remove(late)
    all_upgraded(crowd)


def test_a_deleted_pool_is_told_at_the_next_tick() -> None:
    crowd = crowd_of(5)
    crowd.account.actor({"after": 30}, {"kind": "delete"}, pool="p3")
    crowd.run()
    gone = crowd.members.pop(3)
    assert isinstance(gone.error, PoolGoneError)
    assert gone.ended_at <= 30 + LIST_INTERVAL + A_CALL
    all_upgraded(crowd)


def test_a_wait_for_somebody_elses_upgrade_is_shared_too() -> None:
    other = "WA-GUEST-OS-4.57_201808-01"
    pools = [paas_pool(f"p{number}") for number in range(4)]
    crowd = Crowd(*pools)
    for number in range(4):
        crowd.account.actor({"after": 0}, {"kind": "upgrade", "targetOSVersion": other}, pool=f"p{number}")
        crowd.upgrade(f"p{number}", after=1.0, policy=Policy(on_conflict="wait"))
    crowd.run()
    all_upgraded(crowd)
    assert max(Counter(entry.pool for entry in crowd.requests("Pool_Get")).values()) <= 5


def test_waits_for_a_resize_are_shared() -> None:
    crowd = Crowd(*(paas_pool(f"p{number}") for number in range(6)))
    for number in range(6):
        crowd.account.actor({"after": 0}, {"kind": "addNodes", "count": 3}, pool=f"p{number}")
        crowd.upgrade(f"p{number}", after=1.0)
    crowd.run()
    all_upgraded(crowd)
    changes = [entry for entry in crowd.account.world.audit.entries if entry.kind == "transition"]
    grown = min(entry.virtual for entry in changes if entry.detail["to"] == "steady")
    early = [e for e in crowd.requests("Pool_Get") if e.virtual < grown]
    assert (grown / TICKS - crowd.beginning / TICKS) >= 40
    assert len(early) <= 6 + 2


def test_vm_cycles_share_their_waits() -> None:
    pools = [vm_pool(f"v{number}") for number in range(6)]
    crowd = Crowd(*pools, images=[MOVED], jobs=[job(f"v{number}", 1800, 1800) for number in range(6)])
    for number in range(6):
        crowd.renew(f"v{number}")
    crowd.run()
    assert [member.error for member in crowd.members if member.error is not None] == []
    lonely = Crowd(pools[0], images=[MOVED], jobs=[job("v0", 1800, 1800)])
    lonely.renew("v0")
    lonely.run()
    reads = [len([e for e in each.requests() if e.method == "GET"]) for each in (crowd, lonely)]
    gets = [len(each.requests("Pool_Get")) for each in (crowd, lonely)]
    assert gets[0] < 2 * gets[1], "six pools are read hardly more often than one"
    assert reads[0] < 5 * reads[1], "and for all else a list every 3 s, where one pool alone is read every 10 s"
    assert max(m.ended_at for m in crowd.members) <= lonely.members[0].ended_at + 12 * LIST_INTERVAL


FAULTS = st.lists(
    st.fixed_dictionaries(
        {
            "match": st.fixed_dictionaries(
                {
                    "operation": st.sampled_from(["Pool_List", "Pool_Get", "ComputeNode_List", "Pool_UpgradeOS"]),
                    "probability": st.sampled_from([0.1, 0.3]),
                    "seed": st.integers(0, 9),
                }
            ),
            "effect": st.sampled_from(
                [
                    {"kind": "status", "status": 503, "code": "ServerBusy"},
                    {"kind": "status", "status": 429, "code": "TooManyRequests", "retryAfter": 7},
                    {"kind": "dropBefore"},
                    {"kind": "dropAfter"},
                    {"kind": "delay", "seconds": 15},
                    {"kind": "delay", "seconds": 40},
                    {"kind": "stale", "seconds": 8},
                    {"kind": "garbage"},
                    {"kind": "truncate"},
                ]
            ),
        }
    ).filter(lambda fault: fault["match"]["operation"] != "Pool_UpgradeOS" or fault["effect"]["kind"] != "stale"),
    min_size=1,
    max_size=4,
)


@brief(30)
@given(faults=FAULTS, shape=st.lists(st.integers(0, 5), min_size=2, max_size=6))
def test_whatever_fails_each_pool_is_upgraded_once_or_says_why_not(
    faults: list[dict[str, Any]], shape: list[int]
) -> None:
    crowd = Crowd(*(paas_pool(f"p{number}", nodes=nodes) for number, nodes in enumerate(shape)))
    for fault in faults:
        crowd.faults.add(fault)
    for number in range(len(shape)):
        crowd.upgrade(f"p{number}", after=number * ONE_BY_ONE)
    crowd.run()
    for member in crowd.members:
        posts = [e for e in crowd.requests("Pool_UpgradeOS", pool=member.name) if e.status == 202]
        assert len(posts) <= 1
        if member.error is None:
            pool = crowd.account.world.pool(member.name)
            assert (pool.state, pool.cloud_service["currentOSVersion"]) == ("active", NEW)
            confirmed = [
                e for e in crowd.requests("Pool_Get", pool=member.name) if e.seq > (posts[0].seq if posts else 0)
            ]
            assert confirmed, "it was read after the upgrade began"
        else:
            assert isinstance(member.error, TransientError), member.error
    assert {pool.cloud_service["currentOSVersion"] for pool in crowd.account.world.pools.values()} <= {OLD, NEW}
