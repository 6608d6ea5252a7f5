"""How accounts are shown, to people and to programs."""

from __future__ import annotations

import io
from typing import Any

import pytest
from rich.console import Console

from batch_os_provider.cli.inventory import Account, PoolSeen
from batch_os_provider.cli.status.command import as_json, render
from tests.support.simulator import BEHIND, NEW, OLD, paas_pool, vm_pool
from tests.unit.cli.test_proposal import ENDPOINT, image, seen


def account(*bodies: dict[str, Any], **more: str) -> Account:
    return Account(ENDPOINT, "a key", pools=tuple(seen(each) for each in bodies), **more)


def shown(*accounts: Account, width: int = 80) -> str:
    """As a log shows it."""
    file = io.StringIO()
    render(list(accounts), Console(file=file, width=width, highlight=False))
    return file.getvalue()


_WIDE = 1000
UPGRADING = {"osFamily": "4", "targetOSVersion": NEW, "currentOSVersion": OLD}


def test_no_version_is_cut_in_eighty_columns() -> None:
    busy = paas_pool("p" * 64, state="upgrading", cloudServiceConfiguration=UPGRADING)
    text = shown(account(busy, vm_pool(version=BEHIND)))
    assert max(len(line) for line in text.splitlines()) <= 80
    assert OLD in text
    assert f"-> {NEW}" in text
    assert f"2 x {BEHIND}" in text
    assert f"new nodes: {BEHIND}" in text
    assert "\N{HORIZONTAL ELLIPSIS}" not in text, "nothing is cut"
    assert text.count("p") >= 64, "a long id is folded"


GALLERY = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/farm/providers/images/farm"


@pytest.mark.parametrize("width", [20, 40, 80, 100, 112, 120, 140, 200, 300])
def test_no_word_is_cut_in_any_width(width: int) -> None:
    """Neither where a table just fits, nor where each pool is a block: rich would narrow the widest column first."""
    hpc = image(vm_pool("cfd-2026"), publisher="microsoft-dsvm", offer="ubuntu-hpc", sku="2204", version="latest")
    gallery = image(vm_pool("legacy"), virtualMachineImageId=GALLERY)
    busy = paas_pool("p" * 64, state="upgrading", cloudServiceConfiguration=UPGRADING)
    whole = shown(account(hpc, gallery, busy, paas_pool("one", nodes=1)), width=_WIDE)
    text = shown(account(hpc, gallery, busy, paas_pool("one", nodes=1)), width=width)
    words = set(text.split())
    marks = {"kind:", "state:", "runs:", "resource:", "Pool", "Runs", "Resource"}
    assert {word for word in set(whole.split()) - words if "─" not in word} <= marks
    assert {word for word in words - set(whole.split()) if "─" not in word} <= marks
    assert not [line for line in text.splitlines() if len(line) > width and len(line.split()) > 2]


def test_no_version_is_cut_where_there_is_still_less_room() -> None:
    assert OLD in shown(account(paas_pool()), width=50)


def test_an_account_that_could_not_be_read_does_not_hide_the_others() -> None:
    text = " ".join(
        shown(Account("https://closed.x", "", error="no credential fits [x]"), account(paas_pool())).split()
    )
    assert "https://closed.x could not be read: no credential fits [x]" in text
    assert "1 pool; signed in as a key" in text


def test_a_pool_that_no_resource_fits_says_why() -> None:
    body = {name: value for name, value in paas_pool().items() if name != "cloudServiceConfiguration"}
    text = " ".join(shown(account(body), width=200).split())
    assert "none: Batch shows neither a cloudServiceConfiguration nor a virtualMachineConfiguration" in text


@pytest.mark.parametrize("exact", ["latest", BEHIND])
def test_nodes_without_a_version_number_show_since_when_they_exist(exact: str) -> None:
    body = vm_pool(exact=exact)
    for each, day in zip(body["nodes"], ("21", "20"), strict=True):
        each["allocationTime"] = f"2026-11-{day}T08:12:44.5Z"
    text = " ".join(shown(account(body), width=200).split())
    assert ("since 2026-11-20" in text) == (exact == "latest")
    (pool,) = as_json([account(body)])["accounts"][0]["pools"]
    assert pool["oldest_node_allocated"] == "2026-11-20T08:12:44Z"
    assert pool["resource"] == "PoolImageVersion"


def test_the_oldest_node_agent_is_the_last_line_of_what_runs() -> None:
    body = vm_pool()
    for each, version in zip(body["nodes"], ("1.12.4", "1.9.27"), strict=True):
        each["nodeAgentInfo"] = {"version": version}
    assert "agent 1.9.27" in shown(account(body), width=80)
    (pool,) = as_json([account(body)])["accounts"][0]["pools"]
    assert pool["oldest_node_agent_version"] == "1.9.27"


def test_the_document() -> None:
    document = as_json([account(vm_pool(enableAutoScale=True)), Account("https://closed.x", "", error="why")])
    assert document == {
        "version": 1,
        "accounts": [
            {
                "endpoint": ENDPOINT,
                "signed_in_as": "a key",
                "error": None,
                "images_error": None,
                "pools": [
                    {
                        "id": "render",
                        "url": f"{ENDPOINT}/pools/render",
                        "kind": "VM",
                        "os_family": None,
                        "image": "microsoftwindowsserver windowsserver 2022-datacenter-core latest",
                        "image_ends": None,
                        "image_support": None,
                        "current": BEHIND,
                        "target": "latest",
                        "nodes": 2,
                        "node_versions": {BEHIND: 2},
                        "oldest_node_allocated": "2018-11-01T00:00:00Z",
                        "oldest_node_agent_version": None,
                        "deallocated": 0,
                        "state": "active",
                        "allocation": "steady",
                        "autoscale": True,
                        "resource": "PoolImageVersion",
                        "why": None,
                        "error": None,
                    }
                ],
            },
            {
                "endpoint": "https://closed.x",
                "signed_in_as": None,
                "error": "why",
                "images_error": None,
                "pools": [],
            },
        ],
    }


def test_the_document_of_a_cloud_services_pool_that_is_being_upgraded() -> None:
    body = paas_pool(state="upgrading", cloudServiceConfiguration=UPGRADING)
    (pool,) = as_json([account(body)])["accounts"][0]["pools"]
    assert {key: pool[key] for key in ("kind", "os_family", "current", "target", "state", "node_versions")} == {
        "kind": "Cloud Services",
        "os_family": "4",
        "current": OLD,
        "target": NEW,
        "state": "upgrading",
        "node_versions": {},
    }


def test_nodes_that_could_not_be_read_are_said_of_their_pool() -> None:
    pool = seen(paas_pool()).pool
    whole = Account(ENDPOINT, "a key", pools=(PoolSeen(pool, trouble="listing nodes failed"),))
    assert as_json([whole])["accounts"][0]["pools"][0]["error"] == "listing nodes failed"
    assert "could not be read: listing nodes failed" in shown(whole)
