"""The ``python`` that Pulumi starts: it lets the fork server run its arguments, in its folder and with its open files.

It imports next to nothing, because each `pulumi` of a test starts two of it.
"""

import os
import signal
import sys
from _socket import AF_UNIX, SCM_RIGHTS, SOCK_STREAM, SOL_SOCKET, socket


def main(address: str, arguments: list[str]) -> int:
    """The exit code of the fork. If a signal has ended the fork, it ends this process too."""
    environment = [name + b"=" + value for name, value in os.environb.items()]
    folder = os.getcwd()  # noqa: PTH109 - pathlib costs as much as all the rest
    fields = [str(os.getpid()), folder, str(len(arguments)), *arguments]
    message = b"\0".join([*map(os.fsencode, fields), *environment])
    files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    server = socket(AF_UNIX, SOCK_STREAM)
    server.connect(address)

    def pass_on(number: int, _frame: object) -> None:
        try:  # noqa: SIM105 - an import of contextlib costs as much as all the rest
            server.send(bytes([number]))
        except BrokenPipeError:
            pass  # the fork has ended, and its exit code is on the way

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, pass_on)
    server.sendmsg([len(message).to_bytes(4, "big")], [(SOL_SOCKET, SCM_RIGHTS, files)])
    server.sendall(message)
    answer = server.recv(4)
    code = int.from_bytes(answer, "big", signed=True) if answer else -signal.SIGKILL
    if code < 0:
        if -code != signal.SIGKILL:
            signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
