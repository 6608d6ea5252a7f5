"""What the state machines and the bad input have found, each as the short story that it comes down to.

A failure of `make soak` ends here, as a test with a name that runs every time.
"""

from __future__ import annotations

import json

import pytest

from batch_os_provider.errors import BatchOsError, ConflictError, TransientError
from batch_os_provider.simulator.world.vm_images import newest
from tests.inprocess.machine import RENDER
from tests.inprocess.test_bad_answers import CALLS, Answers, client
from tests.inprocess.test_bad_requests import Caller
from tests.support.inprocess import Account
from tests.support.simulator import paas_pool
from tests.unit.rollout.doubles import VirtualWaiter


def test_a_conflict_on_a_read_says_what_to_do_next() -> None:
    account = Account(VirtualWaiter(), {"pools": [paas_pool()]})
    account.faults.add({"effect": {"kind": "status", "status": 412}})
    with pytest.raises(ConflictError) as caught:
        account.client().get_pool(RENDER)
    assert "run the command again" in str(caught.value)


@pytest.mark.parametrize(
    ("received", "told"),
    [
        pytest.param(b"503 Busy\r\nRetry-After: \xb2\r\n\r\n", "HTTP 503", id="Retry-After is a superscript"),
        pytest.param(b"503 Busy\r\nRetry-After: " + b"9" * 400 + b"\r\n\r\n", "HTTP 503", id="Retry-After is endless"),
        pytest.param(b"200 OK\r\n\r\n" + b"[" * 100_000, "cannot be read", id="brackets without end"),
        pytest.param(
            b"200 OK\r\nContent-Length: -3\r\nContent-Length: -3\r\n\r\n{}", "cannot be read", id="no such length"
        ),
    ],
)
def test_an_answer_that_nobody_can_read_is_a_call_that_failed(received: bytes, told: str) -> None:
    service = client(Answers(b"HTTP/1.1 " + received))
    for name in ("get_pool", "upgrade_os", "resize"):
        with pytest.raises(TransientError, match=told) as caught:
            CALLS[name](service)
        assert caught.value.next_step


def test_an_error_whose_values_have_another_shape_is_still_told() -> None:
    service = client(Answers(b'HTTP/1.1 409 Conflict\r\n\r\n{"code": "PoolBeingResized", "values": ["steady"]}'))
    with pytest.raises(ConflictError) as caught:
        service.get_pool(RENDER)
    assert caught.value.code == "PoolBeingResized"


def test_pages_on_another_host_say_what_to_do_next() -> None:
    body = json.dumps({"value": [], "odata.nextLink": "http://elsewhere/pools"}).encode()
    with pytest.raises(BatchOsError, match="on another host") as caught:
        client(Answers(b"HTTP/1.1 200 OK\r\n\r\n" + body)).list_nodes(RENDER)
    assert caught.value.next_step


@pytest.mark.parametrize("since", ["%C2%B2", "9" * 5000, "-1"])
def test_audit_since_what_is_no_number_is_refused(since: str) -> None:
    status, answer = Caller()("GET", "/_simulator/audit", f"since={since}")
    assert (status, json.loads(answer)) == (400, {"error": "since is the seq of an audit entry."})


def test_an_image_version_of_strange_digits_is_a_version_like_any_other() -> None:
    image = {"publisher": "p", "offer": "o", "sku": "s", "versions": [{"version": "1.²"}, {"version": "9" * 5000}]}
    assert newest([image], {"publisher": "p", "offer": "o", "sku": "s"}, 0) == "1.²"
