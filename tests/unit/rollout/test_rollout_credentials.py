"""Pins the loop while tokens cannot be renewed: one refusal passes, a second ends it; a broken way is given time."""

from __future__ import annotations

import pytest

from batch_os_provider.errors import CredentialError, ServiceAnswer, TokenError
from batch_os_provider.rollout.poll_schedule import FIRST_CONTACT_FAILURES, MAX_FAILURES
from tests.unit.rollout.doubles import REF, V24, V25, Script
from tests.unit.rollout.stage import play, refused

RESUMES = "Run `pulumi up` again: it continues from the pool's state and starts no second upgrade."


def no_token(*, refused: bool) -> TokenError:
    answer = ServiceAnswer(message="no token could be had from the client secret of client c-1: AADSTS7000222: Expired")
    return TokenError(answer, pool=REF.url, doing="reading it", next_step="Check ARM_CLIENT_SECRET", refused=refused)


def from_read(first: int, count: int, *, refused: bool) -> Script:
    reads = {number: no_token(refused=refused) for number in range(first, first + count)}
    return Script(reads=reads.get)


@pytest.mark.parametrize(("refused", "count"), [(True, 1), (False, MAX_FAILURES - 1)])
def test_a_renewal_that_fails_for_a_while_costs_nothing_but_time(refused: bool, count: int) -> None:
    undisturbed = play()
    played = play(script=from_read(4, count, refused=refused))
    assert played.end.pool.current_os_version == V25
    assert played.service.count("post") == 1
    # From where it was: not one look more than those that failed.
    assert played.service.count("read") <= undisturbed.service.count("read") + count
    said = [text for _, text in played.voice.said if "AADSTS7000222: Expired" in text]
    assert said
    assert all("; trying again in " in text for text in said)


def test_refusals_that_are_not_in_a_row_do_not_add_up() -> None:
    reads = {number: no_token(refused=True) for number in (3, 5, 7, 9)}
    assert play(script=Script(reads=reads)).end.pool.current_os_version == V25


@pytest.mark.parametrize(("is_refused", "tries"), [(True, 2), (False, MAX_FAILURES)])
def test_a_renewal_that_keeps_failing_ends_it_and_says_what_runs_and_what_to_do(is_refused: bool, tries: int) -> None:
    played = refused(TokenError, script=from_read(4, 1000, refused=is_refused))
    assert "no token could be had from the client secret of client c-1: AADSTS7000222: Expired" in played.text
    assert f"given up after {tries} tries in " in played.text
    assert "; this came after " in played.text
    assert f"; the upgrade {V24} -> {V25} goes on in Batch." in played.text
    assert f"Check ARM_CLIENT_SECRET. {RESUMES}" in played.text
    assert played.service.count("read") == 3 + tries


def test_a_way_to_tokens_that_is_broken_from_the_start_is_given_up_sooner() -> None:
    played = refused(TokenError, script=from_read(1, 1000, refused=False))
    assert played.service.count("read") == FIRST_CONTACT_FAILURES
    assert "goes on in Batch" not in played.text
    assert RESUMES not in played.text


def test_a_post_without_a_token_was_not_sent_and_is_made_again() -> None:
    played = play(script=Script(posts={1: no_token(refused=False)}))
    assert played.service.upgrades == [V25]
    assert played.service.count("post") == 2


def test_a_post_that_never_gets_a_token_is_not_said_to_run() -> None:
    played = refused(TokenError, script=Script(posts={number: no_token(refused=True) for number in range(1, 99)}))
    assert played.service.count("post") == 2
    assert "may run in Batch" not in played.text


def test_a_credential_that_is_refused_while_waiting_ends_it_at_once() -> None:
    denied = CredentialError("Batch refused the shared key", pool=REF.url, next_step="Check the key")
    played = refused(CredentialError, script=Script(reads={4: denied}))
    assert played.service.count("read") == 4, "not one call more"
    assert (
        f"; this came after {round(played.waiter.now())}s; the upgrade {V24} -> {V25} goes on in Batch." in played.text
    )
    assert f"Check the key. {RESUMES}" in played.text
