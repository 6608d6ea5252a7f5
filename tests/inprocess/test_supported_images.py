"""The end of images over the wire: one call for many pools, every page, each way to fail, each value of the switch."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batch_os_provider.batch.client import shared_client
from batch_os_provider.engine import diagnostics
from batch_os_provider.image_provider import PoolImageVersionProvider
from batch_os_provider.preview import describe
from batch_os_provider.preview.image_support import NOT_CHECKED
from batch_os_provider.preview.message_tail import MessageTail, split
from batch_os_provider.runtime import per_account
from batch_os_provider.schema.declared import DeclaredImage
from batch_os_provider.simulator.world.unknowns import BY_NAME
from tests.support.inprocess import BEGINNING, ENDPOINT, Account
from tests.support.simulator import IMAGES, Image, vm_pool
from tests.unit.rollout.doubles import VirtualWaiter

NOW = datetime.fromisoformat(BEGINNING)
OPERATION = "Account_ListSupportedImages"
ENDS = {"windows-2022": 45, "ubuntu": 0, "ubuntu-hpc": -20, "rhel": 91}
"""Days until the support of an image ends."""
STANDING = {"windows-2022": "image ending", "ubuntu": "image ended", "ubuntu-hpc": "image ended"}

CLAUSE = re.compile("; Batch support for image [^;]*; declare another image[^;]*")


def ends_on(days: int) -> str:
    return (NOW + timedelta(days=days)).date().isoformat()


def images(*more: dict[str, Any]) -> list[dict[str, Any]]:
    """Every image of the tests, some with an end."""
    rows = [{**each.row, **end(name)} for name, each in IMAGES.items()]
    return [*rows, *more]


def end(name: str) -> dict[str, str]:
    return {"batchSupportEndOfLife": f"{ends_on(ENDS[name])}T00:00:00Z"} if name in ENDS else {}


def account(**seed: Any) -> Account:
    pools = [vm_pool(name, image=image) for name, image in IMAGES.items()]
    return Account(VirtualWaiter(), {"pools": pools, "images": images(), **seed})


def declared(pool_id: str, image: Image) -> DeclaredImage:
    bag = {"account_endpoint": ENDPOINT, "pool_id": pool_id, "target_image_version": image.target, "strategy": "surge"}
    return DeclaredImage.of(bag)


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a new plugin process; a program reads its messages."""
    monkeypatch.setattr(diagnostics, "current_urn", lambda: "urn:pulumi:dev::p::t::pool")
    monkeypatch.setenv("BATCH_OS_TAIL", "always")
    monkeypatch.setattr(describe, "_said", set())
    per_account.reset()


Preview = Callable[[Account], tuple[dict[str, tuple[str, MessageTail]], list[str]]]


@pytest.fixture
def preview(capsys: pytest.CaptureFixture[str]) -> Preview:
    """Previews every pool of an account; returns the message of each, and the messages without a tail."""

    def run(account: Account) -> tuple[dict[str, tuple[str, MessageTail]], list[str]]:
        shared_client.put(ENDPOINT, account.client())
        for name, image in IMAGES.items():
            assert describe.preview_image(declared(name, image), None, look=True, now=NOW) is None
        found, others = {}, []
        for line in capsys.readouterr().err.splitlines():
            text, tail = split(line.partition(": ")[2])
            if tail is None:
                others.append(text)
            else:
                found[tail.pool.rpartition("/")[2]] = (text, tail)
        return found, others

    return run


def lists(account: Account) -> list[str | None]:
    """The operation of each request for the list, and its status."""
    entries = [each for each in account.world.audit.entries if each.operation == OPERATION]
    return [str(each.status) for each in entries]


@pytest.mark.parametrize("switch", BY_NAME["endedImages"].allowed)
def test_one_call_for_many_pools_under_each_switch(preview: Preview, switch: str) -> None:
    seen = account()
    seen.world.unknowns.set({"endedImages": switch})
    found, others = preview(seen)
    assert (lists(seen), others) == (["200"], [])
    assert set(found) == set(IMAGES)
    for name, (text, tail) in found.items():
        gone = switch == "unlisted" and ENDS.get(name, 1) <= 0
        code = "image unlisted" if gone else STANDING.get(name, "")
        assert tail.warnings == ((code,) if code else ())
        assert tail.image_ends == (ends_on(ENDS[name]) if name in ENDS and not gone else "")
        assert ("declare another image" in text) is bool(code)
        assert text.startswith("2 of 2 nodes behind")
        assert (f" of pool {name} " in text) is bool(code)


def test_every_page_is_read(preview: Preview) -> None:
    """The service gives at most 1000 rows at once."""
    other = {"nodeAgentSKUId": "batch.node.el 9", "osType": "linux"}
    many = [
        {**other, "imageReference": {"publisher": "aaa", "offer": "o", "sku": f"{number:05d}"}}
        for number in range(2100)
    ]
    seen = account(supportedImages=many)
    found, others = preview(seen)
    assert (lists(seen), others) == (["200"] * 3, [])
    assert found["windows-2022"][1].warnings == ("image ending",)
    assert found["almalinux-hpc"][1].warnings == ()
    assert len(seen.client().list_supported_images()) == 2100 + len(IMAGES)


def test_callers_side_by_side_share_the_call(preview: Preview) -> None:
    seen = account()
    shared_client.put(ENDPOINT, seen.client())
    with ThreadPoolExecutor(6) as pool:
        answers = list(pool.map(lambda _: describe.images_of(ENDPOINT).images(), range(12)))
    assert lists(seen) == ["200"]
    assert len({id(each) for each in answers}) == 1


@pytest.mark.parametrize(
    ("effect", "reason"),
    [
        ({"kind": "status", "status": 403, "code": "InsufficientAccountPermissions"}, "403 InsufficientAccountPerm"),
        ({"kind": "status", "status": 500, "code": "InternalError"}, "HTTP 500 InternalError"),
        ({"kind": "status", "status": 503, "code": "ServerBusy", "retryAfter": 600}, "HTTP 503 ServerBusy"),
        ({"kind": "status", "status": 400, "code": "InvalidUri"}, "HTTP 400 InvalidUri"),
        ({"kind": "status", "status": 404, "code": "ResourceNotFound"}, "HTTP 404 ResourceNotFound"),
        ({"kind": "delay", "seconds": 30}, "Read timed out"),
        ({"kind": "dropBefore"}, "Connection aborted"),
        ({"kind": "reset"}, "Connection"),
        ({"kind": "truncate"}, ""),
        ({"kind": "garbage"}, "not JSON"),
    ],
    ids=lambda value: " ".join(str(each) for each in value.values()) if isinstance(value, dict) else "",
)
def test_each_failure_of_the_call_leaves_every_plan_as_it_is(
    preview: Preview, effect: dict[str, Any], reason: str
) -> None:
    seen, whole = account(), account()
    seen.faults.add({"match": {"operation": OPERATION}, "effect": effect})
    found, (said,) = preview(seen)
    assert said.startswith("could not check when the support of images ends: ")
    assert reason in said
    assert len(lists(seen)) == 1, "a failed call is not repeated"
    assert {tail.warnings for _, tail in found.values()} == {(NOT_CHECKED,)}
    per_account.reset()
    for name, (text, tail) in preview(whole)[0].items():
        assert (found[name][1].what, found[name][1].behind) == (tail.what, tail.behind)
        assert found[name][0] == CLAUSE.sub("", text)


def test_a_broken_page_is_a_failure_and_not_half_a_list(preview: Preview) -> None:
    other = {"nodeAgentSKUId": "batch.node.el 9", "osType": "linux"}
    many = [{**other, "imageReference": {"publisher": "aaa", "offer": "o", "sku": str(n)}} for n in range(1500)]
    seen = account(supportedImages=many)
    seen.faults.add({"match": {"operation": OPERATION, "nth": 2}, "effect": {"kind": "status", "status": 500}})
    found, (said,) = preview(seen)
    assert "HTTP 500" in said
    assert {tail.warnings for _, tail in found.values()} == {(NOT_CHECKED,)}, "no pool is called unlisted"


def test_an_answer_without_rows_says_nothing_about_any_pool(preview: Preview) -> None:
    seen = account()
    seen.faults.add({"match": {"operation": OPERATION}, "effect": {"kind": "garbage", "body": '{"value": []}'}})
    found, others = preview(seen)
    assert others == []
    assert {tail.warnings for _, tail in found.values()} == {()}


def test_a_refresh_and_an_unchanged_pool_do_not_ask() -> None:
    seen = account()
    shared_client.put(ENDPOINT, seen.client())
    provider = PoolImageVersionProvider()
    for name, image in IMAGES.items():
        goal = declared(name, image)
        bag = {
            "account_endpoint": ENDPOINT,
            "pool_id": name,
            "target_image_version": image.behind,
            "strategy": "surge",
        }
        outs = dict(provider.read(goal.ref.url, bag).outs or {})
        assert provider.diff(goal.ref.url, outs, bag).changes is False
        assert provider.check(bag, bag).failures == []
    asked = Counter(each.operation for each in seen.world.audit.entries if each.kind == "request")
    assert asked["Pool_Get"] == len(IMAGES)
    assert asked[OPERATION] == 0


def test_the_list_is_asked_of_the_newest_api_version() -> None:
    seen = account()
    seen.world.unknowns.set({"retiredApiVersions": "before-2025-06-01"})
    by_name = {row.name: row for row in seen.client().list_supported_images()}
    windows = by_name["microsoftwindowsserver:windowsserver:2022-datacenter-core"]
    assert (windows.agent, windows.os_type, windows.verified) == ("batch.node.windows amd64", "windows", True)
    assert windows.ends_at == datetime(2024, 7, 16, tzinfo=UTC)
