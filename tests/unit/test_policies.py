"""What each policy asks of a declared pool, without Pulumi and without a clock."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.supported_images import SupportedImage
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.errors import BatchOsError, CredentialError
from batch_os_provider.guest_os import catalogue
from batch_os_provider.schema import inputs
from batch_os_provider.schema.resource_types import IMAGE_TYPE, OS_TYPE
from policies import batch_rules as rules
from policies.account_reader import AccountReader, NotReadError
from policies.batch_rules import ConfigError, Resource
from tests.unit.batch.test_supported_images import GALLERY, LISTED, of
from tests.unit.plurals import wrong_plurals

TODAY = date(2026, 1, 31)
DISABLED = "WA-GUEST-OS-7.55_202508-01"
OLDER = "WA-GUEST-OS-7.57_202510-01"
NEWEST = "WA-GUEST-OS-7.58_202511-01"
RETIRED = "WA-GUEST-OS-4.58_201809-01"


class NotYetKnownError(Exception):
    """What reading an unknown property raises in a preview."""


class Properties(Mapping[str, Any]):
    """Properties as the engine gives them: None raises where it is read, as a value that is not known does."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values_given = values

    def __getitem__(self, name: str) -> Any:
        value = self.values_given[name]
        if value is None:
            raise NotYetKnownError(name)
        return value

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_given)

    def __len__(self) -> int:
        return len(self.values_given)


def os_pool(target: str | None, *, stack: str = "prod", tags: Mapping[str, str] | None = None, **more: Any) -> Resource:
    urn = f"urn:pulumi:{stack}::project::{OS_TYPE}::render"
    return Resource(OS_TYPE, "render", urn, Properties({"target_os_version": target, **more}), tags or {})


def vm_pool(target: str | None, **more: Any) -> Resource:
    urn = f"urn:pulumi:prod::project::{IMAGE_TYPE}::vm"
    return Resource(IMAGE_TYPE, "vm", urn, Properties({"target_image_version": target, **more}))


def since_pool(**more: Any) -> Resource:
    urn = f"urn:pulumi:prod::project::{IMAGE_TYPE}::vm"
    return Resource(IMAGE_TYPE, "vm", urn, Properties({"nodes_since": "2026-11-24", **more}))


def test_a_moment_is_a_target_that_no_rule_about_versions_judges() -> None:
    pool = since_pool()
    assert (pool.kind, pool.target_name, pool.is_declared) == ("image", "nodes_since", True)
    assert not rules.version_floor(pool, {"floors": ["20348.2461.240510"]})
    assert not rules.production_pinned(pool, {})
    assert not supported(pool)
    assert rules.timeout_set(pool, {}).startswith("vm: timeout is not set, so one `pulumi up` waits 2h")
    assert not rules.timeout_set(since_pool(timeout="1h"), {})


def read_only() -> Resource:
    return Resource(OS_TYPE, "render", f"urn:pulumi:prod::project::{OS_TYPE}::render", Properties({}))


def supported(resource: Resource, config: Mapping[str, Any] | None = None, today: date = TODAY) -> str:
    return rules.target_supported(resource, config or {}, catalogue.load(), today)


@pytest.mark.parametrize("type_", ["pulumi-python:dynamic:Resource", "pulumi-python:dynamic/farm:OurPool"])
def test_a_pool_of_another_type_is_a_pool(type_: str):
    where = {"account_endpoint": "https://a.b", "pool_id": "render"}
    urn = f"urn:pulumi:prod::project::{type_}::render"
    os = Resource(type_, "render", urn, Properties({**where, "target_os_version": "*"}))
    vm = Resource(type_, "render", urn, Properties({**where, "target_image_version": "17763.1.1"}))
    assert "is '*'" in rules.production_pinned(os, {})
    assert "below the floor" in rules.version_floor(vm, {"floors": ["17763.2.1"]})
    assert "timeout is not set, so one `pulumi up` waits 2h" in rules.timeout_set(os, {})


@pytest.mark.parametrize(
    ("type_", "names"),
    [
        ("pulumi-python:dynamic:Resource", ("account_endpoint", "pool_id")),
        ("pulumi-python:dynamic:Resource", ("target_os_version", "pool_id")),
        ("azure-native:batch:Pool", ("account_endpoint", "pool_id", "target_os_version")),
        ("pulumi-python:dynamics:Pool", ("account_endpoint", "pool_id", "target_os_version")),
        ("", ()),
    ],
)
def test_what_only_looks_like_a_pool_is_none(type_: str, names: tuple[str, ...]):
    urn = f"urn:pulumi:prod::project::{type_}::x"
    assert not Resource(type_, "x", urn, Properties(dict.fromkeys(names, "*"))).kind


def test_the_published_pack_is_for_the_official_cli():
    published = Path(rules.__file__).with_name("PulumiPolicy.yaml").read_text(encoding="utf-8")
    assert re.search(r"^runtime: python$", published, re.MULTILINE)


@pytest.mark.parametrize("stack", ["prod", "Production", "eu-prod", "batch-prod2", "non-prod"])
def test_star_is_refused_in_a_stack_that_is_named_production(stack: str):
    said = rules.production_pinned(os_pool("*", stack=stack), {})
    assert said.startswith(f"render: target_os_version is '*', and stack '{stack}' (its name matches ")
    assert "Allowed: WA-GUEST-OS-<family>.<minor>_<YYYYMM>-<NN>. Declare" in said


@pytest.mark.parametrize(
    ("stack", "config"),
    [("dev", {}), ("reprod", {}), ("staging", {}), ("prod", {"stacks": ["live"]}), ("prod", {"stacks": []})],
)
def test_star_passes_in_other_stacks(stack: str, config: dict[str, Any]):
    assert not rules.production_pinned(os_pool("*", stack=stack), config)


def test_star_is_refused_in_a_stack_that_is_tagged_production():
    tagged = os_pool("*", stack="dev", tags={"environment": "Production"})
    assert "(its tag environment is 'Production') is production" in rules.production_pinned(tagged, {})
    assert not rules.production_pinned(os_pool("*", stack="dev", tags={"environment": "dev"}), {})
    assert not rules.production_pinned(tagged, {"tags": ["tier=gold"]})


def test_a_pool_that_batch_renews_has_no_version_to_judge_and_needs_a_timeout():
    urn = f"urn:pulumi:prod::project::{IMAGE_TYPE}::vm"
    pool = Resource(IMAGE_TYPE, "vm", urn, Properties({"strategy": "automatic"}))
    assert pool.is_declared
    assert not rules.production_pinned(pool, {})
    assert not rules.version_floor(pool, {"floors": ["20348.2461.240510"]})
    assert "timeout is not set" in rules.timeout_set(pool, {})


def test_latest_of_an_image_is_refused_in_production():
    said = rules.production_pinned(vm_pool("latest"), {})
    assert said.startswith("vm: target_image_version is 'latest', and stack 'prod")
    assert "Allowed: exact numbers with dots" in said
    assert not rules.production_pinned(vm_pool("latest"), {"stacks": ["live"], "tags": []})


def test_a_pinned_target_passes_in_production():
    assert not rules.production_pinned(os_pool(NEWEST), {})
    assert not rules.production_pinned(vm_pool("20348.2461.240510"), {})


def test_an_unknown_target_is_of_interest_in_production_alone():
    assert not rules.production_pinned(os_pool(None, stack="dev"), {})
    with pytest.raises(NotYetKnownError):
        rules.production_pinned(os_pool(None), {})


@pytest.mark.parametrize("tag", ["environment", "=prod", "environment="])
def test_a_tag_without_name_or_pattern_is_a_config_error_in_every_stack(tag: str):
    with pytest.raises(ConfigError, match="allowed: name=pattern"):
        rules.production_pinned(os_pool("*"), {"tags": [tag]})


@pytest.mark.parametrize(
    ("resource", "floor", "line"),
    [
        (os_pool(DISABLED), OLDER, "OS family 7"),
        (os_pool("WA-GUEST-OS-7.9_202202-01"), "WA-GUEST-OS-7.10_202203-01", "OS family 7"),
        (os_pool("WA-GUEST-OS-7.10_202203-01"), "WA-GUEST-OS-7.10_202203-02", "OS family 7"),
        (vm_pool("20348.2402.240402"), "20348.2461.240510", "images 20348.*"),
        (vm_pool("20348.999.1"), "20348.1000.1", "images 20348.*"),
        # What is shown is what the config says: a leading zero is not lost.
        (vm_pool("24.04.202405100"), "24.04.202609040", "images 24.*"),
        (vm_pool("17763.3124.211112"), "17763.3124.0211130", "images 17763.*"),
    ],
)
def test_a_target_below_its_floor_is_refused(resource: Resource, floor: str, line: str):
    said = rules.version_floor(resource, {"floors": ["WA-GUEST-OS-6.88_202511-01", floor]})
    target = resource.properties[resource.target_name]
    assert said.startswith(
        f"{resource.name}: {resource.target_name} is '{target}', which is below the floor of {line}."
    )
    assert f"Allowed: {floor} or later." in said


@pytest.mark.parametrize(
    ("resource", "floors"),
    [
        (os_pool(OLDER), [OLDER]),
        (os_pool(NEWEST), [OLDER]),
        (os_pool("*"), [OLDER]),
        (os_pool(RETIRED), [OLDER]),
        (vm_pool("20348.2461.240510"), ["20348.2461.240510"]),
        (vm_pool("17763.1.1"), ["20348.2461.240510"]),
        (os_pool(DISABLED), []),
        (os_pool(None), []),
        (read_only(), [OLDER]),
    ],
)
def test_a_target_at_its_floor_or_without_one_passes(resource: Resource, floors: list[str]):
    assert not rules.version_floor(resource, {"floors": floors})


@pytest.mark.parametrize(
    ("floors", "said"),
    [
        (["20348"], "floors has '20348'; allowed: WA-GUEST-OS-"),
        (["*"], re.escape("floors has '*'; allowed: WA-GUEST-OS-")),
        ([OLDER, NEWEST], f"two floors for OS family 7, {OLDER} and {NEWEST}"),
    ],
)
def test_floors_that_cannot_be_meant_are_config_errors(floors: list[str], said: str):
    with pytest.raises(ConfigError, match=said):
        rules.version_floor(os_pool(NEWEST), {"floors": floors})


@pytest.mark.parametrize(
    ("resource", "default"),
    [(os_pool(NEWEST), inputs.OS.defaults["timeout"]), (vm_pool("20348.1.1"), inputs.IMAGE.defaults["timeout"])],
)
def test_a_timeout_left_to_its_default_is_told_with_the_default(resource: Resource, default: str):
    said = rules.timeout_set(resource, {})
    assert said.startswith(f"{resource.name}: timeout is not set, so one `pulumi up` waits {default} for this pool")
    assert "Allowed: 90s, 45m, 1h30m" in said


@pytest.mark.parametrize("timeout", ["2h", 7200.0, None])
def test_a_declared_timeout_passes_whether_or_not_it_is_known(timeout: Any):
    assert not rules.timeout_set(os_pool(None, timeout=timeout), {})
    assert not rules.timeout_set(vm_pool(None, timeout=timeout), {})


def test_a_disabled_target_is_refused_with_the_newest_of_its_family():
    said = supported(os_pool(DISABLED))
    assert said.startswith(f"render: target_os_version is '{DISABLED}', which this policy refuses as of 2026-01-31: ")
    assert "is disabled since 2026-01-14" in said
    assert "Allowed: a Guest OS version that is not disabled or expired." in said
    assert said.endswith(f"the newest known version of its family is {NEWEST}.")


def test_a_target_is_judged_as_of_the_day():
    assert not supported(os_pool(DISABLED), today=date(2026, 1, 13))
    assert not supported(os_pool(DISABLED), {"as_of": "2026-01-13"})
    assert supported(os_pool(DISABLED), {"as_of": "2026-01-14"}, today=date(2025, 12, 1))


def test_an_expired_target_has_no_successor_in_its_family():
    said = supported(os_pool(RETIRED))
    assert "expired with its family" in said
    assert said.endswith("move the work to a pool of a newer family.")


def test_only_what_is_to_be_refused_is_refused():
    assert not supported(os_pool(DISABLED), {"refuse": ["expired"]})
    assert "behind" in supported(os_pool(DISABLED), {"refuse": ["behind"]})
    assert not supported(os_pool(OLDER), {"refuse": list(rules.CODES)}), "one release behind is only a note"


@pytest.mark.parametrize(
    "resource", [os_pool(NEWEST), os_pool("*"), os_pool("7.58"), vm_pool("20348.1.1"), vm_pool(None), read_only()]
)
def test_what_the_catalogue_cannot_be_asked_about_passes(resource: Resource):
    assert not supported(resource, {"refuse": list(rules.CODES)})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"refuse": ["newer"]}, "refuse has 'newer'; allowed: unknown, disabled"),
        ({"as_of": "tomorrow"}, "as_of is 'tomorrow'; allowed: a date such as"),
    ],
)
def test_a_judgement_that_cannot_be_meant_is_a_config_error(config: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=said):
        supported(vm_pool(None), config)


@pytest.mark.parametrize("rule", [rules.production_pinned, rules.version_floor, rules.timeout_set, supported])
def test_a_misspelt_property_is_a_config_error(rule: Any):
    with pytest.raises(ConfigError, match="'flors' is not a property of this policy; allowed: enforcementLevel"):
        rule(os_pool(NEWEST), {"flors": []})


@pytest.mark.parametrize("rule", [rules.production_pinned, rules.timeout_set, supported])
def test_a_pool_that_is_only_read_passes(rule: Any):
    assert not rule(read_only(), {})


@pytest.mark.parametrize("rule", [rules.version_floor, supported])
def test_an_unknown_target_is_left_to_the_engine(rule: Any):
    with pytest.raises(NotYetKnownError):
        rule(os_pool(None), {"floors": [OLDER]} if rule is rules.version_floor else {})


# --- the end of an image ---

NOW = datetime(2026, 11, 28, 9, tzinfo=UTC)
FARM = "https://farm.westeurope.batch.azure.com"
SERVER = "microsoftwindowsserver:windowsserver:2016-datacenter"


def with_image(endpoint: str | None = FARM, pool_id: str | None = "films") -> Resource:
    return vm_pool(None, account_endpoint=endpoint, pool_id=pool_id)


def image_of(image: str = SERVER, agent: str = "batch.node.windows amd64") -> rules.Read:
    """Reads a pool with this image."""
    return lambda _endpoint, _pool: (of(image, agent), LISTED)


def end_of(
    config: Mapping[str, Any] | None = None, read: rules.Read | None = None, resource: Resource | None = None
) -> str:
    return rules.image_supported(resource or with_image(), config or {}, read or image_of(), NOW)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({}, "ends on 2027-01-12, in 45 days;"),
        ({"days": 45}, "ends on 2027-01-12, in 45 days;"),
        ({"days": 45.0}, "ends on 2027-01-12, in 45 days;"),
        ({"days": 44}, ""),
        ({"days": 0}, ""),
        ({"days": 1, "as_of": "2027-01-11"}, "ends on 2027-01-12, in 1 day;"),
        ({"days": 0, "as_of": "2027-01-11"}, ""),
        ({"days": 0, "as_of": "2027-01-12"}, "ended on 2027-01-12;"),
        ({"days": 0, "as_of": "2030-01-01"}, "ended on 2027-01-12;"),
    ],
)
def test_an_image_that_ends_within_the_days_is_refused(config: dict[str, Any], said: str):
    text = end_of(config)
    assert bool(text) is bool(said)
    if said:
        days = int(config.get("days", 90))
        assert text == (
            f"vm: Batch support for image {SERVER} of pool films {said} declare another image, such as "
            'target_image="microsoftwindowsserver:windowsserver:2022-datacenter". Allowed: an image that Batch lists, '
            f"and whose support does not end within {days} {'day' if days == 1 else 'days'}."
        )
        assert wrong_plurals(text) == []


def test_an_image_that_stays_passes_and_one_that_is_not_listed_is_refused():
    assert not end_of(read=image_of(SERVER.replace("2016", "2022")))
    assert "Batch does not list image canonical:UbuntuServer:18.04-LTS of pool films with node agent" in end_of(
        read=image_of("canonical:UbuntuServer:18.04-LTS", "batch.node.ubuntu 18.04")
    )
    jammy = "batch.node.ubuntu 22.04"
    gallery: dict[str, Any] = {"imageReference": GALLERY, "nodeAgentSKUId": jammy}
    assert not end_of(read=lambda *_: (gallery, LISTED))
    assert f"all 3 images with node agent {jammy}" in end_of({"days": 365}, lambda *_: (gallery, LISTED))


@pytest.mark.parametrize(
    ("name", "agent", "said"),
    [
        (SERVER.replace("2016", "2022"), None, ""),
        (SERVER, None, f"Batch support for image {SERVER} of pool films ends on 2027-01-12"),
        ("canonical:ubuntu-22_04:server", "batch.node.ubuntu 22.04", "Batch does not list image canonical:ubuntu-22"),
        ("/sharedGalleries/x/images/cfd", "batch.node.ubuntu 22.04", "all 3 images with node agent batch.node.ubuntu"),
        ("/sharedGalleries/x/images/cfd", None, ""),
        ("not an image", None, f"Batch support for image {SERVER} of pool films ends on 2027-01-12"),
    ],
)
def test_the_declared_image_counts_and_not_the_one_that_the_pool_has(name: str, agent: str | None, said: str):
    more = {} if agent is None else {"node_agent_sku": agent}
    declared = vm_pool(None, account_endpoint=FARM, pool_id="films", target_image=name, **more)
    found = end_of({"days": 365}, image_of(), declared)
    assert said in found
    assert bool(found) == bool(said)


def test_a_pool_that_does_not_exist_yet_passes():
    assert not end_of(read=lambda *_: (None, LISTED))


def never(_endpoint: str, _pool_id: str) -> Any:
    raise AssertionError("this pool is not read")


def test_only_declared_vm_pools_are_read():
    asked = []

    def read(*about: str) -> Any:
        asked.append(about)
        return of(SERVER), LISTED

    assert end_of(read=read)
    assert asked == [(FARM, "films")]
    assert not end_of(read=never, resource=os_pool(NEWEST, account_endpoint=FARM, pool_id="render"))
    got = Resource(IMAGE_TYPE, "vm", f"urn:pulumi:prod::project::{IMAGE_TYPE}::vm", Properties({}))
    assert not end_of(read=never, resource=got)
    for unknown in (with_image(endpoint=None), with_image(pool_id=None)):
        with pytest.raises(NotYetKnownError):
            end_of(read=never, resource=unknown)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"days": -1}, "image-supported: days is -1; allowed: a whole number from 0 to 3650"),
        ({"days": 3651}, "image-supported: days is 3651; allowed: "),
        ({"as_of": "soon"}, "image-supported: as_of is 'soon'; allowed: a date such as 2026-01-31"),
        (
            {"day": 30},
            "image-supported: 'day' is not a property of this policy; allowed: enforcementLevel, days, as_of",
        ),
    ],
)
def test_a_config_that_cannot_be_meant_reads_nothing(config: dict[str, Any], said: str):
    with pytest.raises(ConfigError, match=re.escape(said)):
        end_of(config, never)


class Client:
    """An account of one VM pool and one of the other kind."""

    def __init__(self, failure: BatchOsError | None = None) -> None:
        self.asked: list[str] = []
        self.failure = failure

    def list_vm_pools(self) -> tuple[VmPool, ...]:
        self.asked.append("pools")
        bodies = {"Films": {"virtualMachineConfiguration": of(SERVER)}, "cloud": {}}
        return tuple(VmPool.from_json(PoolRef(FARM, name), body) for name, body in bodies.items())

    def list_supported_images(self) -> tuple[SupportedImage, ...]:
        self.asked.append("images")
        if self.failure is not None:
            raise self.failure
        return LISTED


def test_an_account_is_read_once_for_all_its_pools():
    client = Client()
    read = AccountReader(lambda _: client)  # type: ignore[arg-type,return-value]
    assert read(FARM, "films") == (of(SERVER), LISTED)
    assert read(FARM, "cloud") == read(FARM, "other") == (None, LISTED)
    assert client.asked == ["pools", "images"]


def test_an_account_that_cannot_be_read_is_asked_once_and_says_why():
    client = Client(CredentialError("listing supported images failed: HTTP 403", pool=FARM))
    read = AccountReader(lambda _: client)  # type: ignore[arg-type,return-value]
    for _ in range(2):
        with pytest.raises(NotReadError, match=re.escape(f"account {FARM}: listing supported images failed: HTTP 403")):
            read(FARM, "films")
    assert client.asked == ["pools", "images"]


def test_a_silent_account_holds_the_pack_up_for_a_while_only():
    go = threading.Event()

    def connect(_endpoint: str) -> Any:
        assert go.wait(30)
        return Client()

    read = AccountReader(connect, timeout=0.05)
    with pytest.raises(NotReadError, match=r"Batch did not answer within 0\.05 s"):
        read(FARM, "films")
    go.set()
