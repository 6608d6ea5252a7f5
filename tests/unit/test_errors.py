"""Pins the text of every error, and that the tree in the docstring is the tree of the classes."""

from __future__ import annotations

import inspect
import re

import pytest

from batch_os_provider import errors
from batch_os_provider.errors import BatchOsError, RefusedError, ServiceAnswer, ServiceError, TransientError

POOL = "https://acct.westeurope.batch.azure.com/pools/a"


def drawn_tree() -> dict[str, str | None]:
    """Class -> parent, as the module's docstring draws it."""
    parents: dict[str, str | None] = {}
    path: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"^( {4}(?:[│ ] {3})*)(?:[├└]── )?([A-Z]\w+Error)\b", line)
        if found is None:
            continue
        depth = 0 if "──" not in line else (len(found[1]) - 4) // 4 + 1
        path[depth:] = [found[2]]
        parents[found[2]] = path[depth - 1] if depth else None
    return parents


def test_the_drawn_tree_is_the_real_one() -> None:
    real = {
        name: one.__mro__[1].__name__ if one.__mro__[1] is not Exception else None
        for name, one in inspect.getmembers(errors, inspect.isclass)
        if issubclass(one, Exception)
    }
    assert drawn_tree() == real


def test_every_error_says_when_it_is_raised() -> None:
    for name in drawn_tree():
        assert inspect.getdoc(getattr(errors, name))


def test_an_error_names_pool_seen_code_request_id_and_next_step_in_this_order() -> None:
    answer = ServiceAnswer(409, "PoolBeingResized", "The pool is being resized", "guid-1")
    error = RefusedError("it is being resized", pool=POOL, next_step="Run `pulumi up` again", answer=answer)
    assert str(error) == (
        f"pool {POOL}: it is being resized. [Batch code PoolBeingResized, request id guid-1]\n"
        "Next: Run `pulumi up` again."
    )
    assert (error.code, error.request_id) == ("PoolBeingResized", "guid-1")


def test_an_error_leaves_out_what_it_does_not_know() -> None:
    assert str(BatchOsError("no")) == "no."
    assert str(BatchOsError("no", pool=POOL)) == f"pool {POOL}: no."
    assert str(BatchOsError("no", answer=ServiceAnswer(request_id="r"))) == "no. [request id r]"
    assert (BatchOsError("no").code, BatchOsError("no").request_id) == ("", "")


def test_what_is_added_is_part_of_what_was_seen() -> None:
    error = BatchOsError("no", next_step="Wait")
    error.add("given up after 4 tries")
    assert str(error) == "no; given up after 4 tries.\nNext: Wait."


@pytest.mark.parametrize(
    ("answer", "text"),
    [
        (ServiceAnswer(), "no answer"),
        (ServiceAnswer(message="Connection reset by peer"), "Connection reset by peer"),
        (ServiceAnswer(503), "HTTP 503"),
        (ServiceAnswer(503, "ServerBusy"), "HTTP 503 ServerBusy"),
        (ServiceAnswer(503, "ServerBusy", "The server is busy"), "HTTP 503 ServerBusy: The server is busy"),
    ],
)
def test_an_answer_reads_as_one_phrase(answer: ServiceAnswer, text: str) -> None:
    assert str(answer) == text


def test_a_service_error_says_what_was_being_done() -> None:
    answer = ServiceAnswer(503, "ServerBusy", "The server is busy.", "guid")
    error = TransientError(answer, pool=POOL, doing="reading it", next_step="Run it again")
    assert str(error) == (
        f"pool {POOL}: reading it failed: HTTP 503 ServerBusy: The server is busy. "
        "[Batch code ServerBusy, request id guid]\nNext: Run it again."
    )
    assert error.reply is answer
    assert error.doing == "reading it"
    assert str(ServiceError(ServiceAnswer())) == "no answer."
