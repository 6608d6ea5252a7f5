"""The account that every cell of the parity matrix starts from, and the table of all cells.

A cell is one client doing one operation: it must succeed, and the most important refusal must reach the program as
the error type of that client, with Batch's code. ``run`` runs all cells and returns their results. The tests and
``scripts/parity.py`` both use it, so the page only has results of a run.
"""

from __future__ import annotations

import json
import os
import subprocess
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from batch_os_provider.simulator.protocol.operations import OPERATIONS
from batch_os_provider.simulator.server import Simulator, running
from tests.conformance import azure_batch_15, raw_cells
from tests.simulator.raw_client import Client
from tests.simulator.seeds import MOVING, job, paas, windows

OLD_CLIENT = Path(__file__).with_name("azure_batch_5.py")
NOT_OFFERED = frozenset({("azure-batch 5.1.1", "Account_ListSupportedImages")})
"""Operations that a client does not have; the cell shows that."""
BY_HAND = frozenset({("azure-batch 15.1.0", "Pool_UpgradeOS")})
"""Operations without a method, which a client sends with its ``send_request``."""
CLAIMED = tuple(operation.id for operation in OPERATIONS if operation.implemented)
CLIENTS = ("azure-batch 5.1.1", "azure-batch 15.1.0", "raw HTTP")

Results = dict[tuple[str, str], str]
"""(client, operation) to what went wrong, empty where nothing did."""


@contextmanager
def old_client(simulator: Simulator) -> Iterator[Callable[[str], str]]:
    """The last generation with upgradeos, in its own environment: an operation to what went wrong."""
    python = os.environ.get("BATCH_OS_TEST_AZURE_BATCH_5")
    assert python, "BATCH_OS_TEST_AZURE_BATCH_5 names no Python with azure-batch 5; run the tests with `make test`"
    command = [python, OLD_CLIENT, simulator.endpoint, simulator.account, simulator.key]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:  # noqa: S603 - ours
        assert child.stdin is not None
        assert child.stdout is not None

        def cell(operation: str) -> str:
            print(operation, file=child.stdin, flush=True)
            trouble: str = json.loads(child.stdout.readline())
            return trouble

        yield cell
        child.stdin.close()


def table(results: Results) -> str:
    """The matrix for the page: a cell that was not played, or failed, is unproven."""
    lines = [f"| Operation | {' | '.join(CLIENTS)} |", f"|---|{'---|' * len(CLIENTS)}"]
    for operation in CLAIMED:
        words = (_word((client, operation), results) for client in CLIENTS)
        lines.append(f"| `{operation}` | {' | '.join(words)} |")
    return "".join(f"{line}\n" for line in lines)


def _word(cell: tuple[str, str], results: Results) -> str:
    if results.get(cell, "not played"):
        return "unproven"
    if cell in NOT_OFFERED:
        return "not offered"
    return "verified (`send_request`)" if cell in BY_HAND else "verified"


def renewed(page: str, results: Results) -> str:
    """The page with its matrix renewed."""
    before, mark, rest = page.partition("<!-- parity -->\n\n")
    assert mark, "the page has no mark for the matrix"
    _, _, after = rest.partition("\n\n")
    return f"{before}{mark}{table(results)}\n{after}"


def _played(cell: Callable[[Client], None], client: Client) -> str:
    try:
        cell(client)
    except Exception:  # noqa: BLE001 - whatever it is, the other cells are played too
        return traceback.format_exc()
    return ""


def run() -> Results:
    """Play every cell there is, each on a fresh account."""
    results: Results = {}
    with running(speed=0) as simulator, old_client(simulator) as old:
        client = Client(simulator)

        def fresh() -> None:
            client.control("POST", "reset")
            client.put(paas(), windows(nodes=2), jobs=[job("sleep 500")], images=MOVING, virtual="2018-08-24T07:46:48Z")

        for operation in CLAIMED:
            fresh()
            results[CLIENTS[0], operation] = old(operation)
            for name, cells in ((CLIENTS[1], azure_batch_15.CELLS), (CLIENTS[2], raw_cells.CELLS)):
                if operation in cells:
                    fresh()
                    results[name, operation] = _played(cells[operation], client)
    return results
