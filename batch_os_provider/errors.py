"""Every error that a person may meet, drawn as a tree.

An error ends a pipeline, often at night, and is read by someone who does not
know Batch. So each one says, in this order: which pool, what was seen, the service's own code
and request id for a support case, and on a line of its own what to do next. Errors are classed by HTTP status
and Batch code, never by the exception class of the azure client (with If-Match set it raises
``ResourceModifiedError`` for a 400, a 403, a 409 and a 503 alike).

::

    BatchOsError                 base of all; its text is complete, no traceback is needed
    ├── InputError               a value that can be judged without Batch is not allowed
    ├── CredentialError          no credential fits the endpoint, or Batch refused the one used
    ├── RefusedError             the decide table refuses: acting would be wrong or useless
    │   └── ApiRetiredError      Batch no longer answers the API that has upgradeos
    ├── PoolGoneError            no such pool, or it is being deleted
    ├── DeadlineError            the declared timeout ran out
    ├── StalledError             no node moved for as long as the program allows (stall_after)
    ├── UnhealthyError           more nodes are unhealthy than the program allows (max_unhealthy)
    ├── InterruptedRolloutError  ^C, or the engine is gone
    └── ServiceError             Batch (or the network) answered a call with an error
        ├── TransientError       worth trying again: 408, 429, 5xx, a lost connection
        │   └── TokenError       no Entra token right now, so nothing was sent to Batch
        ├── ConflictError        409, 412, "already there", a node that left: read again, decide again
        └── PermanentError       any other answer: trying again cannot help
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "ALREADY_THERE",
    "NODE_GONE",
    "NOT_EMPTY",
    "ApiRetiredError",
    "BatchOsError",
    "ConflictError",
    "CredentialError",
    "DeadlineError",
    "InputError",
    "InterruptedRolloutError",
    "PermanentError",
    "PoolGoneError",
    "RefusedError",
    "ServiceAnswer",
    "ServiceError",
    "StalledError",
    "TokenError",
    "TransientError",
    "UnhealthyError",
]


ALREADY_THERE = "PoolVersionEqualsUpgradeVersion"
"""The 400 that says "the pool is already with the given version": a conflict like a 409, not a mistake of ours."""


NODE_GONE = "NodeNotFound"
"""The 404 of a write that names a node which has left since it was seen: read again, decide again."""


NOT_EMPTY = "PropertyCannotBeUpdated"
"""A possible answer (400) to a change that needs an empty pool: it may have got a node since it was read."""


@dataclass(frozen=True)
class ServiceAnswer:
    """What a failed call brought back; every field is empty where nothing came.

    ``status`` is the HTTP status (0: no answer), ``code`` the Batch code, ``message`` the first
    line of the service's text, ``retry_after`` the seconds that the service asked to wait.
    """

    status: int = 0
    code: str = ""
    message: str = ""
    request_id: str = ""
    retry_after: float | None = None

    def __str__(self) -> str:
        if not self.status:
            return self.message or "no answer"
        words = f"HTTP {self.status}"
        if self.code:
            words += f" {self.code}"
        return f"{words}: {self.message}" if self.message else words


class BatchOsError(Exception):
    """Base of all errors of this package.

    Args:
        reason: what is wrong and why, one or more full sentences without the final stop.
        pool: the pool's URL, or the account's where no pool is meant.
        next_step: what the reader should do, one or more sentences without the final stop.
        answer: the service's answer, where there was one.

    ``tail`` ends the text, for programs (docs/preview.md); empty but for refusals in a preview.
    """

    def __init__(
        self, reason: str, *, pool: str = "", next_step: str = "", answer: ServiceAnswer | None = None
    ) -> None:
        self.reason = reason.rstrip(".")
        self.pool = pool
        self.next_step = next_step
        self.answer = answer
        self.tail = ""
        super().__init__(reason)

    def add(self, text: str) -> None:
        """Add to the reason: the same error, known better by the caller."""
        self.reason = f"{self.reason}; {text}"

    @property
    def code(self) -> str:
        """Batch's own error code, or ``""``."""
        return self.answer.code if self.answer else ""

    @property
    def request_id(self) -> str:
        """The request id to quote to Azure support, or ``""``."""
        return self.answer.request_id if self.answer else ""

    def __str__(self) -> str:
        what = "account" if "://" in self.pool and "/pools/" not in self.pool else "pool"
        text = f"{what} {self.pool}: {self.reason}." if self.pool else f"{self.reason}."
        marks = [f"Batch code {self.code}"] if self.code else []
        marks += [f"request id {self.request_id}"] if self.request_id else []
        text = f"{text} [{', '.join(marks)}]" if marks else text
        if self.next_step:
            # A line of its own: the CLI cuts a row at the first line's end and shows both lines below.
            text += f"\nNext: {self.next_step}."
        return f"{text} {self.tail}" if self.tail else text


class InputError(BatchOsError):
    """A value is not allowed, and no call is needed to know; what a program declares is a check failure instead."""


class CredentialError(BatchOsError):
    """No credential fits the endpoint, or Batch refused the one that was used (401, 403)."""


class RefusedError(BatchOsError):
    """The rollout refuses to act: acting would be wrong, or could not succeed. Nothing was written."""


class ApiRetiredError(RefusedError):
    """Batch no longer answers the API version that has upgradeos; nothing can change this pool's OS."""


class PoolGoneError(BatchOsError):
    """No such pool (404 PoolNotFound), or it is being deleted."""


class DeadlineError(BatchOsError):
    """The declared ``timeout`` ran out before the pool ran its target."""


class StalledError(BatchOsError):
    """No node moved for as long as the declared ``stall_after``; what runs in Batch goes on."""


class UnhealthyError(BatchOsError):
    """The pool runs its target, and more of its nodes are unhealthy than the declared ``max_unhealthy``."""


class InterruptedRolloutError(BatchOsError):
    """The wait was ended from outside: ^C, or the Pulumi engine is gone."""


class ServiceError(BatchOsError):
    """A call to Batch failed; ``answer`` says how."""

    def __init__(self, answer: ServiceAnswer, *, pool: str = "", doing: str = "", next_step: str = "") -> None:
        self.doing = doing
        reason = f"{doing} failed: {str(answer).rstrip('.')}" if doing else str(answer)
        super().__init__(reason, pool=pool, next_step=next_step, answer=answer)

    @property
    def reply(self) -> ServiceAnswer:
        """The service's answer, never None on this branch of the tree."""
        return self.answer or ServiceAnswer()


class TransientError(ServiceError):
    """Worth trying again after a pause: 408, 429, 5xx, a time-out or a lost connection.

    ``tries`` is how often in a row it may come before trying again is of no use; no bound of its own by default.
    """

    tries: float = math.inf


class TokenError(TransientError):
    """No Entra token could be had right now. The call was not made, so a write has not happened.

    Args:
        refused: the identity was refused (it worked before), so it gets one more try; else the way to it is broken.
    """

    def __init__(
        self, answer: ServiceAnswer, *, pool: str = "", doing: str = "", next_step: str = "", refused: bool = False
    ) -> None:
        super().__init__(answer, pool=pool, doing=doing, next_step=next_step)
        if refused:
            self.tries = 2


class ConflictError(ServiceError):
    """The pool is not as we read it (409, 412, ``ALREADY_THERE``, ``NODE_GONE``): read, then decide again."""


class PermanentError(ServiceError):
    """Trying again cannot help: any other 4xx, or an answer that is not Batch's protocol."""
