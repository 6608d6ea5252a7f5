"""What `/supportedimages` lists: the built-in list, that of a seed, and what `images` add; with filters and pages."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential

from batch_os_provider.simulator.state.dump import dump
from batch_os_provider.simulator.state.load import StateError, load
from batch_os_provider.simulator.world.supported_images import BUILT_IN
from batch_os_provider.simulator.world.world import World
from tests.simulator.raw_client import NEWEST, Client
from tests.simulator.seeds import MOVING, WINDOWS

ROCKY = {"publisher": "resf", "offer": "rockylinux-x86_64", "sku": "9-base"}
LISTED = {"nodeAgentSKUId": "batch.node.el 9", "imageReference": {**ROCKY, "version": "latest"}, "osType": "linux"}


def listed(client: Client, **query: str) -> list[dict[str, Any]]:
    answer = client("GET", "/supportedimages", query={"api-version": NEWEST, **query})
    assert answer.status == 200, answer.body
    assert answer.json["odata.metadata"].endswith("$metadata#supportedimages")
    rows: list[dict[str, Any]] = answer.json["value"]
    return rows


def test_an_account_without_a_seed_has_a_list_with_the_announced_ends(client: Client) -> None:
    client.put()
    ends: dict[str, set[str | None]] = {}
    for row in listed(client):
        image = row["imageReference"]
        assert image["version"] == "latest"
        assert {"nodeAgentSKUId", "osType", "verificationType"} <= set(row)
        assert row.get("capabilities") != [], "the service leaves out an empty list"
        name = f"{image['publisher']} {image['sku']}"
        product = next((each for each in ("2016", "2204", "22_04") if each in name), image["publisher"])
        ends.setdefault(product, set()).add(row.get("batchSupportEndOfLife"))
    jammy = {"2027-06-30T00:00:00Z"}
    assert (ends.pop("2016"), ends.pop("2204"), ends.pop("22_04")) == ({"2027-01-12T00:00:00Z"}, jammy, jammy)
    assert set(ends) >= {"microsoftwindowsserver", "canonical", "microsoft-dsvm", "almalinux", "redhat", "debian"}
    assert set(chain(*ends.values())) == {None}


def test_a_seed_replaces_the_list_and_its_images_add_to_it(client: Client) -> None:
    credential = AzureNamedKeyCredential(client.simulator.account, client.simulator.key)
    batch = BatchClient(client.simulator.endpoint, credential, retry_total=0)
    old = {
        **WINDOWS,
        "sku": "old",
        "versions": [{"version": "1.0.0"}],
        "verificationType": "unverified",
        "capabilities": ["DockerCompatible"],
        "batchSupportEndOfLife": "2030-01-01T00:00:00Z",
    }
    to_come = {**WINDOWS, "sku": "to-come", "versions": [{"version": "1.0.0", "since": "2999-01-01T00:00:00Z"}]}
    jammy = [{"publisher": "canonical", "offer": "ubuntu", "sku": "22_04-lts", "version": f"22.04.{n}"} for n in (1, 2)]
    gallery = {"virtualMachineImageId": "/images/i", "version": "1.0.0"}
    images = [*MOVING, *jammy, old, to_come, gallery, {"osVersion": "WA-GUEST-OS-5.25_201811-01"}]
    client.put(images=images, supportedImages=[LISTED])
    found = list(batch.list_supported_images(max_results=1))
    assert [(image.image_reference.sku, image.os_type, image.node_agent_sku_id) for image in found] == [
        ("22_04-lts", "linux", "batch.node.ubuntu 22_04-lts"),
        ("2022-datacenter-core", "windows", "batch.node.windows amd64"),
        ("old", "windows", "batch.node.windows amd64"),
        ("9-base", "linux", "batch.node.el 9"),
    ]
    assert {image.image_reference.version for image in found} == {"latest"}
    assert [image.batch_support_end_of_life and image.batch_support_end_of_life.year for image in found] == [
        None,
        None,
        2030,
        None,
    ]
    verified = list(batch.list_supported_images(filter="osType eq 'windows' and verificationType eq 'verified'"))
    batch.close()
    assert [image.image_reference.sku for image in verified] == ["2022-datacenter-core"]


def test_an_image_of_the_seed_overrides_what_the_list_says_of_it(world: World, client: Client) -> None:
    image = {"publisher": "Canonical", "offer": "ubuntu-24_04-lts", "sku": "SERVER", "version": "24.04.202609040"}
    client.put(images=[{**image, "batchSupportEndOfLife": "2029-05-31T00:00:00Z"}])
    rows = listed(client, **{"$filter": "nodeAgentSKUId eq 'batch.node.ubuntu 24.04'"})
    ends = {row["imageReference"]["sku"]: row.get("batchSupportEndOfLife") for row in rows}
    assert ends == {"server": "2029-05-31T00:00:00Z", "server-gen1": None, "2404": None}
    assert len(listed(client)) == len(BUILT_IN)


def test_the_images_of_pools_are_listed_with_their_own_node_agents(client: Client) -> None:
    """Batch creates no pool with another image, so a seed need not name them twice."""
    hpc = {"publisher": "Almalinux", "offer": "almalinux-hpc", "sku": "8_7-hpc-gen2"}
    machines = [
        (hpc, "batch.node.el 8"),
        (hpc, "batch.node.EL 8"),
        (hpc, "batch.node.el 9"),
        (WINDOWS, "batch.node.windows amd64"),
    ]
    pools = [
        {
            "id": f"p{number}",
            "virtualMachineConfiguration": {"imageReference": {**image, "version": "1.0.0"}, "nodeAgentSKUId": agent},
        }
        for number, (image, agent) in enumerate(machines)
    ]
    gallery = {"imageReference": {"virtualMachineImageId": "/images/i"}, "nodeAgentSKUId": "batch.node.el 8"}
    rows = [{**hpc, "version": "8.7.2024042601", "batchSupportEndOfLife": "2029-05-31T00:00:00Z"}, *MOVING]
    client.put(*pools, {"id": "g", "virtualMachineConfiguration": gallery}, images=rows, supportedImages=[])
    found = [
        (row["imageReference"]["sku"], row["nodeAgentSKUId"], row["osType"], row.get("batchSupportEndOfLife"))
        for row in listed(client)
    ]
    assert found == [
        ("8_7-hpc-gen2", "batch.node.EL 8", "linux", "2029-05-31T00:00:00Z"),
        ("8_7-hpc-gen2", "batch.node.el 9", "linux", "2029-05-31T00:00:00Z"),
        ("2022-datacenter-core", "batch.node.windows amd64", "windows", None),
    ]
    client.put(pools[3])
    assert len(listed(client)) == len(BUILT_IN), "an image of the list is there once"


def test_pages_join_to_the_list_and_the_filter_stays(client: Client) -> None:
    client.put()
    wanted = {"api-version": NEWEST, "$filter": "osType eq 'linux'", "maxresults": "5"}
    answer = client("GET", "/supportedimages", query=wanted)
    rows, pages = answer.json["value"], 1
    while link := answer.json.get("odata.nextLink"):
        answer = client.send("GET", link.removeprefix(client.simulator.endpoint), None)
        rows, pages = rows + answer.json["value"], pages + 1
    assert rows == listed(client, **{"$filter": "osType eq 'linux'"})
    assert len(rows) == sum(row["osType"] == "linux" for row in BUILT_IN)
    assert pages == -(-len(rows) // 5)


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"maxresults": "0"}, "InvalidQueryParameterValue"),
        ({"maxresults": "1001"}, "InvalidQueryParameterValue"),
        ({"$filter": "offer eq 'windowsserver'"}, "InvalidQueryParameterValue"),
        ({"$filter": "nodeAgentSKUId gt 'batch'"}, "InvalidQueryParameterValue"),
        ({"$select": "osType"}, "UnsupportedQueryParameter"),
        ({"api-version": "2019-01-01.0.0"}, "UnsupportedRequestVersion"),
        ({"api-version": "2018-12-01.8.0"}, "InvalidUri"),
    ],
)
def test_what_the_list_refuses(client: Client, query: dict[str, str], code: str) -> None:
    client.put()
    answer = client("GET", "/supportedimages", query={"api-version": NEWEST, **query})
    assert (answer.status, answer.code) == (400, code)


def test_the_list_of_a_seed_is_kept_by_a_state_file(world: World) -> None:
    for given in ([], [{**LISTED, "capabilities": ["DockerCompatible"]}], None):
        load(world, {} if given is None else {"supportedImages": given})
        saved = dump(world, "http://127.0.0.1:1")
        again = World()
        load(again, saved)
        assert again.supported == world.supported
        assert saved.get("supportedImages") == (given and [{**given[0], "verificationType": "verified"}])


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        ({**LISTED, "osType": "beos"}, "the osType 'beos' is not one of linux, windows"),
        ({**LISTED, "verificationType": "maybe"}, "the verificationType 'maybe' is not one of verified, unverified"),
        ({**LISTED, "batchSupportEndOfLife": "soon"}, "is not a UTC time"),
        ({**LISTED, "imageReference": {"publisher": "resf", "offer": "rocky"}}, "sku is missing"),
        ({**LISTED, "imageReference": {**ROCKY, "exactVersion": "1.0.0"}}, "unknown property exactVersion"),
        ({**LISTED, "capabilities": "docker"}, "capabilities must be of type list"),
        ({"imageReference": ROCKY}, "nodeAgentSKUId is missing"),
        ({**LISTED, "colour": "red"}, "unknown property colour"),
        ("rocky", "expected an object"),
    ],
)
def test_rows_that_are_refused(world: World, row: object, sentence: str) -> None:
    with pytest.raises(StateError, match=sentence):
        load(world, {"supportedImages": [row]})
