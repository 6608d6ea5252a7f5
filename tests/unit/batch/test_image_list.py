"""Where the versions of an image are listed, and what the answers of Azure Resource Manager say.

The bodies have the shape of the pages that `batch_os_provider/batch/image_list.py` names.
"""

from __future__ import annotations

from typing import Any

import pytest

from batch_os_provider.batch.clouds import cloud_of, manager_of, region_of
from batch_os_provider.batch.image_list import list_of, read

SUBSCRIPTION = "6f1d7a3e-0000-4000-8000-3b5f7c9d1e2a"
HERE = f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Compute/locations/westeurope"
GALLERY = "/subscriptions/other/resourceGroups/Images (EU)/providers/Microsoft.Compute/galleries/studio/images/farm"


@pytest.mark.parametrize(
    ("endpoint", "region", "manager", "scope"),
    [
        (
            "https://acct.westeurope.batch.azure.com",
            "westeurope",
            "https://management.azure.com",
            "https://management.azure.com/.default",
        ),
        (
            "https://acct.chinanorth3.batch.chinacloudapi.cn",
            "chinanorth3",
            "https://management.chinacloudapi.cn",
            "https://management.chinacloudapi.cn/.default",
        ),
        (
            "https://acct.usgovvirginia.batch.usgovcloudapi.net",
            "usgovvirginia",
            "https://management.usgovcloudapi.net",
            "https://management.core.usgovcloudapi.net/.default",
        ),
        (
            "https://127.0.0.1:8443",
            "local",
            "https://127.0.0.1:8443",
            "https://management.azure.com/.default",
        ),
        (
            "https://batch.example.com",
            "",
            "https://management.azure.com",
            "https://management.azure.com/.default",
        ),
        (
            "https://a.b.westeurope.batch.azure.com",
            "",
            "https://management.azure.com",
            "https://management.azure.com/.default",
        ),
    ],
)
def test_an_endpoint_names_its_region_and_its_resource_manager(
    endpoint: str, region: str, manager: str, scope: str
) -> None:
    assert (region_of(endpoint), manager_of(endpoint), cloud_of(endpoint).manager_scope) == (region, manager, scope)


@pytest.mark.parametrize(
    ("reference", "path", "right"),
    [
        (
            {"publisher": "canonical", "offer": "lts", "sku": "server", "version": "latest"},
            f"{HERE}/publishers/canonical/artifacttypes/vmimage/offers/lts/skus/server/versions?api-version=2024-07-01",
            "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read",
        ),
        (
            {"publisher": "a/b", "offer": "c?d", "sku": "e f"},
            f"{HERE}/publishers/a%2Fb/artifacttypes/vmimage/offers/c%3Fd/skus/e%20f/versions?api-version=2024-07-01",
            "Microsoft.Compute/locations/publishers/artifacttypes/offers/skus/versions/read",
        ),
        (
            {"virtualMachineImageId": f"{GALLERY}/versions/1.0.3"},
            f"{GALLERY.replace(' ', '%20').replace('(', '%28').replace(')', '%29')}/versions?api-version=2024-03-03",
            "Microsoft.Compute/galleries/images/versions/read",
        ),
        (
            {"sharedGalleryImageId": "/sharedGalleries/2f-STUDIO/images/farm"},
            f"{HERE}/sharedGalleries/2f-STUDIO/images/farm/versions?api-version=2024-03-03",
            "Microsoft.Compute/locations/sharedGalleries/images/versions/read",
        ),
        (
            {"communityGalleryImageId": "/CommunityGalleries/almalinux-1/Images/almalinux-hpc/Versions/9.4.1"},
            f"{HERE}/communityGalleries/almalinux-1/images/almalinux-hpc/versions?api-version=2024-03-03",
            "Microsoft.Compute/locations/communityGalleries/images/versions/read",
        ),
    ],
)
def test_each_kind_of_image_has_its_list_and_its_right(reference: dict[str, str], path: str, right: str) -> None:
    found = list_of(reference, SUBSCRIPTION, "westeurope")
    assert found is not None
    assert (found.path, found.right) == (path, right)


@pytest.mark.parametrize(
    "reference",
    [
        {},
        {"publisher": "canonical", "offer": "x"},
        {"virtualMachineImageId": "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/images/managed"},
        {"sharedGalleryImageId": "/sharedGalleries/x"},
        {"communityGalleryImageId": "nothing"},
    ],
)
def test_a_managed_image_and_half_a_reference_have_no_list(reference: dict[str, str]) -> None:
    assert list_of(reference, SUBSCRIPTION, "westeurope") is None


def private(name: str, state: str = "Succeeded", **profile: Any) -> dict[str, Any]:
    return {"name": name, "properties": {"publishingProfile": profile, "provisioningState": state}}


def shared(name: str, **properties: Any) -> dict[str, Any]:
    return {"name": name, "location": "westeurope", "properties": properties}


@pytest.mark.parametrize(
    ("items", "found"),
    [
        (
            [{"id": "/x/22.04.202405140", "location": "westeurope", "name": "22.04.202405140"}, {"name": "latest"}],
            {"22.04.202405140": ""},
        ),
        (
            [
                private("1.0.3", publishedDate="2026-11-02T09:12:28Z", targetRegions=[{"name": "West Europe"}]),
                private("1.0.4", publishedDate="2026-11-03T00:30:00.1234567+02:00"),
                private("1.0.5", excludeFromLatest=True),
                private("1.0.6", state="Updating"),
                private("1.0.7", targetRegions=[{"name": "East US"}]),
                private("1.0.8", targetRegions=[{"name": "westeurope", "excludeFromLatest": True}]),
                private("1.0.9", publishedDate="soon"),
            ],
            {"1.0.3": "2026-11-02T09:12:28Z", "1.0.4": "2026-11-02T22:30:00Z", "1.0.9": ""},
        ),
        (
            [
                shared("1.0.0", publishedDate="2018-03-20T09:12:28Z", excludeFromLatest=False),
                shared("1.1.0", publishedDate="2018-04-20T09:12:28Z", excludeFromLatest=True),
            ],
            {"1.0.0": "2018-03-20T09:12:28Z"},
        ),
        ([None, 7, "1.0.0", {"name": 1.0}, {"name": "1.2.3", "properties": []}], {"1.2.3": ""}),
        ([], {}),
    ],
)
def test_what_a_list_says(items: list[object], found: dict[str, str]) -> None:
    assert read(items, "westeurope") == found
