"""Which version is the newest that is known for a pool, and what `outdated` shows of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.cli.inventory import Account, PoolSeen
from batch_os_provider.cli.outdated.command import as_json, lines_of
from batch_os_provider.cli.outdated.listings import NO_SUBSCRIPTION, listings_of
from batch_os_provider.cli.outdated.newest import BEHIND, NEWEST, UNKNOWN, Listing, Standing, judge
from batch_os_provider.guest_os.catalogue import read
from tests.support.simulator import NEW, OLD, OTHER, paas_pool, vm_pool
from tests.unit.cli.test_proposal import ENDPOINT, seen

UBUNTU = {"publisher": "canonical", "offer": "ubuntu-22_04-lts", "sku": "server"}
HPC = {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204"}
ALMA = {"publisher": "almalinux", "offer": "almalinux-hpc", "sku": "8-hpc-gen2"}
SUBSCRIPTION = "6f1d7a3e-0000-4000-8000-3b5f7c9d1e2a"
GALLERY = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/galleries/studio/images/farm"
TODAY = date(2018, 12, 1)
CATALOGUE = read(
    "version,windows_server,release_date,disable_date\n"
    f"{OLD},2012 R2,2018-10-01,\n{NEW},2012 R2,2018-11-01,\n{OTHER},2012 R2,2018-12-10,\n",
    "family,windows_server,announced,end_of_life\n4,2012 R2,,\n",
)


def pool(
    name: str, reference: dict[str, str], *nodes: str, at: str = "2026-10-01T08:00:00.5Z", **more: Any
) -> PoolSeen:
    """A VM pool whose nodes show these versions."""
    body = vm_pool(name, nodes=len(nodes), **more)
    body["virtualMachineConfiguration"] = {"imageReference": reference, "nodeAgentSKUId": "x"}
    for node, version in zip(body["nodes"], nodes, strict=True):
        node["allocationTime"] = at
        node["virtualMachineInfo"] = {"imageReference": {**reference, "exactVersion": version}}
    return seen(body)


def judged(*pools: PoolSeen, as_of: date = TODAY) -> list[Standing]:
    return judge(pools, CATALOGUE, as_of)


def words(*pools: PoolSeen) -> list[tuple[str, str, str]]:
    return [(each.word, each.current, each.newest) for each in judged(*pools)]


@pytest.mark.parametrize(
    ("reference", "older", "newer"),
    [
        (UBUNTU, "22.04.202405140", "22.04.202409010"),
        (UBUNTU, "22.04.202405140", "22.4.202405141"),
        (HPC, "22.04.9", "22.04.10"),
        (HPC, "22.04.2024102301", "22.04.2026082801"),
        ({"virtualMachineImageId": GALLERY}, "1.9.0", "1.10.0"),
        ({"virtualMachineImageId": GALLERY}, "1.9.0", "2.0.0"),
        ({"communityGalleryImageId": "/communityGalleries/c/images/farm"}, "1.0.3", "1.0.4"),
    ],
)
def test_a_node_of_any_pool_with_the_image_is_evidence(reference: dict[str, str], older: str, newer: str) -> None:
    """Compared as numbers; the case of names, and the pool's place in the list, do not matter."""
    shouting = {name: value.upper() for name, value in reference.items()}
    first, second = pool("old", reference, older, newer), pool("new", shouting, newer)
    assert words(first, second) == [(BEHIND, older, newer), (NEWEST, newer, newer)]
    assert words(second, first) == [(NEWEST, newer, newer), (BEHIND, older, newer)]
    other = pool("alone", reference, older)
    assert judged(other, second)[0].source == second.pool.ref.url


@pytest.mark.parametrize(
    "other",
    [
        {**UBUNTU, "publisher": "someone"},
        {**UBUNTU, "offer": "ubuntu-24_04-lts"},
        {**UBUNTU, "sku": "server-arm64"},
        {"virtualMachineImageId": GALLERY},
    ],
)
def test_never_across_images(other: dict[str, str]) -> None:
    one, two = pool("one", UBUNTU, "22.04.202405140"), pool("two", other, "22.04.202609040")
    assert [word for word, _, _ in words(one, two)] == [NEWEST, NEWEST]


def test_never_across_releases_of_one_sku() -> None:
    one, two = pool("one", ALMA, "8.7.2024042601"), pool("two", ALMA, "9.1.2024042601")
    assert [word for word, _, _ in words(one, two)] == [NEWEST, NEWEST]


def test_a_pin_is_the_version_of_its_nodes_and_no_evidence_without_nodes() -> None:
    pinned = pool("pinned", {**UBUNTU, "version": "22.04.202405140"}, "latest")
    newer = pool("newer", {**UBUNTU, "version": "22.04.202409010"}, "latest")
    empty = pool("empty", {**UBUNTU, "version": "22.04.202612310"})
    old_empty = pool("old-empty", {**UBUNTU, "version": "22.04.202401010"})
    assert words(pinned, newer, empty, old_empty) == [
        (BEHIND, "22.04.202405140", "22.04.202409010"),
        (NEWEST, "22.04.202409010", "22.04.202409010"),
        (NEWEST, "22.04.202612310", "22.04.202612310"),
        (BEHIND, "22.04.202401010", "22.04.202409010"),
    ]
    assert judged(pinned, newer, empty)[2].source == "", "no node has proven that pin"
    (alone,) = judged(empty)
    assert (alone.word, alone.why) == (UNKNOWN, "no node that was read runs this image")


def test_a_gallery_image_is_pinned_by_its_id() -> None:
    pinned = pool("pinned", {"virtualMachineImageId": f"{GALLERY}/versions/1.0.3"}, "")
    assert words(pinned, pool("new", {"virtualMachineImageId": GALLERY}, "1.0.12"))[0] == (BEHIND, "1.0.3", "1.0.12")


def test_nodes_that_show_only_latest_have_an_age() -> None:
    """The service of today: what is known is when the oldest node was allocated."""
    (alone,) = judged(pool("farm", {**UBUNTU, "version": "latest"}, "latest", "latest"))
    assert (alone.word, alone.allocated) == (UNKNOWN, "2026-10-01T08:00:00Z")
    assert alone.why == "its nodes show latest, and no number"
    (mixed,) = judged(pool("mixed", UBUNTU, "22.04.202405140", "latest"))
    assert (mixed.word, mixed.why) == (UNKNOWN, "some of its nodes show no version number")
    assert (alone.newest, alone.made) == ("", "")
    (empty,) = judged(pool("empty", UBUNTU))
    assert (empty.why, empty.allocated) == ("it has no dedicated nodes, and new ones get latest", "")


def test_a_node_cannot_run_an_image_that_was_made_later() -> None:
    newer = pool("newer", {**UBUNTU, "version": "22.04.202409010"}, "latest")
    old = pool("old", UBUNTU, "latest", "latest", at="2024-08-31T23:59:59.9Z")
    same_day = pool("same-day", UBUNTU, "latest", at="2024-09-01T00:00:00Z")
    without = pool("without", UBUNTU)
    to_come = pool("to-come", {**UBUNTU, "version": "22.04.203001010", "sku": "arm"}, "latest")
    arm = pool("arm", {**UBUNTU, "sku": "arm"}, "latest")
    found = judged(old, same_day, without, newer, to_come, arm, as_of=date(2026, 1, 1))
    assert [(each.word, each.current, each.newest, each.made) for each in found] == [
        (BEHIND, "", "22.04.202409010", "2024-09-01"),
        (UNKNOWN, "", "22.04.202409010", "2024-09-01"),
        (UNKNOWN, "", "22.04.202409010", "2024-09-01"),
        (NEWEST, "22.04.202409010", "22.04.202409010", "2024-09-01"),
        (NEWEST, "22.04.203001010", "22.04.203001010", ""),
        (UNKNOWN, "", "22.04.203001010", ""),
    ]
    assert lines_of(found)[1:3] == [
        "  behind: its oldest node was allocated 2024-08-31, before 22.04.202409010 was made (2024-09-01)",
        f"  seen at: {ENDPOINT}/pools/newer",
    ]
    assert found[1].why == (
        "its nodes show no version number, and none was allocated before 22.04.202409010 was made (2024-09-01)"
    )
    assert f"  newest version: 22.04.202409010, seen at {ENDPOINT}/pools/newer" in lines_of(found)


LIST = Listing("Azure Resource Manager, westeurope", {"22.04.202409010": "", "22.04.202401010": "", "24.04.1": ""})
STUDIO = Listing("Azure Resource Manager, westeurope", {"1.0.3": "", "1.0.4": "2026-11-02T09:12:28Z"})


@pytest.mark.parametrize(
    ("one", "listing", "standing"),
    [
        (
            pool("pinned", {**UBUNTU, "version": "22.04.202405140"}, "latest"),
            LIST,
            (BEHIND, "22.04.202405140", "22.04.202409010", "2024-09-01", LIST.source),
        ),
        (
            pool("at-it", {**UBUNTU, "version": "22.04.202409010"}),
            LIST,
            (NEWEST, "22.04.202409010", "22.04.202409010", "2024-09-01", LIST.source),
        ),
        (pool("latest", UBUNTU, "latest"), LIST, (UNKNOWN, "", "24.04.1", "", LIST.source)),
        (pool("managed", {"virtualMachineImageId": "/x/images/y"}, "latest"), Listing("x"), (UNKNOWN, "", "", "", "")),
        (
            pool("old", {"virtualMachineImageId": GALLERY}, "latest", at="2026-11-02T09:12:27Z"),
            STUDIO,
            (BEHIND, "", "1.0.4", "2026-11-02T09:12:28Z", STUDIO.source),
        ),
        (
            pool("new", {"virtualMachineImageId": GALLERY}, "latest", at="2026-11-02T09:12:28Z"),
            STUDIO,
            (UNKNOWN, "", "1.0.4", "2026-11-02T09:12:28Z", STUDIO.source),
        ),
    ],
)
def test_a_version_that_azure_lists_is_known_before_any_node_runs_it(
    one: PoolSeen, listing: Listing, standing: tuple[str, ...]
) -> None:
    (found,) = judge([one], CATALOGUE, date(2026, 11, 28), {one.pool.ref.key: listing})
    if one.pool.ref.pool_id == "old":
        assert lines_of([found])[1] == (
            "  behind: its oldest node was allocated 2026-11-02T09:12:27Z, before 1.0.4 was published "
            "(2026-11-02T09:12:28Z)"
        )
    assert (found.word, found.current, found.newest, found.made, found.source) == standing


def test_a_list_is_for_the_pools_of_its_region_only() -> None:
    here, there = (pool(name, {**UBUNTU, "version": "22.04.202405140"}, "latest") for name in ("here", "there"))
    found = judge([here, there], CATALOGUE, TODAY, {here.pool.ref.key: LIST})
    assert [each.word for each in found] == [BEHIND, NEWEST]


def test_what_was_not_asked_is_a_line() -> None:
    one = pool("farm", UBUNTU, "latest")
    account = Account("https://batch.example.com", pools=(one,))
    assert listings_of([account], "", {}) == ({}, [NO_SUBSCRIPTION])
    assert listings_of([Account(ENDPOINT)], "", {}) == ({}, []), "no VM pool, nothing to ask"
    cloud = Account(ENDPOINT, pools=(seen(paas_pool()),))
    assert listings_of([cloud], "", {}) == ({}, [])
    _, lines = listings_of([replace(account, pools=(elsewhere(one),))], SUBSCRIPTION, {})
    assert lines == [
        "not asked: the image versions for https://batch.example.com, whose name does not show a region",
    ]
    plain = Account("http://127.0.0.1:1", pools=(elsewhere(one, "http://127.0.0.1:1"),))
    assert listings_of([plain], SUBSCRIPTION, {}) == (
        {},
        ["not known: 1 list of image versions: http://127.0.0.1:1 is plain http, and Entra tokens need https"],
    )


def elsewhere(one: PoolSeen, endpoint: str = "https://batch.example.com") -> PoolSeen:
    return replace(one, pool=replace(one.pool, ref=PoolRef(endpoint, one.pool.ref.pool_id)))


def test_a_cloud_services_pool_is_compared_with_the_releases_of_the_day() -> None:
    old, new, star = seen(paas_pool(current=OLD)), seen(paas_pool(current=NEW)), seen(paas_pool(current="*"))
    assert words(old, new, star) == [(BEHIND, OLD, NEW), (NEWEST, NEW, NEW), (UNKNOWN, "*", "")]
    assert judged(old, as_of=date(2018, 12, 11))[0].newest == OTHER
    (late,) = judged(seen(paas_pool(current=OTHER)), as_of=date(2026, 11, 28))
    assert late.word == UNKNOWN
    assert "batch-os catalogue --update" in late.why


def test_what_people_and_programs_see() -> None:
    old, latest = pool("cfd-2026", HPC, "22.04.2024102301"), pool("farm", UBUNTU, "latest")
    new = pool("new", HPC, "22.04.2026082801")
    standings = judged(latest, old, new)
    assert lines_of(standings) == [
        f"{ENDPOINT}/pools/cfd-2026",
        "  behind: 22.04.2024102301 -> 22.04.2026082801",
        f"  seen at: {ENDPOINT}/pools/new",
        f"{ENDPOINT}/pools/farm",
        "  not known: its nodes show latest, and no number",
        "  oldest node allocated: 2026-10-01T08:00:00Z",
        "1 of 3 pools behind; 1 without a known newer version; 1 not known",
    ]
    accounts = [Account("https://closed.x", error="no"), Account(ENDPOINT, "a key", pools=(latest, old, new))]
    document = as_json(accounts, standings, ["not asked: x"])
    closed, read_one = document["accounts"]
    assert document["not_asked"] == ["not asked: x"]
    assert (closed["error"], closed["pools"]) == ("no", [])
    assert [each["standing"] for each in read_one["pools"]] == [UNKNOWN, BEHIND, NEWEST]
    assert read_one["pools"][1] == {
        "id": "cfd-2026",
        "url": f"{ENDPOINT}/pools/cfd-2026",
        "kind": "VM",
        "standing": "behind",
        "current": "22.04.2024102301",
        "newest": "22.04.2026082801",
        "source": f"{ENDPOINT}/pools/new",
        "newest_made": None,
        "oldest_node_allocated": "2026-10-01T08:00:00Z",
        "why": None,
        "error": None,
    }
