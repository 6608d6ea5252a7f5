"""The words of a connection that failed, the same with each version of urllib3.

The texts of urllib3 hold the representation of a connection: an address in memory in one version, host and port in
another. Some texts are tuples. Here host and words come from the attributes of the errors.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["below", "readable"]

# What azure-identity quotes of an error that it does not chain: an object, or a tuple of an object and words.
_OBJECT = re.compile(r"(?:<[^<>\n]* at 0x[0-9A-Fa-f]+>|HTTPS?Connection(?:Pool)?\(host='([^']*)', port=(\d+)\)): ")
_TUPLE = re.compile(r"\(<[^<>\n]* at 0x[0-9A-Fa-f]+>, (['\"])([^\n]*?)\1\)")


def below(error: BaseException) -> Iterator[BaseException]:
    """The error, and the errors that it wraps or that caused it, from the outside in."""
    waiting = [error]
    seen: list[BaseException] = []
    while waiting:
        each = waiting.pop()
        if any(each is known for known in seen):
            continue
        seen.append(each)
        yield each
        # azure-core and requests wrap an error without chaining it.
        within = (each.__context__, each.__cause__, *reversed(each.args), getattr(each, "inner_exception", None))
        waiting += [inner for inner in within if isinstance(inner, BaseException)]


def readable(error: BaseException, *, host: bool = True) -> str:
    """The text of an error, in which the part of urllib3 is words without objects.

    Args:
        error: any error; urllib3's is searched below it.
        host: whether host and port of the connection stand before its words. Those of a proxy always do.
    """
    from urllib3.exceptions import HTTPError  # noqa: PLC0415 - imported when a call has failed

    text = str(error)
    for each in below(error):
        if isinstance(each, HTTPError) and str(each):
            text = text.replace(str(each), _words(each, host=host))
            break
    return _TUPLE.sub(r"\2", _OBJECT.sub(_named if host else "", text))


def _words(error: BaseException, *, host: bool) -> str:
    """The words of an error of urllib3, or of one inside it."""
    from urllib3 import exceptions  # noqa: PLC0415 - as above

    said = str(error)
    connection: Any = None
    match error:
        case exceptions.ProxyError():
            return f"{_sentence(error.args[0])}: {_words(error.original_error, host=True)}"
        case exceptions.MaxRetryError(reason=Exception() as reason):
            return _words(reason, host=host)
        case exceptions.NewConnectionError():
            connection = error.conn
        case exceptions.ConnectTimeoutError(args=(connection, said)):
            pass
        case exceptions.PoolError():
            connection = error.pool
        case exceptions.ProtocolError(args=(what, why)):
            return f"{_sentence(what)}: {why}"
    if connection is None:
        return said
    return f"{_address(connection) if host else ''}{said.removeprefix(f'{connection}: ')}"


def _sentence(text: object) -> str:
    return str(text).rstrip(".")


def _address(connection: Any) -> str:
    return _host_and_port(connection.host, connection.port)


def _named(match: re.Match[str]) -> str:
    return _host_and_port(match[1], match[2]) if match[1] else ""


def _host_and_port(host: str, port: object) -> str:
    return f"[{host}]:{port}: " if ":" in host else f"{host}:{port}: "
