"""The peer with one thing changed: the dynamic server runs as many calls as the engine sends, not four.

No supported way leads there, so this is kinder to the peer than what people run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from naive import OsVersionProvider

if TYPE_CHECKING:
    from pulumi.dynamic import ConfigureRequest


class WideProvider(OsVersionProvider):
    """Widens the executor whose thread it is first called in."""

    def configure(self, req: ConfigureRequest) -> None:  # noqa: ARG002 - the SDK's signature
        """Called once, before all else."""
        executor = threading.current_thread()._args[0]()  # type: ignore[attr-defined]  # noqa: SLF001 - there is no public way
        executor._max_workers = 1024  # noqa: SLF001 - as above
