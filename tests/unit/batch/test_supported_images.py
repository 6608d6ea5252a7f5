"""What the list of supported images says about a pool: which rows count, when one ends, what to take instead."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from batch_os_provider.batch.supported_images import ImageSupport, SupportedImage, judge
from batch_os_provider.simulator.world.supported_images import BUILT_IN

NOW = datetime(2026, 11, 28, 9, 30, tzinfo=UTC)
LISTED = tuple(SupportedImage.from_json(row) for row in BUILT_IN)
WINDOWS, JAMMY, NOBLE = "batch.node.windows amd64", "batch.node.ubuntu 22.04", "batch.node.ubuntu 24.04"
SERVER = "microsoftwindowsserver:windowsserver:2016-datacenter"
GALLERY = {"virtualMachineImageId": "/subscriptions/s/galleries/studio/images/farm/versions/1.0.3"}


def of(image: str, agent: str = WINDOWS, version: str = "latest") -> dict[str, Any]:
    """The configuration of a pool with a marketplace image."""
    publisher, offer, sku = image.split(":")
    reference = {"publisher": publisher, "offer": offer, "sku": sku, "version": version}
    return {"imageReference": reference, "nodeAgentSKUId": agent}


def row(image: str, agent: str = WINDOWS, end: str = "", **more: Any) -> SupportedImage:
    ends = {"batchSupportEndOfLife": end} if end else {}
    return SupportedImage.from_json({**of(image, agent), "osType": "windows", **ends, **more})


def verdict(configuration: dict[str, Any], *images: SupportedImage, now: datetime = NOW) -> ImageSupport:
    found = judge(configuration, images or LISTED, now)
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("days", "standing"),
    [(91, "listed"), (90, "ending"), (45, "ending"), (1, "ending"), (0, "ended"), (-1, "ended"), (-400, "ended")],
)
def test_days_count_to_the_midnight_at_which_the_support_ends(days: int, standing: str) -> None:
    midnight = datetime(2026, 11, 28, tzinfo=UTC) + timedelta(days=days)
    found = verdict(of(SERVER), row(SERVER, end=midnight.strftime("%Y-%m-%dT%H:%M:%SZ")))
    assert (found.standing, found.days, found.ends_on) == (standing, days, midnight.date().isoformat())


@pytest.mark.parametrize(
    ("end", "standing", "days"),
    [
        ("2026-11-28T09:30:00Z", "ended", 0),
        ("2026-11-28T09:30:01Z", "ending", 0),
        ("2026-11-28T23:59:59.9999999Z", "ending", 0),
        ("2026-11-29T00:00:00Z", "ending", 1),
        ("2027-02-26T23:00:00Z", "ending", 90),
        # The same day in UTC, whatever zone the service writes.
        ("2027-02-26T20:00:00-04:00", "listed", 91),
        ("2026-11-28T11:00:00+02:00", "ended", 0),
    ],
)
def test_an_end_within_a_day_is_compared_by_its_time(end: str, standing: str, days: int) -> None:
    found = verdict(of(SERVER), row(SERVER, end=end))
    assert (found.standing, found.days) == (standing, days)


def test_today_is_that_of_utc() -> None:
    evening = datetime(2026, 11, 27, 22, tzinfo=timezone(timedelta(hours=-4)))
    assert verdict(of(SERVER), row(SERVER, end="2026-11-29T00:00:00Z"), now=evening).days == 1


def test_the_announced_ends_are_found_in_any_case() -> None:
    for image, agent, end in (
        (SERVER.upper(), WINDOWS, "2027-01-12"),
        ("Canonical:0001-com-ubuntu-server-jammy:22_04-LTS", JAMMY.upper(), "2027-06-30"),
        ("microsoft-dsvm:Ubuntu-HPC:2204", JAMMY, "2027-06-30"),
        ("almalinux:almalinux-hpc:8_10-hpc-gen2", "batch.node.el 8", ""),
        ("RedHat:RHEL:8-lvm-gen2", "batch.node.el 8", ""),
        ("debian:debian-12:12-gen2", "batch.node.debian 12", ""),
    ):
        found = verdict(of(image, agent, "1.2.3"))
        assert (found.image, found.ends_on) == (image, end)
        assert found.standing == ("ending" if "2016" in image else "listed")


def test_another_node_agent_or_sku_is_another_row() -> None:
    assert verdict(of(SERVER, "batch.node.windows arm64")).standing == "unlisted"
    assert verdict(of(f"{SERVER}-core")).standing == "unlisted"
    assert verdict(of(SERVER.replace("windowsserver:2016", "windows:2016"))).standing == "unlisted"
    # A pool always has an agent. If the service left it out, the image alone is compared.
    assert verdict({"imageReference": of(SERVER)["imageReference"]}).ends_on == "2027-01-12"


def test_of_two_rows_of_an_image_the_later_end_counts_and_one_without_an_end_stays() -> None:
    early, late = row(SERVER, end="2026-12-01T00:00:00Z"), row(SERVER.upper(), end="2027-01-01T00:00:00Z")
    assert verdict(of(SERVER), early, late).ends_on == "2027-01-01"
    found = verdict(of(SERVER), early, late, row(SERVER))
    assert (found.standing, found.ends_on, found.days) == ("listed", "", None)


def test_a_gallery_image_ends_with_the_last_image_of_its_node_agent() -> None:
    later = NOW + timedelta(days=150)
    for now, standing in ((NOW, "listed"), (later, "ending"), (later + timedelta(days=90), "ended")):
        found = verdict({"imageReference": GALLERY, "nodeAgentSKUId": JAMMY}, now=now)
        assert (found.standing, found.image, found.agent, found.agents) == (standing, "", JAMMY, 3)
        assert found.ends_on == "2027-06-30"
    longer = row("canonical:pro:22_04", JAMMY, end="2028-01-01T00:00:00Z")
    assert verdict({"imageReference": GALLERY, "nodeAgentSKUId": JAMMY}, *LISTED, longer).ends_on == "2028-01-01"


@pytest.mark.parametrize("name", ["virtualMachineImageId", "sharedGalleryImageId", "communityGalleryImageId"])
def test_nothing_ends_with_a_node_agent_that_one_image_keeps(name: str) -> None:
    """`batch.node.windows amd64` is that of Windows Server 2016 and of its successors."""
    reference = {name: "/sharedGalleries/farm/images/w/versions/1.0.0"}
    found = verdict({"imageReference": reference, "nodeAgentSKUId": WINDOWS})
    assert (found.standing, found.ends_on) == ("listed", "")
    assert verdict({"imageReference": reference, "nodeAgentSKUId": "batch.node.centos 7"}).standing == "unlisted"


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"imageReference": None, "nodeAgentSKUId": WINDOWS},
        {"imageReference": [], "nodeAgentSKUId": WINDOWS},
        {"imageReference": {"publisher": "canonical", "offer": "ubuntu"}, "nodeAgentSKUId": WINDOWS},
        {"imageReference": GALLERY},
    ],
)
def test_a_pool_that_shows_no_image_is_not_judged(configuration: dict[str, Any]) -> None:
    assert judge(configuration, LISTED, NOW) is None


def test_an_empty_list_says_nothing_about_a_pool() -> None:
    assert judge(of(SERVER), (), NOW) is None


@pytest.mark.parametrize(
    ("image", "agent", "instead"),
    [
        (SERVER, WINDOWS, "microsoftwindowsserver:windowsserver:2022-datacenter"),
        (f"{SERVER}-smalldisk", WINDOWS, "microsoftwindowsserver:windowsserver:2022-datacenter-smalldisk"),
        (f"{SERVER}-with-containers", WINDOWS, "microsoftwindowsserver:windowsserver:2019-datacenter-with-containers"),
        (f"{SERVER}-gensecond", WINDOWS, "microsoftwindowsserver:windowsserver:2019-datacenter-gensecond"),
        ("canonical:0001-com-ubuntu-server-jammy:22_04-lts", JAMMY, "canonical:ubuntu-24_04-lts:server-gen1"),
        ("canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2", JAMMY, "canonical:ubuntu-24_04-lts:server"),
        ("microsoft-dsvm:ubuntu-hpc:2204", JAMMY, "microsoft-dsvm:ubuntu-hpc:2404"),
    ],
)
def test_another_image_is_the_nearest_relative_that_stays(image: str, agent: str, instead: str) -> None:
    assert verdict(of(image, agent), now=datetime(2027, 6, 1, tzinfo=UTC)).instead == instead


def test_an_image_without_an_end_comes_before_a_nearer_relative_that_ends_later() -> None:
    jammy = "canonical:0001-com-ubuntu-server-jammy:22_04-lts"
    ends = row(jammy, JAMMY, end="2026-12-24T00:00:00Z", osType="linux")
    assert verdict(of(jammy, JAMMY), ends, *LISTED).instead == "canonical:ubuntu-24_04-lts:server-gen1"
    later = [each for each in LISTED if each.ends_at is not None]
    assert verdict(of(jammy, JAMMY), ends, *later).instead == f"{jammy}-gen2"


def test_no_other_image_is_named_where_the_publisher_has_none_that_stays() -> None:
    ends = row(SERVER, end="2026-12-24T00:00:00Z")
    others = (
        row(SERVER.replace("2016", "2019"), end="2027-01-31T00:00:00Z"),
        row(SERVER.replace("2016", "2022"), verificationType="Unverified"),
        row(SERVER.replace("2016", "2025"), osType="linux"),
        row("canonical:windowsserver:2022-datacenter"),
        row(SERVER, "batch.node.windows arm64"),
    )
    assert verdict(of(SERVER), ends, *others).instead == ""
    unlisted = verdict(of("MicrosoftWindowsServer:WindowsServer:2012-r2"))
    assert (unlisted.standing, unlisted.instead) == ("unlisted", "microsoftwindowsserver:windowsserver:2022-datacenter")


def test_a_row_with_missing_or_strange_values_is_read() -> None:
    assert SupportedImage.from_json({}) == SupportedImage("", "", "", "")
    strange: dict[str, Any] = {"imageReference": 7, "nodeAgentSKUId": None, "osType": [], "capabilities": 1}
    assert SupportedImage.from_json(strange).name == "::"
    for end in ("soon", 7, None, "", "9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"):
        assert SupportedImage.from_json({"batchSupportEndOfLife": end}).ends_at is None


def test_a_name_of_thousands_of_digits_is_compared_too() -> None:
    long = SERVER.replace("2016", "9" * 5000)
    found = verdict(of(SERVER), row(SERVER, end="2026-12-24T00:00:00Z"), row(long), row(SERVER.replace("2016", "2022")))
    assert found.instead == long


def test_an_image_that_stays_has_no_word_of_another() -> None:
    found = verdict(of("microsoftwindowsserver:windowsserver:2022-datacenter"))
    assert found == ImageSupport("listed", "microsoftwindowsserver:windowsserver:2022-datacenter", WINDOWS)
