"""All errors of this package as a tree.

An error ends a pipeline, often at night, and its reader may not know Batch. So each error contains, in this order: the
pool, the reason, Batch's code and the request id for a support case, and on a separate line what to do next.

The HTTP status and the Batch code decide on the class of an error. The exception class of the azure client does not:
with If-Match, the client raises ``ResourceModifiedError`` for a 400, a 403, a 409 and a 503 alike.

::

    BatchOsError                 base of all; its text is complete without a traceback
    ├── InputError               a value is not allowed, which is clear without Batch
    ├── CredentialError          no credential fits the endpoint, or Batch refused the credential
    ├── RefusedError             a rollout refuses: a write would be wrong or useless
    │   └── ApiRetiredError      Batch no longer answers the API version with upgradeos
    ├── PoolGoneError            the pool does not exist, or Batch is deleting it
    ├── DeadlineError            the declared timeout is over
    ├── StalledError             no node changed for the declared stall_after
    ├── UnhealthyError           more nodes are unhealthy than the declared max_unhealthy
    ├── InterruptedRolloutError  ^C, or the engine is gone
    └── ServiceError             Batch (or the network) answered a call with an error
        ├── TransientError       a retry may help: 408, 429, 5xx, a lost connection
        │   └── TokenError       no Entra token now, so nothing was sent to Batch
        ├── ConflictError        409, 412, "already there", a removed node: read again, decide again
        └── PermanentError       any other answer; a retry cannot help
"""

from __future__ import annotations

import math
from dataclasses import dataclass

__all__ = [
    "ALREADY_THERE",
    "NODE_GONE",
    "NOT_EMPTY",
    "TRANSIENT",
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
"""The 400 with "the pool is already with the given version": a conflict like a 409, not a wrong request."""


NODE_GONE = "NodeNotFound"
"""The 404 of a write to a node that Batch has removed since the last read: read again, decide again."""


NOT_EMPTY = "PropertyCannotBeUpdated"
"""A possible 400 for a change that needs an empty pool: the pool may have a node since the last read."""


@dataclass(frozen=True)
class ServiceAnswer:
    """The answer to a failed call; a field is empty if the answer lacks it.

    ``status`` is the HTTP status (0 without an answer), ``code`` the Batch code, ``message`` the first line of the
    service's text, and ``retry_after`` the seconds that the service asks to wait.
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
        pool: the URL of the pool, or of the account if the error is not about a pool.
        next_step: what the reader should do: one or more sentences without the final stop.
        answer: the service's answer; None without one.

    ``tail`` ends the text, for programs (docs/preview.md). It is empty except for refusals in a preview.
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
        end = "" if self.reason.endswith("?") else "."
        text = f"{what} {self.pool}: {self.reason}{end}" if self.pool else f"{self.reason}{end}"
        marks = [f"Batch code {self.code}"] if self.code else []
        marks += [f"request id {self.request_id}"] if self.request_id else []
        text = f"{text} [{', '.join(marks)}]" if marks else text
        if self.next_step:
            # On a separate line, since the CLI's row shows only the first line; Diagnostics shows both.
            text += f"\nNext: {self.next_step}."
        return f"{text} {self.tail}" if self.tail else text


class InputError(BatchOsError):
    """A value is not allowed, which is clear without a call. A wrong input of a program is a check failure instead."""


class CredentialError(BatchOsError):
    """No credential fits the endpoint, or Batch refused the one that was used (401, 403)."""


class RefusedError(BatchOsError):
    """The rollout refuses to act, because a write would be wrong or could not succeed.

    Its reason says what was written before, and whether that is undone.
    """


class ApiRetiredError(RefusedError):
    """Batch no longer answers the API version with upgradeos, so no program can change this pool's OS."""


class PoolGoneError(BatchOsError):
    """The pool does not exist (404 PoolNotFound), or Batch is deleting it."""


class DeadlineError(BatchOsError):
    """The declared ``timeout`` was over before the pool ran its target."""


class StalledError(BatchOsError):
    """No node changed its state for the declared ``stall_after``. An upgrade that runs continues in Batch."""


class UnhealthyError(BatchOsError):
    """The pool runs its target, and more of its nodes are unhealthy than the declared ``max_unhealthy``."""


class InterruptedRolloutError(BatchOsError):
    """^C or the loss of the Pulumi engine ended the wait."""


class ServiceError(BatchOsError):
    """A call to Batch failed; ``answer`` has the details, and ``doing`` names the call."""

    def __init__(self, answer: ServiceAnswer, *, pool: str = "", doing: str = "", next_step: str = "") -> None:
        self.doing = doing
        reason = f"{doing} failed: {str(answer).rstrip('.')}" if doing else str(answer)
        super().__init__(reason, pool=pool, next_step=next_step, answer=answer)

    @property
    def reply(self) -> ServiceAnswer:
        """The service's answer; an empty one instead of None."""
        return self.answer or ServiceAnswer()


TRANSIENT = frozenset({408, 429, 500, 502, 503, 504})
"""HTTP statuses after which the same call may succeed later."""


class TransientError(ServiceError):
    """A retry after a pause may help: 408, 429, 5xx, a timeout or a lost connection.

    ``tries`` is how often in a row the error may occur before a rollout stops retrying; unlimited by default.
    """

    tries: float = math.inf

    def tries_within(self, limit: int) -> int:
        """How often in a row a call that fails with this error is made, by a caller that makes at most ``limit``."""
        return int(min(limit, self.tries))


class TokenError(TransientError):
    """The provider cannot get an Entra token now. It sent no call, so a write has not happened.

    Args:
        refused: Entra refused an identity that worked before, so it gets only one retry. False means that Entra cannot
            be reached.
    """

    def __init__(
        self, answer: ServiceAnswer, *, pool: str = "", doing: str = "", next_step: str = "", refused: bool = False
    ) -> None:
        super().__init__(answer, pool=pool, doing=doing, next_step=next_step)
        if refused:
            self.tries = 2


class ConflictError(ServiceError):
    """The pool has changed since the last read (409, 412, ``ALREADY_THERE``, ``NODE_GONE``): read and decide again."""


class PermanentError(ServiceError):
    """A retry cannot help: any other 4xx, or an answer outside Batch's protocol."""
