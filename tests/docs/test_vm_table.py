"""The table of docs/vm-pools.md has the rows in the order in which the code decides.

Each pool below fits its own row and as many later rows as can be true of one pool, so that an exchanged order shows.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from batch_os_provider.batch.pool import AllocationState, Kind, PoolState
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Done, Refuse, Wait
from batch_os_provider.rollout.image_renewal.decide import decide_image
from batch_os_provider.rollout.image_renewal.steps import ImageHistory, Repin, SetMarker
from batch_os_provider.schema.declared import ImagePolicy
from tests.unit.rollout.doubles import at
from tests.unit.rollout.image_renewal.image_doubles import MOMENTS, OLD, TARGET, WANTED, VmState, look, pool_of

PAGE = Path(__file__).resolve().parents[2] / "docs" / "vm-pools.md"
GUARDED = {"extensions": [{"name": "x"}]}

ALL = pool_of(2, version=OLD, automatic=True, autoscale=True, configuration=GUARDED)
NOT = replace(ALL, automatic=False)
LATEST = pool_of(2, autoscale=True)
SILENT = pool_of(2, at="latest", autoscale=True, configuration=GUARDED)
EMPTY = pool_of(0, version=OLD, autoscale=True)

CASES: list[tuple[str, VmState, dict[str, object], str, type, str]] = [
    ("it is deleted", ALL, {"state": PoolState.DELETING, "kind": Kind.CLOUD_SERVICES}, "surge", Refuse, "deleted"),
    (
        "a Cloud Services pool",
        ALL,
        {"kind": Kind.CLOUD_SERVICES, "allocation": AllocationState.UNKNOWN},
        "surge",
        Refuse,
        "not a VM pool",
    ),
    (
        "in the future, by the clock of Batch",
        ALL,
        {"allocation": AllocationState.UNKNOWN, "seen_at": at(-1e9)},
        "surge",
        Refuse,
        "in the future",
    ),
    ("automatic OS upgrade is on", ALL, {"allocation": AllocationState.UNKNOWN}, "surge", Refuse, "automatic"),
    ("a state that this release does not know", NOT, {"allocation": AllocationState.UNKNOWN}, "surge", Wait, "unknown"),
    ("a resize is under way", NOT, {"allocation": AllocationState.RESIZING}, "surge", Wait, "resizing"),
    ('`strategy="empty"`, or its marker', replace(NOT, autoscale=False), {}, "empty", Refuse, "extensions"),
    ("`surge` for nodes that show no version number", SILENT, {}, "surge", Refuse, "a version number"),
    ("no node behind", pool_of(2, at=TARGET, autoscale=True), {}, "when_empty", Done, ""),
    ("with protected extension settings", replace(EMPTY, configuration=GUARDED), {}, "surge", Refuse, "extensions"),
    ("another pin, no nodes", EMPTY, {}, "when_empty", Repin, ""),
    ("another pin, nodes there", NOT, {}, "when_empty", Wait, "until empty"),
    ("`latest`, nodes behind, `when_empty`", LATEST, {}, "when_empty", Wait, "until renewed"),
    ("`latest`, nodes behind, `surge`, autoscale on", LATEST, {}, "surge", Refuse, "scales itself"),
    ("`latest`, nodes behind, `surge`, fixed size", replace(LATEST, autoscale=False), {}, "surge", SetMarker, ""),
]


def rows() -> list[str]:
    table = PAGE.read_text(encoding="utf-8").partition("| Seen (first match) | Then |")[2].partition("\n\n")[0]
    return re.findall(r"^\| (?!-)(.+?) \| ", table, re.MULTILINE)


@pytest.mark.parametrize(("row", "state", "more", "strategy", "kind", "word"), CASES, ids=[case[0] for case in CASES])
def test_the_code_decides_by_the_row(
    row: str, state: VmState, more: dict[str, object], strategy: str, kind: type, word: str
) -> None:
    seen = look(state)
    pool = replace(seen.pool, base=replace(seen.pool.base, **more))  # type: ignore[arg-type]
    policy = ImagePolicy(strategy)  # type: ignore[arg-type]
    target = MOMENTS.target if word == "in the future" else WANTED
    action = decide_image(VmPoolView(pool, seen.nodes), target, policy, ImageHistory())
    assert isinstance(action, kind), f"{row}: {action}"
    assert word in str(action), f"{row}: {action}"


def test_the_page_has_the_rows_in_this_order() -> None:
    shown = rows()
    places = [
        [shown.index(name)] if name in shown else [index for index, text in enumerate(shown) if name in text]
        for name, *_ in CASES
    ]
    assert all(len(found) == 1 for found in places), "each row is there once"
    assert places == sorted(places)
