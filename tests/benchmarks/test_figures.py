"""The arithmetic of the benchmarks, on values written by hand."""

from __future__ import annotations

import math

import pytest

from benchmarks import names, plan
from benchmarks.evidence import Evidence, Window, instant, resources_done
from benchmarks.figures import Figure, figure, ratio
from benchmarks.imports import extra, import_times
from benchmarks.measures import Measures


def request(second: float, operation: str, pool: str = "", status: int = 200) -> dict:
    method = "POST" if operation == "Pool_UpgradeOS" else "GET"
    wall = f"2026-01-01T00:00:{second:010.7f}Z"
    return {
        "kind": "request",
        "wall": wall,
        "method": method,
        "operation": operation,
        "status": status,
        "pool": pool,
        "detail": {},
    }


def moved(second: float, pool: str, start: str, to: str) -> dict:
    wall = f"2026-01-01T00:00:{second:010.7f}Z"
    return {"kind": "transition", "wall": wall, "pool": pool, "detail": {"resource": "pool", "from": start, "to": to}}


AUDIT = [
    request(1, "Pool_Get", "a"),
    request(2, "Pool_UpgradeOS", "a", 202),
    request(3, "Pool_Get", "a"),
    request(4, "Pool_UpgradeOS", "b", 409),
    request(5, "Pool_UpgradeOS", "b", 202),
    moved(5, "b", "active", "upgrading"),
    request(6, "Pool_List"),
    request(7, "ComputeNode_List", "a"),
    request(8, "Pool_List"),
    moved(11, "a", "upgrading", "active"),
    request(12, "Pool_Get", "a"),
    moved(17, "b", "upgrading", "active"),
]
BASE = instant("2026-01-01T00:00:00Z")


def test_a_figure_is_its_median_and_its_spread():
    assert Figure.of([3.0, 1.0, 2.0]).text(" s") == "2.0 s (1.0 to 3.0)"
    assert Figure.of([1.0, 2.0]).median == 1.5
    assert Figure.of([1234.5]).text(digits=0) == "1,234"
    assert ratio(Figure.of([3.0]), Figure.of([2.0])) == 1.5
    with pytest.raises(ValueError, match="no value"):
        Figure.of([])


def test_what_was_not_seen_in_a_run_is_left_out():
    assert figure([{"x": math.nan}, {"x": 2.0}], lambda run: run["x"]).values == (2.0,)
    assert figure([{"x": math.nan}], lambda run: run["x"]).text() == "-"


def test_a_time_of_the_audit_keeps_its_decimals():
    assert instant("2026-01-01T00:00:01.2500001Z") - BASE == pytest.approx(1.25)
    assert instant("2026-01-01T00:00:01Z") - BASE == 1


def test_the_window_is_after_the_last_202_and_before_the_first_pool_is_done():
    window = Evidence.of(AUDIT).waiting()
    assert window is not None
    assert window.all_wait
    assert window.seconds == pytest.approx(6)
    assert window.reads == {"ComputeNode_List": 1, "Pool_List": 2}
    assert window.per_minute == pytest.approx(30)


def test_where_a_pool_is_done_before_the_last_202_the_window_is_all_the_upgrading():
    early = [*AUDIT[:4], moved(4.5, "a", "upgrading", "active"), *AUDIT[4:9], *AUDIT[10:]]
    window = Evidence.of(early).waiting()
    assert window is not None
    assert not window.all_wait
    assert window.seconds == pytest.approx(15)
    assert window.count == 5


def test_without_an_upgrade_there_is_no_window():
    assert Evidence.of([request(1, "Pool_Get", "a")]).waiting() is None
    assert Window(0.0, {}, all_wait=True).per_minute == 0


def test_upgrades_and_requests_are_counted():
    evidence = Evidence.of(AUDIT)
    assert evidence.upgrade_seconds == pytest.approx((9, 12))
    assert evidence.operations == {"ComputeNode_List": 1, "Pool_Get": 3, "Pool_List": 2, "Pool_UpgradeOS": 3}


def test_the_lag_is_from_the_pool_to_its_resource():
    def event(name: str, kind: str) -> dict:
        return {"resOutputsEvent": {"metadata": {"urn": f"urn:pulumi:dev::x::{kind}::{name}", "type": kind}}}

    dynamic = "pulumi-python:dynamic/batch:PoolOsVersion"
    events = [
        (BASE + 11.5, event("a", dynamic)),
        (BASE + 12, {"diagnosticEvent": {}}),
        (BASE + 19, event("b", dynamic)),
        (BASE + 20, event("x-dev", "pulumi:pulumi:Stack")),
    ]
    told = resources_done(events)
    assert set(told) == {"a", "b"}
    assert Evidence.of(AUDIT).lags(told) == pytest.approx((0.5, 2))


def test_an_import_profile_tells_what_only_one_imports():
    head = "import time: self [us] | cumulative | imported package\n"
    one = import_times(
        f"{head}import time:      1500 |       2000 |   azure.core\nimport time: 500 | 500 | azure\nnoise\n"
    )
    assert one == {"azure.core": 1.5, "azure": 0.5}
    assert extra(one, {"azure": 0.4}) == [["azure", 1.5]]


def test_repeats_are_interleaved_and_the_largest_stack_comes_last():
    wanted = plan.repeats(plan.MEASURES, plan.FULL)
    runs = list(plan.interleaved(wanted, plan.FULL))
    assert wanted[names.AS_IS, 64] == 1
    assert names.AS_IS not in {run.program for run in runs}
    assert [run.pools for run in runs[-2:]] == [1024, 1024]
    ours = [run.upgrade for run in runs if (run.program, run.pools) == (names.OURS, 64)]
    assert ours == [60, 61, 62, 63, 64]
    first = [(run.pools, run.program) for run in runs[:3]]
    assert first == [(1, names.NO_OP), (1, names.OURS), (1, names.PEER)]
    # Most of a run is its upgrade. What else is run takes some ten minutes, the doors (P10) fifteen, and there are 60.
    waits = sum(run.upgrade for run in runs if run.program != names.NO_OP)
    assert waits < 35 * 60


def test_a_measure_alone_runs_what_it_needs():
    assert plan.repeats(["P3"], plan.FULL) == {(names.OURS, 64): 5, (names.PEER, 64): 5}
    assert plan.repeats(["P4", "P7"], plan.FULL) == {}


def record(wall: float, reads: int, lag: float, *, all_wait: bool = True) -> dict:
    return {
        "wall": wall,
        "lag": {"median": lag, "most": lag},
        "waiting": {"seconds": 60.0, "reads": {"Pool_Get": reads}, "all_wait": all_wait},
    }


def test_each_measure_is_judged_by_its_aim():
    ours = {"1": [record(60, 9, 1)], "64": [record(66, 40, 3, all_wait=True)]}
    peer = {"1": [record(60, 9, 1)], "64": [record(90, 800, 2)]}
    as_is = {"64": [record(960, 48, 2)]}
    ups = {names.OURS: ours, names.PEER: peer, names.AS_IS: as_is}
    two = {names.OURS: [1.3], names.NO_OP: [1.0]}
    memory = {"1": [{"rss": 100.0}], "200": [{"rss": 151.0}]}
    results = {"sizes": plan.FULL.to_json(), "ups": ups, "previews": two, "memory": memory}
    got = {each.name: each for each in Measures(results).all()}
    assert (got["P1"].text, got["P1"].met) == ("1.10; widened peer 1.50, peer as is 16.0", True)
    assert (got["P2"].text, got["P2"].met) == ("1/20: 40 to 800", True)
    assert (got["P3"].text, got["P3"].met) == ("1.50: 3.00 s to 2.00 s", False)
    assert (got["P4"].text, got["P4"].met) == ("1.30: 1.30 s to 1.00 s", True)
    assert (got["P5"].text, got["P5"].met) == ("1.51: 151 MB to 100 MB", False)
    assert [got[name].verdict for name in ("P1", "P3", "P6", "P8")] == ["met", "**missed**", "open", "open"]


def test_reads_after_the_first_pool_is_done_prove_nothing():
    early = {"64": [record(66, 4, 1, all_wait=False)]}
    results = {"sizes": plan.FULL.to_json(), "ups": {names.OURS: early, names.PEER: {"64": [record(66, 800, 1)]}}}
    assert Measures(results).all()[1].met is False


def test_the_native_door_is_judged_by_the_dynamic_one_of_the_same_run():
    runs = list(plan.of_doors(plan.FULL))
    assert [(run.program, run.pools) for run in runs[:2]] == [(names.OURS, 1), (names.YAML, 1)]
    assert len(runs) == 12
    ours = {"1": [record(60, 9, 1)], "64": [record(66, 40, 3)]}
    yaml = {"1": [record(60, 9, 1)], "64": [record(63, 50, 1)]}
    doors = {"previews": {names.OURS: [4.0], names.YAML: [2.0]}, "ups": {names.OURS: ours, names.YAML: yaml}}
    got = Measures({"sizes": plan.FULL.to_json(), "doors": doors}).all()[-1]
    assert (got.name, got.met) == ("P10", False)
    assert got.text == "preview 0.50; wall of 64 to one 1.05 (dynamic 1.10); reads while all wait 1.25"
    assert Measures({"sizes": plan.FULL.to_json()}).all()[-1].verdict == "open"


def test_an_event_of_either_door_is_a_resource_that_is_done():
    events = [
        (1.0 + number, {"resOutputsEvent": {"metadata": {"type": type_, "urn": f"urn::{number}"}}})
        for number, type_ in enumerate(
            ("batchos:index:PoolOsVersion", "pulumi:providers:batchos", "pulumi-python:dynamic:X")
        )
    ]
    assert resources_done(events) == {"0": 1.0, "2": 3.0}
