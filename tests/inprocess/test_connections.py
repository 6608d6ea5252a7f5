"""Connections to an account: as many as calls at once, and kept alive for the next ones."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from batch_os_provider.batch.address import PoolRef
from batch_os_provider.batch.client import BatchClient
from batch_os_provider.batch.connection import CONNECT_TIMEOUT, READ_TIMEOUT
from batch_os_provider.batch.transport import KEPT_CONNECTIONS, bounded
from batch_os_provider.simulator.world.world import DEFAULT_ACCOUNT, DEFAULT_KEY
from tests.support.simulator import NEW

ENVIRON = {"AZURE_BATCH_ACCOUNT": DEFAULT_ACCOUNT, "AZURE_BATCH_ACCESS_KEY": DEFAULT_KEY}
ANSWER = json.dumps(
    {
        "id": "render",
        "state": "active",
        "allocationState": "steady",
        "cloudServiceConfiguration": {"osFamily": "5", "currentOSVersion": NEW, "targetOSVersion": NEW},
    }
).encode()


class Service(ThreadingHTTPServer):
    """Answers calls that come together only when all of them are here, each on a connection of its own."""

    daemon_threads = True
    request_queue_size = 2 * KEPT_CONNECTIONS

    def __init__(self, together: int) -> None:
        self.connections = 0
        self.together = threading.Barrier(together, timeout=30)
        super().__init__(("127.0.0.1", 0), _Connection)

    def get_request(self):
        self.connections += 1
        return super().get_request()


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Service

    def do_GET(self) -> None:
        self.server.together.wait()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, *_args: object) -> None:
        """Say nothing."""


@pytest.mark.parametrize("together", [1, 64, KEPT_CONNECTIONS])
def test_calls_at_once_have_a_connection_each_and_the_next_ones_take_the_same(together: int) -> None:
    with Service(together) as service:
        thread = threading.Thread(target=service.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            endpoint = f"http://127.0.0.1:{service.server_port}"
            with bounded(CONNECT_TIMEOUT, READ_TIMEOUT) as transport, ThreadPoolExecutor(together) as threads:
                client = BatchClient(endpoint, ENVIRON, transport)
                for _ in range(3):
                    pools = list(threads.map(client.get_pool, [PoolRef(endpoint, "render")] * together))
                    assert len(pools) == together
        finally:
            service.shutdown()
            thread.join(20)
        assert service.connections == together
