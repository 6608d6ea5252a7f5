"""`batch-os restore`: what it shows, what it asks, and how it ends without a write. Its steps are in ``test_empty``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from click.testing import CliRunner, Result

from batch_os_provider.batch.client import shared_client
from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.vm_pool import MARKER, Marker
from batch_os_provider.cli.restore.command import command, state_before, state_now
from batch_os_provider.runtime import per_account
from tests.unit.plurals import wrong_plurals
from tests.unit.rollout.doubles import REF, gone
from tests.unit.rollout.image_renewal.image_doubles import OLD, TARGET, FakeVmService, VmScript, VmState, pool_of
from tests.unit.rollout.image_renewal.looks import FORMULA, INTERVAL, SCALED, Look

HPC = "microsoft-dsvm:ubuntu-hpc:2204"
FIXED = EmptyMarker(3, 2, HPC, (OLD, TARGET))
HELD = EmptyMarker(1, 0, HPC, ("latest", TARGET), FORMULA, INTERVAL)
Restore = Callable[..., Result]


@pytest.fixture
def restore() -> Restore:
    """Run the command on a scripted pool."""
    per_account.reset()

    def run(state: VmState, *arguments: str, answer: str = "", **script: Any) -> Result:
        service = FakeVmService(state, VmScript(**script))
        shared_client.put(REF.endpoint, service)  # type: ignore[arg-type]
        result = CliRunner().invoke(command, [REF.url, *arguments], input=answer)
        assert not service.took, "nothing is written here"
        return result

    return run


def marked(text: object) -> VmState:
    """A pool with this text in the metadata entry."""
    return replace(pool_of(2), metadata=((MARKER, str(text)),))


def test_a_pool_without_a_marker_needs_nothing(restore: Restore) -> None:
    result = restore(pool_of(2))
    assert (result.exit_code, result.output) == (
        0,
        "nothing to restore: the pool has no marker of an unfinished rollout\n",
    )


def test_the_pool_now_and_before_are_shown_and_a_no_writes_nothing(restore: Restore) -> None:
    for answer in ("n\n", "\n"):
        result = restore(marked(FIXED), answer=answer)
        assert result.exit_code == 3
        assert f"pool {REF.url}\n  now:    2 nodes, target 2, image version latest, no formula\n" in result.output
        assert f"  before: target 3 and 2 spot nodes, image {HPC} version {OLD}, no formula\n" in result.output
        assert "Put the pool back to what it was before? [y/N]" in result.output
        assert "nothing was written" in result.output


def test_an_entry_of_others_and_a_pool_that_is_gone_are_errors(restore: Restore) -> None:
    result = restore(marked("owned by the render team"), "--yes")
    assert result.exit_code == 1
    assert "batch-os holds 'owned by the render team', which this provider did not write" in result.output
    missing = restore(pool_of(2), "--yes", reads={1: gone()})
    assert missing.exit_code == 2
    assert "could not be read: pool " in missing.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["https://a.westeurope.batch.azure.com"], "not a pool URL"),
        (["render"], "not a pool URL"),
        ([REF.url, "--timeout", "soon"], "--timeout: 'soon' "),
        ([REF.url, "--drain-timeout", "-1h"], "--drain-timeout: '-1h' "),
    ],
)
def test_bad_input_is_one_sentence_with_what_is_allowed(arguments: list[str], words: str) -> None:
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 1
    assert words in result.output
    assert "allowed: " in result.output


@pytest.mark.parametrize("count", [0, 1, 2])
def test_the_words_have_right_plurals(count: int) -> None:
    texts = [
        state_now(Look(sizes=(count, count), nodes=count).view),
        state_before(replace(FIXED, size=count, spot=count)),
        state_before(Marker(count, max(count, 1), "2026-11-24T00:00:00.000000Z")),
    ]
    assert not [wrong for text in texts for wrong in wrong_plurals(text)], texts


def test_a_formula_is_shown_as_it_is() -> None:
    assert state_now(Look(more=SCALED).view).endswith(f"scaled by {FORMULA!r} every {INTERVAL}")
    assert state_before(HELD) == f"target 1, image {HPC} version latest, scaled by {FORMULA!r} every {INTERVAL}"
