"""What `batch-os watch` makes of an account: which pools move, how far, for how long, and what it does about faults."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner
from rich.console import Console

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.pool import Node, Pool
from batch_os_provider.batch.vm_pool import VmNode, VmPool
from batch_os_provider.cli.watch import command
from batch_os_provider.cli.watch.command import Lines, Picture, Watched, follow
from batch_os_provider.cli.watch.moving import Moving, poll
from batch_os_provider.errors import (
    BatchOsError,
    CredentialError,
    PermanentError,
    PoolGoneError,
    ServiceAnswer,
    TransientError,
)
from tests.support.simulator import paas_pool, vm_pool

ENDPOINT = "https://farm.westeurope.batch.azure.com"
OLD, NEW = "WA-GUEST-OS-7.57_202510-01", "WA-GUEST-OS-7.58_202511-01"
STARTED = datetime(2026, 11, 1, 12, tzinfo=UTC)
START_TEXT = "2026-11-01T12:00:00Z"
UBUNTU = {"publisher": "microsoft-dsvm", "offer": "ubuntu-hpc", "sku": "2204", "version": "latest"}
RESIZING = {"allocationState": "resizing", "allocationStateTransitionTime": START_TEXT}
DENIED = CredentialError("Batch refused the key", pool=ENDPOINT)


def answered(status: int, code: str, message: str, retry_after: float | None = None) -> TransientError:
    return TransientError(ServiceAnswer(status, code, message, "", retry_after), pool=ENDPOINT, doing="listing pools")


BUSY = answered(503, "ServerBusy", "The server is busy.")
THROTTLED = answered(429, "TooManyRequests", "Slow down.", 45.0)
UNKNOWN_HOST = answered(0, "", "Failed to resolve 'farm.westeurope.batch.azure.com'")


def upgrading(pool_id: str = "render", *, back: int = 2, nodes: int = 6, state: str = "reimaging") -> dict[str, Any]:
    """A Cloud Services pool of which some nodes are back."""
    versions = {"osFamily": "7", "currentOSVersion": OLD, "targetOSVersion": NEW}
    pool = paas_pool(pool_id, nodes=nodes, state="upgrading", stateTransitionTime=START_TEXT)
    pool["cloudServiceConfiguration"] = versions
    for number, node in enumerate(pool["nodes"]):
        is_back = number < back
        node |= {"state": "idle" if is_back else state, "lastBootTime": f"2026-11-01T{13 if is_back else 11}:00:00Z"}
    return pool


def renewing(pool_id: str, old: list[str | None], added: list[str | None], size: int, **more: Any) -> dict[str, Any]:
    """A VM pool with a marker: nodes that were there before, and nodes that were added; None tells no version."""
    note = {"name": "batch-os", "value": f'{{"v":1,"size":{size},"surge":2,"newest":"2026-11-01T11:59:00.000000Z"}}'}
    pool = vm_pool(pool_id, nodes=len(old) + len(added), metadata=[note], **more)
    pool["virtualMachineConfiguration"]["imageReference"] = UBUNTU
    for number, (node, text) in enumerate(zip(pool["nodes"], [*old, *added], strict=True)):
        came = "2026-10-01T00:00:00Z" if number < len(old) else START_TEXT
        node |= {"allocationTime": came, "isDedicated": True}
        node["virtualMachineInfo"] = {"imageReference": {**UBUNTU, "exactVersion": text}}
    return pool


@dataclass
class FakeAccount:
    """An account that looks as the next of these says, the last for good; an error is raised by the first list."""

    looks: list[list[dict[str, Any]] | BatchOsError]
    gone: set[str] = field(default_factory=set)
    calls: list[str] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)

    def list_vm_pools(self) -> tuple[VmPool, ...]:
        self.calls.append("list_vm_pools")
        next_look = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(next_look, BatchOsError):
            raise next_look
        self.bodies = next_look
        return tuple(VmPool.from_json(PoolRef(ENDPOINT, each["id"]), self._newest(each)) for each in self.bodies)

    @staticmethod
    def _newest(body: dict[str, Any]) -> dict[str, Any]:
        """The newest API version hides the retired configuration."""
        return {key: value for key, value in body.items() if key != "cloudServiceConfiguration"}

    def list_pools(self) -> tuple[Pool, ...]:
        self.calls.append("list_pools")
        return tuple(Pool.from_json(PoolRef(ENDPOINT, each["id"]), each) for each in self.bodies)

    def _nodes(self, ref: PoolRef) -> list[dict[str, Any]]:
        self.calls.append(f"nodes of {ref.pool_id}")
        if ref.pool_id in self.gone:
            raise PoolGoneError("it is gone", pool=ref.url)
        nodes: list[dict[str, Any]] = next(each for each in self.bodies if each["id"] == ref.pool_id)["nodes"]
        return nodes

    def list_nodes(self, ref: PoolRef) -> tuple[Node, ...]:
        return tuple(Node.from_json(each) for each in self._nodes(ref))

    def list_vm_nodes(self, ref: PoolRef) -> tuple[VmNode, ...]:
        return tuple(VmNode.from_json(each) for each in self._nodes(ref))


A, B = "22.04.202410020", "22.04.202501070"


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (
            upgrading(),
            Moving(
                "render",
                "upgrading",
                "2 of 6 nodes back",
                "4 reimaging",
                "7.57_202510-01 -> 7.58_202511-01",
                STARTED,
            ),
        ),
        (
            upgrading("Odd_name-1", back=1, nodes=1),
            Moving("Odd_name-1", "upgrading", "1 of 1 nodes back", "", "7.57_202510-01 -> 7.58_202511-01", STARTED),
        ),
        (
            {**upgrading(nodes=0), "stateTransitionTime": None},
            Moving("render", "upgrading", "no nodes", "", "7.57_202510-01 -> 7.58_202511-01"),
        ),
        (
            vm_pool("grow", nodes=1, currentDedicatedNodes=1, targetDedicatedNodes=3, **RESIZING),
            Moving("grow", "resizing", "1 of 3 nodes", since=STARTED),
        ),
        (
            paas_pool("shrink", nodes=3, currentDedicatedNodes=3, targetDedicatedNodes=1, **RESIZING),
            Moving("shrink", "resizing", "3 of 1 node", since=STARTED),
        ),
        (
            renewing("hpc", [A, A], [B], 3),
            Moving("hpc", "renewing", "2 of 3 nodes behind", "", f"{A} -> {B}", STARTED),
        ),
        # The old node that is new enough already is not behind.
        (
            renewing("hpc", [A, B], [B], 3),
            Moving("hpc", "renewing", "1 of 3 nodes behind", "", f"{A} -> {B}", STARTED),
        ),
        # Nodes of a pool on `latest` may tell no number: then those that were there before are behind.
        (
            renewing("hpc", [None, None], [None], 3),
            Moving("hpc", "renewing", "2 of 3 nodes behind", versions="oldest node 2026-10-01", since=STARTED),
        ),
        (renewing("hpc", [A, A], [], 2), Moving("hpc", "renewing", "2 of 2 nodes behind", versions=A)),
        (
            renewing("hpc", [A, A], [], 2, targetDedicatedNodes=4, **RESIZING),
            Moving("hpc", "renewing", "2 of 2 nodes behind", "resizing, 2 of 4 nodes", A, STARTED),
        ),
    ],
)
def test_what_moves_and_how_far(pool: dict[str, Any], expected: Moving) -> None:
    assert poll(FakeAccount([[pool]])) == (expected,)


def test_what_does_not_move_is_not_shown_and_only_what_moves_has_its_nodes_read() -> None:
    calm = [vm_pool("calm"), vm_pool("owned", metadata=[{"name": "batch-os", "value": "owned by us"}])]
    account = FakeAccount([calm])
    assert poll(account) == ()
    assert account.calls == ["list_vm_pools"], "VM pools need no second list"
    deleting = renewing("gone", [A], [], 1) | {"state": "deleting"}
    account = FakeAccount([[*calm, paas_pool("still"), deleting, upgrading("b"), renewing("A", [A], [B], 1)]])
    assert [each.pool_id for each in poll(account)] == ["A", "b"]
    assert account.calls[:2] == ["list_vm_pools", "list_pools"]
    assert sorted(account.calls[2:]) == ["nodes of A", "nodes of b"]


def test_a_pool_that_goes_between_two_reads_is_left_out() -> None:
    account = FakeAccount([[upgrading("a"), upgrading("b"), renewing("c", [A], [B], 1)]], gone={"a", "c"})
    assert [each.pool_id for each in poll(account)] == ["b"]


class Stage:
    """A clock, a sleep that ends after so many looks, and a screen that keeps what it is shown."""

    def __init__(self, looks: int) -> None:
        self.now = 0.0
        self.left = looks
        self.pauses: list[float] = []
        self.shown: list[Watched] = []

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds
        self.left -= 1
        if not self.left:
            raise KeyboardInterrupt

    def show(self, watched: Watched) -> None:
        self.shown.append(watched)

    def run(self, account: FakeAccount, began: datetime = STARTED, *, once: bool = False) -> None:
        follow(
            account,
            self,
            pause=self.pause,
            clock=lambda: self.now,
            now=lambda: began + timedelta(seconds=self.now),
            chance=lambda: 0.5,
            once=once,
        )


def followed(*looks: list[dict[str, Any]] | BatchOsError, began: datetime = STARTED) -> Stage:
    """All looks, and then ^C."""
    stage = Stage(len(looks))
    with pytest.raises(KeyboardInterrupt):
        stage.run(FakeAccount(list(looks)), began)
    return stage


def test_a_change_is_timed_by_the_service_or_else_by_us() -> None:
    late = STARTED + timedelta(minutes=10)
    assert followed([upgrading()], [upgrading()], began=late).shown[1].pools[0][1] == 605.0
    ahead = STARTED - timedelta(hours=1)
    assert followed([upgrading()], [upgrading()], began=ahead).shown[1].pools[0][1] == 5.0, "a clock that runs behind"
    unknown = followed([renewing("hpc", [A], [], 1)], [renewing("hpc", [A], [], 1)])
    assert [shown.pools[0][1] for shown in unknown.shown] == [None, 5.0]


@pytest.mark.parametrize(
    ("fault", "said", "pause"),
    [
        (BUSY, "HTTP 503 ServerBusy: The server is busy", 5.0),
        (THROTTLED, "HTTP 429 TooManyRequests: Slow down", 45.0),
        (UNKNOWN_HOST, "Failed to resolve", 5.0),
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_faults_that_pass_are_said_and_survived(fault: TransientError, said: str, pause: float, first: bool) -> None:
    before: list[list[dict[str, Any]] | BatchOsError] = [] if first else [[upgrading()]]
    stage = followed(*before, fault, [upgrading()])
    failed, good = stage.shown[-2:]
    assert said in failed.trouble
    assert failed.trouble.endswith(f"trying again in {int(pause)}s")
    assert len(failed.pools) == len(before), "what was last seen stays"
    assert (good.trouble, len(good.pools)) == ("", 1)
    assert stage.pauses[-2] == pause, "never sooner than the service asks"


def test_the_pause_grows_with_each_failure() -> None:
    assert followed(*[BUSY] * 6, []).pauses == [5.0, 5.0, 5.0, 8.0, 16.0, 30.0, 5.0]


def test_what_does_not_pass_ends_it_at_the_first_look_and_not_later() -> None:
    refused = PermanentError(ServiceAnswer(404, "AccountNotFound", "no"), pool=ENDPOINT, doing="listing pools")
    for error in (DENIED, refused):
        with pytest.raises(type(error)):
            Stage(3).run(FakeAccount([error]))
        stage = followed([upgrading()], error, [upgrading()])
        assert "trying again in 30s" in stage.shown[1].trouble


def test_once_is_one_look() -> None:
    stage = Stage(3)
    stage.run(FakeAccount([[upgrading()]]), once=True)
    assert (len(stage.shown), stage.pauses) == (1, [])
    with pytest.raises(TransientError):
        stage.run(FakeAccount([BUSY]), once=True)


def test_a_log_has_a_line_when_something_has_changed() -> None:
    said: list[str] = []
    clock = [0.0]
    lines = Lines(ENDPOINT, said.append, lambda: clock[0])
    moving = Moving("render", "upgrading", "0 of 6 nodes back", "1 reimaging", "7.57_202510-01 -> 7.58_202511-01")
    for seconds, news in ((0, "0 of 6"), (5, "0 of 6"), (10, "1 of 6"), (30, "2 of 6"), (35, "3 of 6"), (70, "3 of 6")):
        clock[0] = float(seconds)
        lines.show(Watched(((replace(moving, news=f"{news} nodes back"), 60.0 + seconds),)))
    trouble = "could not be read: HTTP 503 ServerBusy; trying again in "
    for pause in ("5s", "8s"):
        lines.show(Watched(trouble=trouble + pause))
    for ended in ((moving,), ()):
        lines.show(Watched((), ended))
    end = "1 reimaging; 7.57_202510-01 -> 7.58_202511-01"
    assert said == [
        f"render: upgrading, 0 of 6 nodes back, 1m00s; {end}",
        f"render: upgrading, 2 of 6 nodes back, 1m30s; {end}",
        f"render: upgrading, 3 of 6 nodes back, 2m10s; {end}",
        f"{trouble}5s",
        "render: upgrading has ended",
        f"{ENDPOINT}: no pool is being upgraded, renewed or resized",
    ]


def drawn(watched: Watched, width: int) -> str:
    out = io.StringIO()
    Picture(Console(file=out, width=width, highlight=False), ENDPOINT).show(watched)
    return out.getvalue()


LONG = "a-pool-with-a-name-of-sixty-four-characters_0123456789-012345678"


@pytest.mark.parametrize("width", [40, 60, 79, 80, 100, 120])
def test_it_can_be_read_at_every_width(width: int) -> None:
    pools = (
        Moving("render", "upgrading", "112 of 120 nodes back", "8 reimaging", "7.57_202510-01 -> 7.58_202511-01"),
        Moving(LONG, "renewing", "2 of 4 nodes behind", "resizing, 4 of 6 nodes", f"{A} -> {B}"),
    )
    text = drawn(Watched(tuple((each, 7500.0) for each in pools), trouble="could not be read: HTTP 503"), width)
    assert all(len(line) <= width for line in text.splitlines())
    squeezed = "".join(text.split())
    for word in ("2h05m", "7.57_202510-01", "7.58_202511-01", A, B, "render", "upgrading"):
        assert word in text, f"{word} is cut or broken"
    assert "112of120nodesback" in squeezed or width >= 80, "a cell may wrap, at a blank"
    assert "couldnotberead:HTTP503" in squeezed
    assert "…" not in text


class Called:
    """The command with an account in the place of the real client."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, account: FakeAccount | BatchOsError) -> None:
        def connect(_endpoint: str) -> FakeAccount:
            if isinstance(account, BatchOsError):
                raise account
            return account

        monkeypatch.setattr(command, "shared_client", connect)

    def __call__(self, *arguments: str) -> tuple[int, str]:
        done = CliRunner().invoke(command.command, [ENDPOINT, *arguments])
        return done.exit_code, done.output


def test_the_command_ends_as_it_says(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Called(monkeypatch, FakeAccount([[]]))("--once") == (
        0,
        f"{ENDPOINT}\nno pool is being upgraded, renewed or resized\n",
    )
    code, text = Called(monkeypatch, FakeAccount([BUSY]))("--once")
    assert (code, "could not be read: account" in text) == (2, True)
    code, text = Called(monkeypatch, DENIED)()
    assert (code, "Batch refused the key" in text) == (2, True)

    def interrupted(_seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(command.time, "sleep", interrupted)
    code, text = Called(monkeypatch, FakeAccount([[upgrading()]]))()
    assert code == 0
    assert text.startswith("render: upgrading, 2 of 6 nodes back, ")
