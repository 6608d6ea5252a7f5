"""A wrong key and unreachable endpoints; that no key is ever seen is ``test_secrets``.

What else can be wrong with a key is in `tests/inprocess/test_credentials.py`.
"""

from __future__ import annotations

import base64
import secrets
from typing import TYPE_CHECKING

from tests.support import simulator as simulators
from tests.support.simulator import NEW, OLD, Simulator

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.stack import Stack

KEY = "AZURE_BATCH_ACCESS_KEY"


def random_key() -> str:
    return base64.b64encode(secrets.token_bytes(64)).decode()


def test_wrong_key(sim: Simulator, new_stack: Callable[..., Stack]) -> None:
    wrong = random_key()
    stack = new_stack(**{KEY: wrong})
    stack.declare(sim, NEW)
    failed = stack.up().failed()
    assert (
        f"Batch refused the shared key of account {sim.account} ({KEY}): HTTP 403 AuthenticationFailed" in failed.flat
    )
    assert "az batch account keys list" in failed.flat
    assert wrong not in failed.text
    looked, tried = sim.requests()
    assert looked["operation"] == "Pool_List", "the preview's look, which is a courtesy"
    assert tried["operation"] == "Pool_Get", "a permanent error ends it at once"
    assert "could not check the pool: " in failed.flat


def test_unreachable_endpoint_is_clear_and_bounded(sim: Simulator, stack: Stack) -> None:
    with simulators.nowhere() as closed:
        stack.declare(sim, NEW, account_endpoint=closed)
        failed = stack.up().failed()
    assert f"pool {closed}/pools/render: reading it failed" in failed.flat
    assert "given up after 4 tries" in failed.flat
    assert "Check that account_endpoint is right and reachable from here" in failed.flat
    assert failed.seconds < 40


def test_tls_is_verified_against_the_authority_that_the_user_names(new_stack: Callable[..., Stack]) -> None:
    """`--tls` gives the simulator a certificate that only who knows its authority can trust."""
    for secure in simulators.running_command(("--tls", "--speed", "60")):
        secure.pools(simulators.paas_pool())
        distrusting = new_stack("distrusting", **secure.environment)
        distrusting.declare(secure, NEW)
        failed = distrusting.up().failed()
        assert "CERTIFICATE_VERIFY_FAILED" in failed.flat
        assert "name the certificate file of that authority in REQUESTS_CA_BUNDLE" in failed.flat
        assert not secure.requests()
        trusting = new_stack("trusting", **secure.environment, REQUESTS_CA_BUNDLE=str(secure.authority))
        # Without a scheme it is https.
        trusting.declare(secure, NEW, account_endpoint=secure.endpoint.removeprefix("https://"))
        trusting.up().ok()
        assert trusting.outputs()["account_endpoint"] == secure.endpoint
        assert len(secure.upgrades()) == 1


def test_unreachable_endpoint_does_not_drop_the_resource_at_refresh(new_stack: Callable[..., Stack]) -> None:
    for sim in simulators.running_command():
        sim.pools(simulators.paas_pool())
        stack = new_stack(**sim.environment)
        stack.declare(sim, OLD)
        stack.up().ok()
        sim.stop()
        stack.refresh().failed()
        assert len(stack.resources()) == 1
