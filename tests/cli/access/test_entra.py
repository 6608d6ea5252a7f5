"""Entra on the real CLI, over TLS: tokens that end during a wait, keys and secrets that are rotated under it."""

from __future__ import annotations

import base64
import re
import secrets
from typing import TYPE_CHECKING

import pytest

from tests.support import simulator as simulators
from tests.support.simulator import NEW, OLD, SHORT_NEW, SHORT_OLD, Simulator, paas_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.stack import Stack

NOBODY = {"AZURE_BATCH_ACCOUNT": "", "AZURE_BATCH_ACCESS_KEY": ""}
KEY = "AZURE_BATCH_ACCESS_KEY"
GOES_ON = f"the upgrade {OLD} -> {NEW} goes on in Batch."
RESUMES = "Run `pulumi up` again: it continues from the pool's state and starts no second upgrade."


@pytest.fixture
def secure() -> Iterator[Simulator]:
    """A frozen simulator over TLS with one pool."""
    for simulator in simulators.running_command(("--tls", "--speed", "0")):
        simulator.pools(paas_pool())
        yield simulator


def test_a_token_that_ends_during_the_wait_is_renewed_with_a_fresh_assertion_and_the_wait_goes_on(
    secure: Simulator, new_stack: Callable[..., Stack]
) -> None:
    job = secure.by_oidc("job", "ACTIONS_ID_TOKEN_REQUEST", lifetime=1)
    stack = new_stack(**{**NOBODY, **job})
    stack.declare(secure, NEW)
    running = stack.start_up()
    wait_until(secure.upgrades, "the POST")
    signed_in = len(secure.tokens("clientAssertion"))
    wait_until(lambda: len(secure.tokens("clientAssertion")) >= signed_in + 2, "tokens renewed during the wait")
    secure.speed(120)
    done = running.wait().ok()
    assert re.search(rf"done, 3 of 3 nodes back, \w+; {SHORT_OLD} -> {SHORT_NEW}", done.flat)
    assert len(secure.upgrades()) == 1
    assert {entry["status"] for entry in [*secure.requests(), *secure.tokens(status=None)]} <= {200, 202}
    used = [entry["assertion"] for entry in secure.tokens("clientAssertion")]
    assert len(set(used)) == len(used), "an assertion was used twice"


def test_a_renewal_that_keeps_being_refused_ends_the_wait_and_the_next_up_joins(
    secure: Simulator, new_stack: Callable[..., Stack]
) -> None:
    # Tokens of less than five minutes are renewed at every request.
    app = secure.by_secret("app", lifetime=200)
    stack = new_stack(**{**NOBODY, **app})
    stack.declare(secure, NEW)
    running = stack.start_up()
    wait_until(secure.upgrades, "the POST")
    secure.principal("app", secret=secrets.token_urlsafe(32))
    failed = running.wait().failed()
    assert (
        "reading it failed: could not get a token from the client secret of client app (ARM_CLIENT_SECRET): "
        "AADSTS7000215: Invalid client secret provided; given up after 2 tries in " in failed.flat
    )
    assert GOES_ON in failed.flat
    assert f"Check ARM_TENANT_ID, ARM_CLIENT_ID and ARM_CLIENT_SECRET. {RESUMES}" in failed.flat
    assert app["ARM_CLIENT_SECRET"] not in failed.text

    secure.principal("app", secret=app["ARM_CLIENT_SECRET"])
    secure.speed(120)
    stack.up().ok()
    assert stack.outputs()["current_os_version"] == NEW
    assert len(secure.upgrades()) == 1


def test_a_key_that_is_rotated_during_the_wait_is_said_at_once_and_the_next_up_joins(
    sim: Simulator, stack: Stack
) -> None:
    fresh = base64.b64encode(secrets.token_bytes(64)).decode()
    stack.declare(sim, NEW)
    running = stack.start_up()
    wait_until(sim.upgrades, "the POST")
    sim.put("state", {**sim.get("state"), "account": {"name": sim.account, "key": fresh}})
    failed = running.wait().failed()
    assert (
        f"Batch refused the shared key of account {sim.account} ({KEY}): HTTP 403 AuthenticationFailed" in failed.flat
    )
    assert "; it was accepted before, so it has been rotated or withdrawn since; this came after " in failed.flat
    assert GOES_ON in failed.flat
    assert "az batch account keys list" in failed.flat
    assert RESUMES in failed.flat
    refusals = [entry["operation"] for entry in sim.requests() if entry["status"] == 403]
    assert refusals in (["Pool_Get"], ["ComputeNode_List", "Pool_Get"]), "a read that is refused is the last call"

    stack.environment[KEY] = fresh
    sim.speed(120)
    stack.up().ok()
    assert stack.outputs()["current_os_version"] == NEW
    assert len(sim.upgrades()) == 1
