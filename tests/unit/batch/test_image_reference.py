"""Where the version of an image stands in its reference, and that only the version changes."""

from __future__ import annotations

import pytest

from batch_os_provider.batch.image_reference import (
    at_version,
    is_gallery_image,
    is_image_name,
    list_versions,
    nearest_name,
    pin_of,
    reference_of,
    without_version,
)

PRIVATE = "/subscriptions/s-1/resourceGroups/Farm_RG/providers/Microsoft.Compute/galleries/studio/images/render-2204"
SHARED = "/SharedGalleries/0a1b-STUDIO/Images/cfd"
COMMUNITY = "/communityGalleries/hpc-1f2e/images/alma_8"
SIG, REGION = "az sig image-version", "--location <region>"
MARKETPLACE = {"publisher": "almalinux", "offer": "almalinux-hpc", "sku": "8_7-hpc-gen2"}
IDS = [("virtualMachineImageId", PRIVATE), ("sharedGalleryImageId", SHARED), ("communityGalleryImageId", COMMUNITY)]


@pytest.mark.parametrize(("key", "image"), IDS)
@pytest.mark.parametrize(
    ("ending", "pin"),
    [
        ("", "latest"),
        ("/", "latest"),
        ("/versions/latest", "latest"),
        ("/versions/1.0.3", "1.0.3"),
        ("/Versions/2026.11.24", "2026.11.24"),
        ("/VERSIONS/0.0.1/", "0.0.1"),
    ],
)
def test_only_the_version_of_an_image_id_changes(key: str, image: str, ending: str, pin: str) -> None:
    reference = {key: image + ending, "exactVersion": "1.0.3"}
    assert (pin_of(reference), without_version(reference)) == (pin, image)
    assert at_version(reference, "1.2.3") == {key: f"{image}/versions/1.2.3"}
    assert at_version(at_version(reference, "1.2.3"), "latest") == {key: image}
    assert is_gallery_image(image)


@pytest.mark.parametrize("version", ["latest", "8.7.2024042601"])
def test_a_marketplace_image_has_its_version_in_a_property(version: str) -> None:
    reference = {**MARKETPLACE, "version": version, "exactVersion": "8.7.2024042601"}
    assert (pin_of(reference), without_version(reference)) == (version, "almalinux:almalinux-hpc:8_7-hpc-gen2")
    assert at_version(reference, "8.7.1") == {**MARKETPLACE, "version": "8.7.1"}
    assert pin_of(MARKETPLACE) == "latest"


@pytest.mark.parametrize(
    "other", ["/subscriptions/s/providers/Microsoft.Compute/images/golden", "a b c 1.0", None, 7, ""]
)
def test_what_is_in_no_gallery_is_no_gallery_image(other: object) -> None:
    assert not is_gallery_image(other)


@pytest.mark.parametrize(
    ("reference", "command"),
    [
        (MARKETPLACE, "az vm image list --all -p almalinux -f almalinux-hpc -s 8_7-hpc-gen2"),
        (
            {"virtualMachineImageId": f"{PRIVATE}/versions/1.0.3"},
            f"{SIG} list --resource-group Farm_RG --gallery-name studio --gallery-image-definition render-2204",
        ),
        (
            {"sharedGalleryImageId": SHARED},
            f"{SIG} list-shared {REGION} --gallery-unique-name 0a1b-STUDIO --gallery-image-definition cfd",
        ),
        (
            {"communityGalleryImageId": COMMUNITY},
            f"{SIG} list-community {REGION} --public-gallery-name hpc-1f2e --gallery-image-definition alma_8",
        ),
        (
            {"virtualMachineImageId": "/odd/galleries"},
            f"{SIG} list --resource-group ? --gallery-name ? --gallery-image-definition ?",
        ),
    ],
)
def test_the_command_that_lists_versions_names_the_image(reference: dict[str, str], command: str) -> None:
    assert list_versions(reference) == command


ONE_OF_EACH = (
    "canonical:ubuntu-24_04-lts:server",
    "almalinux:almalinux-hpc:8_10-hpc-gen2",
    "128technology:128t_networking_platform:2204",
    "/subscriptions/s-1/resourceGroups/Farm_RG/providers/Microsoft.Compute/galleries/studio/images/render",
    "/SharedGalleries/0a1b-STUDIO/Images/cfd",
    "/communityGalleries/hpc-1f2e/images/alma_8",
)


@pytest.mark.parametrize("name", ONE_OF_EACH)
@pytest.mark.parametrize("version", ["latest", "1.2.3"])
def test_a_name_and_a_version_are_the_whole_reference(name: str, version: str) -> None:
    assert is_image_name(name)
    reference = reference_of(name, version)
    assert (without_version(reference), pin_of(reference)) == (name, version)
    assert at_version(reference, version) == reference


def test_a_managed_image_is_no_name_to_declare_and_yet_a_way_back() -> None:
    managed = "/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/images/golden"
    assert not is_image_name(managed)
    assert reference_of(managed, "latest") == {"virtualMachineImageId": managed}


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("Canonical:ubuntu-24_04-lts:server:24.04.202609040", "Canonical:ubuntu-24_04-lts:server"),
        ("canonical/ubuntu-24_04-lts/server", "canonical:ubuntu-24_04-lts:server"),
        ("canonical ubuntu-24_04-lts server latest", "canonical:ubuntu-24_04-lts:server"),
        (" redhat:rhel:9-lvm-gen2", "redhat:rhel:9-lvm-gen2"),
        ("/sharedGalleries/x/images/cfd/versions/1.0.3", "/sharedGalleries/x/images/cfd"),
        ("sharedGalleries/x/images/cfd", "/sharedGalleries/x/images/cfd"),
        *((text, "") for text in ("", "canonical", "canonical:ubuntu", "latest", "2026-11-24T06:30:00Z", "::", "a:b:")),
        *((value, "") for value in (None, 3, ["canonical:ubuntu-24_04-lts:server"], True)),
        ("/subscriptions/s/resourceGroups/r/providers/Microsoft.Compute/images/golden", ""),
    ],
    ids=repr,
)
def test_what_is_no_name_may_be_near_one(text: object, near: str) -> None:
    assert not is_image_name(text)
    assert nearest_name(text) == near
