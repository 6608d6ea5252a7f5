"""What `batch-os probe` can promise without an account: it writes to its own pool only, and needs no simulator."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from batch_os_provider.cli.probe.questions import ON_RETURN, questions
from batch_os_provider.cli.probe.throwaway_pool import Findings, ProbeError, Reply, ThrowawayPool
from batch_os_provider.simulator.world.unknowns import BY_NAME

ENDPOINT = "https://farm.westeurope.batch.azure.com"
OWN = "batch-os-probe-1234"


@pytest.fixture
def pool(monkeypatch: pytest.MonkeyPatch) -> ThrowawayPool:
    monkeypatch.setenv("AZURE_BATCH_ACCOUNT", "farm")
    monkeypatch.setenv("AZURE_BATCH_ACCESS_KEY", "a2V5")
    return ThrowawayPool(ENDPOINT, OWN, 0, 0)


@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/pools/theirs"),
        ("POST", "/pools/theirs/resize"),
        ("PATCH", f"/pools/{OWN}5"),
        ("POST", f"/pools/{OWN}5/removenodes"),
        ("DELETE", "/jobs/theirs"),
        ("POST", f"/jobs/{OWN}5/tasks"),
        ("DELETE", "/pools"),
    ],
)
def test_it_sends_no_write_about_another_pool(pool: ThrowawayPool, method: str, path: str, is_ours: bool) -> None:
    pool.is_ours = is_ours
    with pytest.raises(ProbeError, match="nothing was sent"):
        pool.send(method, path)


@pytest.mark.parametrize("method", ["DELETE", "POST", "PATCH"])
def test_a_pool_of_its_name_that_it_did_not_make_is_another_pool(pool: ThrowawayPool, method: str) -> None:
    with pytest.raises(ProbeError, match="nothing was sent"):
        pool.send(method, pool.path)


def test_a_question_gets_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    findings = Findings()
    findings.answer("iaasPoolCode", "X", "400 X")
    findings.leave_open(["iaasPoolCode", "reimage"], "skipped")
    assert capsys.readouterr().out.splitlines() == [
        '{"finding": "iaasPoolCode", "switch": "iaasPoolCode", "value": "X", "seen": "400 X"}',
        '{"finding": "reimage", "switch": null, "value": null, "not answered": "skipped"}',
    ]


@pytest.mark.parametrize(
    ("reply", "outcome"), [(Reply(202), "accepted"), (Reply(409, "PoolBeingResized"), "PoolBeingResized")]
)
def test_an_outcome_is_spelled_like_a_switch(reply: Reply, outcome: str) -> None:
    assert reply.outcome == outcome


def test_each_question_has_a_switch_or_is_known_to_have_none(capsys: pytest.CaptureFixture[str]) -> None:
    names = {name for question in (*questions(), ON_RETURN) for name in question.names}
    Findings().leave_open(sorted(names), "")
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {line["switch"] for line in lines} - {None} == names & BY_NAME.keys()
    assert names - BY_NAME.keys() == {"nodeSelect", "staleIfMatch", "reimage", "reimagedVersion"}


def test_it_needs_nothing_of_the_simulator() -> None:
    program = (
        "import sys; import batch_os_provider.cli.probe.command; "
        "print([name for name in sys.modules if name.startswith(('batch_os_provider.simulator', 'starlette'))])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout == "[]\n"
