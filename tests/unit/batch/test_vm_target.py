"""Pins both targets of a VM pool: what they read of a node, and which nodes are behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.batch.vm_target import AllocatedSince, ImageVersion, Target, to_the_second
from batch_os_provider.batch.vm_view import VmPoolView

REF = PoolRef("https://contoso.westeurope.batch.azure.com", "encode_02")
LATEST = {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204", "version": "latest"}
GALLERY = {"virtualMachineImageId": "/subscriptions/s/providers/Microsoft.Compute/galleries/g/images/worker"}


def pool(reference: Mapping[str, Any] = LATEST) -> VmPool:
    """An active pool with this image."""
    body = {
        "state": "active",
        "allocationState": "steady",
        "virtualMachineConfiguration": {"imageReference": reference},
    }
    return VmPool.from_json(REF, body)


def node(name: str, allocated: object = None, exact: str = "latest", **more: Any) -> VmNode:
    """An idle node as Batch shows it."""
    info = {"imageReference": {**LATEST, "exactVersion": exact}}
    return VmNode.from_json(
        {"id": name, "state": "idle", "allocationTime": allocated, "virtualMachineInfo": info, **more}
    )


DAY, MOMENT = AllocatedSince.parse("2026-11-24"), AllocatedSince.parse("2026-11-24T06:30:00Z")
UBUNTU = ImageVersion.parse("22.04.2026082801")


@pytest.mark.parametrize(
    ("target", "shown", "is_behind", "reads"),
    [
        (DAY, node("a", "2026-11-23T23:59:59.9999999Z"), True, True),
        (DAY, node("a", "2026-11-24T00:00:00Z"), False, True),
        (DAY, node("a", "2026-11-24T00:00:00.0000001Z"), False, True),
        (DAY, node("a", "2026-11-24T01:00:00+02:00"), True, True),
        (DAY, node("a", "2024-02-29T12:00:00Z"), True, True),
        (MOMENT, node("a", "2026-11-24T06:29:59.999Z"), True, True),
        (MOMENT, node("a", "2026-11-24T06:30:00.0000000Z"), False, True),
        (MOMENT, node("a", "2026-11-25T00:00:00Z"), False, True),
        # A reboot moves lastBootTime, and that makes no node newer.
        (MOMENT, node("a", "2026-11-20T00:00:00Z", lastBootTime="2026-11-27T08:00:00Z"), True, True),
        # A version says nothing about a moment, and a moment nothing about a version.
        (DAY, node("a", "2026-11-20T00:00:00Z", "22.04.2026082801"), True, True),
        (UBUNTU, node("a", "2020-01-01T00:00:00Z", "22.04.2026082801"), False, True),
        (UBUNTU, node("a", "2026-11-27T00:00:00Z", "22.04.2024102301"), True, True),
        (UBUNTU, node("a", "2026-11-27T00:00:00Z"), False, False),
        *(
            (DAY, node("a", wrong), False, False)
            for wrong in (None, "", "yesterday", 1764000000, "2026-13-01T00:00:00Z")
        ),
    ],
)
def test_a_node_is_behind_only_by_what_the_target_reads(
    target: Target, shown: VmNode, is_behind: bool, reads: bool
) -> None:
    assert (target.is_behind(shown), target.reads(shown)) == (is_behind, reads)
    assert VmPoolView(pool(), (shown,)).behind(target) == ((shown,) if is_behind else ())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-24", "2026-11-24T00:00:00.000000Z"),
        ("2026-11-24T00:00:00Z", "2026-11-24T00:00:00.000000Z"),
        ("2028-02-29T23:59:59Z", "2028-02-29T23:59:59.000000Z"),
        ("0999-01-01", "0999-01-01T00:00:00.000000Z"),
    ],
)
def test_a_moment_keeps_its_spelling_and_compares_by_its_time(text: str, moment: str) -> None:
    target = AllocatedSince.parse(text)
    assert (str(target), target.text, target.moment) == (text, text, moment)


@pytest.mark.parametrize(
    "wrong",
    [
        *("", "latest", "2026-11", "2026-1-2", "20261124", "24.11.2026", " 2026-11-24", "2026-11-24\n", "٢٠٢٦-11-24"),
        *("2026-02-30", "2027-02-29", "2026-13-01", "2026-00-10", "0000-01-01", "2026-11-24T24:00:00Z"),
        *("2026-11-24T06:30Z", "2026-11-24T06:30:00", "2026-11-24T06:30:00+01:00", "2026-11-24T06:30:00.5Z"),
        *("2026-11-24 06:30:00Z", "2026-11-24t06:30:00z", "2026-11-24T06:30:60Z"),
        *(None, True, 20261125, 1764000000.5, ["2026-11-24"], {"date": "2026-11-24"}),
    ],
)
def test_any_other_spelling_is_no_moment(wrong: object) -> None:
    with pytest.raises(ValueError, match=r"is (neither a date nor a UTC time|not in the calendar)"):
        AllocatedSince.parse(wrong)


def test_the_oldest_node_is_the_one_that_each_target_compares() -> None:
    first = node("tvm-9", "2026-11-20T08:12:44.1234567Z", "20348.2500.240601")
    old = node("tvm-1", "2026-11-26T00:00:00Z", "20348.2402.240402")
    silent = node("tvm-0", exact="")
    view = VmPoolView(pool(), (silent, old, first))
    assert view.oldest() == view.oldest(ImageVersion) == old
    assert view.oldest(AllocatedSince) == view.oldest(DAY) == first
    assert (ImageVersion.shown(old), AllocatedSince.shown(first)) == ("20348.2402.240402", "2026-11-20T08:12:44Z")
    assert AllocatedSince.shown(silent) == to_the_second("") == ""
    assert VmPoolView(pool(), (silent,)).oldest(AllocatedSince) is None


@pytest.mark.parametrize(
    ("reference", "above", "known"),
    [
        (LATEST, False, False),
        ({**LATEST, "version": "22.04.2024102301"}, True, True),
        ({**LATEST, "version": "22.04.2026082801"}, False, True),
        ({**LATEST, "version": "rolling"}, True, False),
        (GALLERY, False, False),
    ],
)
def test_only_a_version_looks_at_the_pin(reference: Mapping[str, Any], above: bool, known: bool) -> None:
    assert (UBUNTU.is_above_pin(pool(reference)), UBUNTU.is_known_by_pin(pool(reference))) == (above, known)
    assert (DAY.is_above_pin(pool(reference)), DAY.is_known_by_pin(pool(reference))) == (False, False)
