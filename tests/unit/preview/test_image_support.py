"""The end of an image on the row of a preview: what is said, who asks, and what a failure changes."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.supported_images import SupportedImage, judge
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.engine import diagnostics
from batch_os_provider.errors import CredentialError, PermanentError, ServiceAnswer, TransientError
from batch_os_provider.preview import describe
from batch_os_provider.preview.image_support import NOT_CHECKED, ImageList, clause
from batch_os_provider.preview.message_tail import MessageTail, split
from batch_os_provider.runtime import per_account, request_log
from batch_os_provider.runtime.cancellation import Canceled, CancellationToken, RealWaiter, StopReason
from batch_os_provider.schema.declared import DeclaredImage, ImagePolicy
from tests.unit.batch.test_supported_images import GALLERY, JAMMY, LISTED, NOW, SERVER, of, row
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.doubles import REF, VirtualWaiter, transient
from tests.unit.rollout.image_renewal.image_doubles import TARGET, FakeVmService, VmState, pool_of

ENDS = "2027-01-12T00:00:00Z"
INSTEAD = "microsoftwindowsserver:windowsserver:2022-datacenter"
BAG = {"account_endpoint": REF.endpoint, "pool_id": REF.pool_id, "target_image_version": TARGET, "strategy": "surge"}
DECLARED = DeclaredImage.of(BAG)


def said(configuration: dict[str, Any], *images: SupportedImage, now: datetime = NOW) -> str:
    support = judge(configuration, images or LISTED, now)
    assert support is not None
    return clause(support, "render")


# --- the clause ---


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        (91, None),
        (90, "ends on 2027-02-26, in 90 days"),
        (1, "ends on 2026-11-29, in 1 day"),
        (0, "ends on 2026-11-28, today"),
        (-1, "ended on 2026-11-27"),
    ],
)
def test_a_marketplace_image(days: int, expected: str | None) -> None:
    evening = datetime(2026, 11, 28, 20, tzinfo=UTC) + timedelta(days=days)
    text = said(of(SERVER), row(SERVER, end=evening.isoformat()), row(INSTEAD))
    next_step = f'declare another image, such as target_image="{INSTEAD}"'
    whole = f"Batch support for image {SERVER} of pool render {expected}; {next_step}"
    assert text == ("" if expected is None else whole)
    assert wrong_plurals(text) == []


def test_an_image_that_is_not_listed_may_have_ended() -> None:
    old = "canonical:UbuntuServer:18.04-LTS"
    assert said(of(old, "batch.node.ubuntu 18.04")) == (
        f"Batch does not list image {old} of pool render with node agent batch.node.ubuntu 18.04, so its support may "
        'have ended; declare another image, such as target_image="canonical:ubuntu-24_04-lts:server-gen1"'
    )
    nothing = said({"imageReference": of("openlogic:centos-hpc:7_9")["imageReference"]})
    assert nothing == (
        "Batch does not list image openlogic:centos-hpc:7_9 of pool render, so its support may have ended; "
        "declare another image, such as a target_image of `az batch pool supported-images list`"
    )


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_gallery_image_is_judged_by_its_node_agent(count: int) -> None:
    pool = {"imageReference": GALLERY, "nodeAgentSKUId": JAMMY}
    listed = [row(f"canonical:jammy:{number}", JAMMY, end="2027-06-30T00:00:00Z") for number in range(count)]
    images = {1: "the only image", 2: "all 2 images", 3: "all 3 images"}[count]
    about = f"Batch support for {images} with node agent {JAMMY}, which the gallery image of pool render uses,"
    next_step = "build its image on a newer OS, and declare target_image and node_agent_sku"
    for day, when in (
        ("2027-04-01", "ends by 2027-06-30, in 90 days"),
        ("2027-06-29", "ends by 2027-06-30, in 1 day"),
        ("2027-07-01", "ended by 2027-06-30"),
    ):
        text = said(pool, *listed, now=datetime.fromisoformat(f"{day}T08:00:00+00:00"))
        assert text == f"{about} {when}; {next_step}"
        assert wrong_plurals(text) == []
    assert said(pool, *listed) == ""
    assert said({**pool, "nodeAgentSKUId": "batch.node.centos 7"}) == (
        "Batch lists no image with node agent batch.node.centos 7, which the gallery image of pool render uses, so its "
        f"support may have ended; {next_step}"
    )


# --- the row ---


@pytest.fixture(autouse=True)
def process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Begin a new plugin process; a program reads its messages."""
    monkeypatch.setattr(diagnostics, "current_urn", lambda: "urn:pulumi:dev::p::t::render")
    monkeypatch.setenv("BATCH_OS_TAIL", "always")
    monkeypatch.setattr(describe, "_said", set())
    per_account.reset()


Row = tuple[str, MessageTail | None]


@pytest.fixture
def rows(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[Row]]:
    """Previews one pool; returns its messages and their tails, and the lines on the stack's row without one."""

    def preview(
        service: FakeVmService, *, times: int = 1, now: datetime = NOW, goal: DeclaredImage = DECLARED
    ) -> list[Row]:
        shared_client.put(REF.endpoint, service)  # type: ignore[arg-type]
        for _ in range(times):
            describe.preview_image(goal, None, look=True, now=now)
        lines = capsys.readouterr().err.splitlines()
        return [split(line.partition(": ")[2]) for line in lines]  # without the name that begins a line on stderr

    return preview


def machine(image: str = SERVER, **change: Any) -> VmState:
    return pool_of(2, configuration=of(image), **change)


def account(state: VmState, *supported: SupportedImage) -> FakeVmService:
    service = FakeVmService(state)
    service.supported = supported or LISTED
    return service


def test_a_plan_names_the_end_after_the_news_and_before_the_versions(rows: Callable[..., list[Row]]) -> None:
    ((text, tail),) = rows(account(machine()))
    assert text.startswith("2 of 2 nodes behind, 0 running tasks, ")
    note = f"; Batch support for image {SERVER} of pool {REF.pool_id} ends on 2027-01-12, in 45 days; declare another"
    assert note in text
    assert text.endswith(f" -> {TARGET}")
    assert tail is not None
    assert (tail.what, tail.warnings, tail.image_ends) == ("renew", ("image ending",), "2027-01-12")


@pytest.mark.parametrize(
    ("image", "now", "codes", "ends"),
    [
        (SERVER, NOW - timedelta(days=46), (), "2027-01-12"),
        (SERVER, NOW + timedelta(days=45), ("image ended",), "2027-01-12"),
        (INSTEAD, NOW, (), ""),
        ("microsoftwindowsserver:windowsserver:2012-r2", NOW, ("image unlisted",), ""),
    ],
)
def test_the_tail_has_the_day_also_long_before_it(
    rows: Callable[..., list[Row]], image: str, now: datetime, codes: tuple[str, ...], ends: str
) -> None:
    ((text, tail),) = rows(account(machine(image)), now=now)
    assert tail is not None
    assert (tail.warnings, tail.image_ends) == (codes, ends)
    assert ("image" in text) is bool(codes)


def test_what_ends_is_a_warning_and_what_stays_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    severities: list[str] = []
    monkeypatch.setattr(diagnostics.ResourceLog, "warn", lambda *_: severities.append("warning"))
    monkeypatch.setattr(diagnostics.ResourceLog, "info", lambda *_: severities.append("info"))
    for state in (machine(), machine(INSTEAD)):
        per_account.reset()
        shared_client.put(REF.endpoint, account(state))  # type: ignore[arg-type]
        describe.preview_image(DECLARED, None, look=True, now=NOW)
    assert severities == ["warning", "info"]


def test_a_refused_pool_hears_of_the_end_of_its_image_too(rows: Callable[..., list[Row]]) -> None:
    service = account(machine(autoscale=True))
    ((text, tail),) = rows(service)
    assert text.startswith("Batch support for image ")
    assert tail is not None
    assert (tail.what, tail.warnings, tail.image_ends) == ("warning", ("image ending",), "2027-01-12")
    per_account.reset()
    assert rows(account(machine(INSTEAD, autoscale=True))) == []


def test_a_pool_that_is_being_deleted_needs_no_other_image(rows: Callable[..., list[Row]]) -> None:
    service = account(machine(state="deleting"))
    assert rows(service) == []
    assert service.image_lists == 0


def test_two_previews_of_an_account_cost_one_list(rows: Callable[..., list[Row]]) -> None:
    service = account(machine())
    assert len(rows(service, times=3)) == 3
    assert service.image_lists == 1


def test_without_a_look_nothing_is_asked(rows: Callable[..., list[Row]]) -> None:
    service = account(machine())
    shared_client.put(REF.endpoint, service)  # type: ignore[arg-type]
    assert describe.preview_image(DECLARED, None, look=False) is None
    assert service.image_lists == 0


FORBIDDEN = CredentialError(
    "listing supported images failed: HTTP 403 InsufficientAccountPermissions", pool=REF.endpoint
)


@pytest.mark.parametrize(
    "failure",
    [
        FORBIDDEN,
        TransientError(ServiceAnswer(500, "InternalError"), pool=REF.endpoint),
        PermanentError(ServiceAnswer(400, "InvalidUri"), pool=REF.endpoint),
    ],
    ids=["403", "500", "400"],
)
def test_a_failure_of_the_list_changes_no_plan_and_is_said_once(
    failure: Any, rows: Callable[..., list[Row]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(request_log.VARIABLE, str(tmp_path / "log"))
    service = account(machine())
    service.supported = failure
    (line, none), first, second = rows(service, times=2)
    assert line == f"could not check when the support of images ends: {failure.reason}"
    assert none is None
    assert first == second
    text, tail = first
    assert text.startswith("2 of 2 nodes behind")
    assert "image" not in text
    assert tail is not None
    assert (tail.what, tail.warnings, tail.image_ends) == ("renew", (NOT_CHECKED,), "")
    notes = [json.loads(each)["note"] for each in (tmp_path / "log").read_text(encoding="utf-8").splitlines()]
    assert notes.count(f"{REF.endpoint}: previews say nothing about the end of images: {failure}") == 1
    assert service.image_lists == 1, "a failed call is not repeated"


# --- the list ---


class Slow:
    """An account whose list comes when the test lets it."""

    def __init__(self) -> None:
        self.go, self.asked = threading.Event(), 0

    def list_supported_images(self) -> tuple[SupportedImage, ...]:
        self.asked += 1
        assert self.go.wait(30)
        return LISTED


def test_all_that_ask_at_once_share_one_call() -> None:
    slow = Slow()
    images = ImageList(REF.endpoint, lambda: slow, RealWaiter(CancellationToken()), timeout=30.0)
    with ThreadPoolExecutor(8) as pool:
        asked = [pool.submit(images.images) for _ in range(8)]
        slow.go.set()
        assert [each.result() for each in asked] == [LISTED] * 8
    assert (slow.asked, images.failure) == (1, "")


def test_a_silent_list_holds_up_one_row_only_and_serves_the_rows_after_it_has_come() -> None:
    slow = Slow()
    images = ImageList(REF.endpoint, lambda: slow, RealWaiter(CancellationToken()), timeout=0.05)
    assert images.images() is None
    assert images.failure == "Batch did not answer within 0s"
    assert images.images() is None, "the time is up for all rows"
    slow.go.set()
    started = images._started()
    assert started.result(30) == LISTED
    assert images.images() == LISTED
    assert slow.asked == 1


def test_a_client_that_cannot_sign_in_is_asked_for_once() -> None:
    asked = []

    def connect() -> Any:
        asked.append(1)
        raise CredentialError("no credential fits", pool=REF.endpoint)

    images = ImageList(REF.endpoint, connect, VirtualWaiter())
    assert [images.images(), images.images()] == [None, None]
    assert (images.failure, len(asked)) == ("no credential fits", 1)


def test_a_stop_ends_the_wait() -> None:
    slow, token = Slow(), CancellationToken()
    images = ImageList(REF.endpoint, lambda: slow, RealWaiter(token), timeout=30.0)
    threading.Timer(0.05, lambda: token.set(StopReason.CANCELED)).start()
    with pytest.raises(Canceled):
        images.images()
    slow.go.set()


def test_a_stop_while_the_list_is_read_leaves_the_plan(
    rows: Callable[..., list[Row]], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(ImageList):
        def images(self) -> None:
            raise Canceled(StopReason.CANCELED)

    describe.images_of.put(REF.endpoint, Stopped(REF.endpoint, Slow, VirtualWaiter()))
    ((text, tail),) = rows(account(machine()))
    assert text.startswith("2 of 2 nodes behind")
    assert tail is not None
    assert tail.warnings == (NOT_CHECKED,)


def test_a_tail_of_an_earlier_release_has_no_day() -> None:
    tail = MessageTail(REF.url, "image", "adopt")
    assert MessageTail.of(json.loads(str(tail)[len("[batch-os v1 ") : -1])) == replace(tail, image_ends="")


# --- another image ---


def test_a_move_looks_the_agent_up_once_and_says_when_the_new_image_ends(rows: Callable[..., list[Row]]) -> None:
    """The old image ends too, and that is why it goes."""
    wanted = ImageVersion.parse("latest", WantedImage(INSTEAD))
    goal = replace(DECLARED, target=wanted, policy=ImagePolicy("empty"))
    service = account(machine(), row(SERVER, end="2027-01-12T00:00:00Z"), row(INSTEAD))
    ((text, tail),) = rows(service, goal=goal)
    assert text.startswith("ANOTHER IMAGE: empties the pool: ")
    assert "node agent batch.node.windows amd64 as before" in text
    assert tail is not None
    assert (tail.warnings, tail.image_ends) == (("empties", "another image"), "")
    assert (tail.from_image, tail.to_image, tail.target) == (SERVER, INSTEAD, "latest")
    assert MessageTail.of(json.loads(str(tail)[len("[batch-os v1 ") : -1])) == tail
    assert service.image_lists == 1
    per_account.reset()
    ends = account(machine(), row(INSTEAD, end="2026-12-24T00:00:00Z"))
    ((text, tail),) = rows(ends, goal=goal)
    assert f"Batch support for image {INSTEAD} of pool {REF.pool_id} ends on 2026-12-24, in 26 days" in text
    assert tail is not None
    assert tail.warnings == ("empties", "another image", "image ending")


def test_a_move_without_the_list_is_shown_and_not_refused(rows: Callable[..., list[Row]]) -> None:
    service = account(machine())
    service.supported = transient(503, "ServerBusy", "busy")
    goal = replace(
        DECLARED, target=ImageVersion.parse("latest", WantedImage(INSTEAD)), policy=ImagePolicy("when_empty")
    )
    _account, (text, tail) = rows(service, goal=goal)
    assert "node agent batch.node.windows amd64 -> the one that Batch lists" in text
    assert tail is not None
    assert tail.warnings == ("another image", "image not checked")


def test_a_move_to_an_image_that_is_not_listed_is_refused(rows: Callable[..., list[Row]]) -> None:
    goal = replace(DECLARED, target=ImageVersion.parse("latest", WantedImage("a:b:c")), policy=ImagePolicy("empty"))
    assert rows(account(machine(INSTEAD)), goal=goal) == [], "the refusal is a failed check"
