from __future__ import annotations

from collections.abc import Callable

import pytest

from batch_os_provider.errors import PermanentError, ServiceAnswer, TokenError, TransientError
from batch_os_provider.runtime.backoff import retry

BUSY = TransientError(ServiceAnswer(status=503))
LATER = TransientError(ServiceAnswer(status=429, retry_after=60.0))
BROKEN = PermanentError(ServiceAnswer(status=400))


def script(*answers: Exception | str) -> Callable[[], str]:
    """A call that gives these answers, one after the other."""
    rest = iter(answers)

    def call() -> str:
        answer = next(rest)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return call


def test_a_call_that_fails_for_a_while_is_repeated_after_longer_and_longer_pauses() -> None:
    pauses: list[float] = []
    assert retry(script(BUSY, BUSY, "done"), tries=3, sleep=pauses.append) == "done"
    assert pauses == [1.0, 2.0]


@pytest.mark.parametrize(("error", "tries"), [(BUSY, 1), (LATER, 2), (BROKEN, 9)])
def test_the_error_is_raised_when_another_try_cannot_help_or_takes_too_long(error: Exception, tries: int) -> None:
    with pytest.raises(type(error)) as raised:
        retry(script(error), tries=tries, sleep=lambda _pause: None, affords=lambda pause: pause < 60)
    assert raised.value is error


def test_an_error_that_allows_fewer_tries_than_the_caller_ends_them() -> None:
    refused = TokenError(ServiceAnswer(message="AADSTS7000215"), refused=True)
    pauses: list[float] = []
    with pytest.raises(TokenError):
        retry(script(refused, refused, "done"), tries=4, sleep=pauses.append)
    assert len(pauses) == 1, "two tries"
    assert (refused.tries_within(4), refused.tries_within(1), BUSY.tries_within(4)) == (2, 1, 4)
