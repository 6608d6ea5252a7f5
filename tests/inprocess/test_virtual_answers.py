"""An answer of a virtual account is what urllib3 and requests make of its bytes, also where a shorter way makes it."""

from __future__ import annotations

import pytest
import requests

from tests.support.inprocess import plain_response, response_of

JSON = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nETag: 0x8D\r\nContent-Length: 7\r\n\r\n"


@pytest.mark.parametrize(
    "answer",
    [
        JSON + b'{"a":1}',
        b"HTTP/1.1 202 Accepted\r\nrequest-id: 1-2\r\nDate: Sat, 28 Nov 2026 12:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 409 The specified pool has an ongoing resize operation.\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
def test_a_plain_answer_is_the_same_both_ways(answer: bytes) -> None:
    request = requests.PreparedRequest()
    short, whole = plain_response(request, answer), response_of(request, answer)
    assert short is not None
    assert (short.status_code, short.reason, list(short.headers.items())) == (
        whole.status_code,
        whole.reason,
        list(whole.headers.items()),
    )
    assert short.content == whole.content
    whole.close()


@pytest.mark.parametrize(
    "answer",
    [
        JSON + b'{"a":',
        JSON + b'{"a":1}more',
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n folded\r\n\r\n",
        b"HTTP/1.1 999 Odd\r\nContent-Length: 0\r\n\r\n",
        b"garbage",
        b"",
    ],
)
def test_any_other_answer_takes_the_whole_way(answer: bytes) -> None:
    assert plain_response(requests.PreparedRequest(), answer) is None
