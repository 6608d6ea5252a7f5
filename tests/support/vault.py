"""A stand-in for HashiCorp Vault, which gives a stack the key of its secrets.

A `pulumi` that has a passphrase makes the key from it, each time. That is a quarter of the processor time of a preview,
and no test is about it. Tests of secrets, of the main road and of older states have a passphrase.
"""

from __future__ import annotations

import json
import threading
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PROVIDER = "hashivault://tests"
"""What `pulumi stack init --secrets-provider` gets."""
_PREFIX = "vault:v1:"


class _Transit(BaseHTTPRequestHandler):
    """Vault's engine `transit`, for tests: an encrypted text is the text itself."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path == "/v1/transit/encrypt/tests":
            data = {"ciphertext": _PREFIX + given["plaintext"]}
        else:
            assert self.path == "/v1/transit/decrypt/tests", self.path
            data = {"plaintext": given["ciphertext"].removeprefix(_PREFIX)}
        body = json.dumps({"data": data}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@cache
def environment() -> dict[str, str]:
    """The variables with the address of this process's own server. The server ends with the process."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Transit)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return {"VAULT_SERVER_URL": f"http://127.0.0.1:{server.server_port}", "VAULT_SERVER_TOKEN": "test"}
