"""Which places of a program get which version, by what its declarations want."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.image_reference import without_version
from batch_os_provider.cli.adopt.declaration import DeclaredPool
from batch_os_provider.cli.bump.plan import Declared, declared_of, plan
from batch_os_provider.cli.inventory import PoolSeen
from batch_os_provider.cli.outdated.newest import judge
from batch_os_provider.errors import InputError
from batch_os_provider.guest_os.catalogue import load
from tests.support.simulator import OLD, paas_pool
from tests.unit.cli.test_outdated import ENDPOINT, GALLERY, HPC, UBUNTU, pool
from tests.unit.cli.test_proposal import seen

MAY, JUNE, JULY = "22.04.202405140", "22.04.202406010", "22.04.202407020"
MAIN, PROD = Path("__main__.py"), Path("Pulumi.prod.yaml")
HEAD = "from batch_os_provider import PoolImageVersion\n"


def wants(name: str, text: str = MAY, newer: str = JUNE, stack: str = "prod") -> Declared:
    return Declared(stack, name, f"{ENDPOINT}/pools/{name}", text, newer)


def made(name: str, text: str) -> DeclaredPool:
    return DeclaredPool("p", name, PoolRef(ENDPOINT, name), name, {"target_image_version": text})


@pytest.mark.parametrize(
    ("others", "changes"),
    [
        ([], {MAY: JUNE}),
        ([wants("b")], {MAY: JUNE}),
        ([wants("b", stack="dev")], {MAY: JUNE}),
        ([wants("b", newer=JULY)], {}),
        ([wants("b", newer="")], {}),
        ([wants("b", newer="", stack="dev")], {}),
        ([wants("b", text=JUNE, newer=JULY)], {MAY: JUNE}),
    ],
)
def test_a_literal_changes_if_all_that_declare_its_text_agree(others: list[Declared], changes: dict[str, str]) -> None:
    source = f'{HEAD}PoolImageVersion("a", target_image_version="{MAY}")\n'.encode()
    found = plan([wants("a"), *others], {MAIN: source}, {}, lambda *_: pytest.fail("a literal is not tried"))
    assert {place.text: new for place, new in found.changes.get(MAIN, {}).items()} == changes


@pytest.mark.parametrize(
    ("governed", "changes"),
    [
        ("ab", ["farm:v"]),
        ("a", ["farm:v"]),
        ("", []),
        ("ac", []),  # c wants nothing
        ("ad", []),  # d wants another version
    ],
)
def test_a_config_value_changes_if_only_pools_that_want_it_change(governed: str, changes: list[str]) -> None:
    declared = [wants("a"), wants("b"), wants("c", newer=""), wants("d", newer=JULY)]
    tried = []

    def attempt(stack: str, key: str, new: str) -> list[DeclaredPool]:
        tried.append((stack, key, new))
        return [made(each.name, new if each.name in governed else each.text) for each in declared]

    config = {"prod": (PROD, f"config:\n  farm:v: {MAY}\n  farm:other: {JULY}\n".encode())}
    found = plan(declared, {}, config, attempt)
    assert [place.key for place in found.changes.get(PROD, {})] == changes
    assert set(tried) <= {("prod", "farm:v", JUNE), ("prod", "farm:v", JULY)}, "no value that no pool declares"


def test_a_config_value_that_makes_another_pool_stays() -> None:
    config = {"prod": (PROD, f"config:\n  farm:v: {MAY}\n".encode())}
    found = plan([wants("a")], {}, config, lambda *_: [made("a", JUNE), made("new", JUNE)])
    assert not found.changes


def test_a_config_value_with_which_the_program_does_not_run_stays() -> None:
    def attempt(_stack: str, _key: str, new: str) -> list[DeclaredPool]:
        if new == JUNE:
            raise InputError("the program refuses it")
        return [made("a", MAY), made("d", new)]

    config = {"prod": (PROD, f"config:\n  farm:v: {MAY}\n".encode())}
    assert not plan([wants("a")], {}, config, attempt).changes
    found = plan([wants("a"), wants("d", newer=JULY)], {}, config, attempt)
    assert list(found.changes[PROD].values()) == [JULY], "another version is still tried"


SEEN: list[PoolSeen] = [
    pool("old", UBUNTU, MAY),
    pool("new", UBUNTU, JUNE),
    pool("silent", HPC, "latest"),
    seen(paas_pool("cloud", current=OLD)),
]


@pytest.mark.parametrize(
    ("name", "text", "newer", "why"),
    [
        ("old", MAY, JUNE, ""),
        ("new", MAY, JUNE, ""),
        ("old", JUNE, "", ""),
        ("old", JULY, "", ""),
        ("old", "24.04.1", "", "24.04.1 and 22.04.202406010 are versions of different products"),
        ("old", "", "", "it declares no exact image version"),
        ("silent", "22.04.1", "", "its nodes show latest, and no number"),
        ("gone", MAY, "", "its pool was not read"),
        ("cloud", "*", "", "it declares no Guest OS version"),
    ],
)
def test_what_a_declaration_wants(name: str, text: str, newer: str, why: str) -> None:
    target = "target_os_version" if name == "cloud" else "target_image_version"
    declared = DeclaredPool("p", name, PoolRef(ENDPOINT, name), name, {target: text})
    (found,) = declared_of({"prod": [declared]}, judge(SEEN, load(), date(2018, 12, 1)), date(2018, 12, 1))
    assert (found.newer, found.why) == (newer, why)


TODAY = date(2026, 11, 28)
BY_AGE = [
    pool("farm", UBUNTU, "latest"),
    pool("newer", {**UBUNTU, "version": "22.04.202409010"}, "latest"),
    pool("pinned", {**UBUNTU, "version": MAY}, "latest"),
    pool("studio", {"virtualMachineImageId": GALLERY}, "latest"),
    pool("studio-new", {"virtualMachineImageId": f"{GALLERY}/versions/1.0.4"}, ""),
    pool("numbers", HPC, "22.04.2026082801"),
    pool("alone", {**UBUNTU, "sku": "arm"}, "latest"),
    seen(paas_pool("cloud", current=OLD)),
]


@pytest.mark.parametrize(
    ("name", "since", "newer", "why"),
    [
        ("farm", "2024-08-31", "2026-11-28", ""),
        ("farm", "2024-08-31T23:59:59Z", "2026-11-28", ""),
        ("farm", "2024-09-01", "", ""),
        ("farm", "2024-09-01T10:00:00Z", "", ""),
        ("pinned", "2024-01-01", "", f"its pool is pinned to {MAY}, so a later day brings no newer image"),
        ("studio", "2024-01-01", "", "the day on which 1.0.4 was made is not known"),
        ("numbers", "2024-01-01", "", ""),  # its nodes show that they have the newest version
        ("alone", "2024-01-01", "", "its nodes show latest, and no number"),
        ("cloud", "2024-01-01", "", "it declares a moment for a Cloud Services pool"),
    ],
)
def test_a_moment_becomes_today_if_the_newest_image_was_made_after_it(
    name: str, since: str, newer: str, why: str
) -> None:
    declared = DeclaredPool("p", name, PoolRef(ENDPOINT, name), name, {"nodes_since": since})
    (found,) = declared_of({"prod": [declared]}, judge(BY_AGE, load(), date(2026, 3, 1)), TODAY)
    assert (found.text, found.newer, found.why) == (since, newer, why)
    if newer:
        assert (found.newest, found.source) == ("22.04.202409010", f"{ENDPOINT}/pools/newer")


def test_a_pool_that_only_a_deployment_knows() -> None:
    (found,) = declared_of({"prod": [DeclaredPool("p", "open", None, "open")]}, [], TODAY)
    assert (found.pool, found.why) == ("open", "only a deployment knows its pool")


@pytest.mark.parametrize(("image", "newer"), [(UBUNTU, JUNE), ("canonical:ubuntu-24_04-lts:server", "")])
def test_a_pool_that_moves_to_another_image_keeps_its_version(image: Any, newer: str) -> None:
    name = image if isinstance(image, str) else without_version(image)
    bag = {"target_image_version": MAY, "target_image": name.upper()}
    declared = DeclaredPool("p", "old", PoolRef(ENDPOINT, "old"), "old", bag)
    (found,) = declared_of({"prod": [declared]}, judge(SEEN, load(), date(2018, 12, 1)), TODAY)
    assert found.newer == newer
    assert found.why == ("" if newer else "it declares another image than its pool has now")
