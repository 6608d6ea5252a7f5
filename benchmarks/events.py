"""The engine's own events, with the moment at which each arrived.

"the resource is done" is when the engine says so. Its event log in a file has whole seconds and is read
late; over gRPC, the way the Automation API takes it, an event comes as it happens.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import grpc
from google.protobuf import empty_pb2
from pulumi.runtime.proto import events_pb2_grpc


class Listener(events_pb2_grpc.EventsServicer):
    """Takes the events of one command."""

    def __init__(self) -> None:
        self.heard: list[tuple[float, str]] = []

    def StreamEvents(self, request_iterator: Iterator[Any], _context: object) -> empty_pb2.Empty:  # noqa: N802 - gRPC's name
        """Called once by the engine, for all events."""
        for request in request_iterator:
            self.heard.append((time.time(), request.event))
        return empty_pb2.Empty()

    def events(self) -> list[tuple[float, dict[str, Any]]]:
        """What was heard; parsed now, so that hearing takes no time."""
        return [(at, json.loads(text)) for at, text in self.heard]


@contextmanager
def listening() -> Iterator[tuple[Listener, str]]:
    """A listener, and what to give to ``--event-log``."""
    listener = Listener()
    server = grpc.server(ThreadPoolExecutor(max_workers=2))
    events_pb2_grpc.add_EventsServicer_to_server(listener, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield listener, f"tcp://127.0.0.1:{port}"
    finally:
        server.stop(0).wait()
