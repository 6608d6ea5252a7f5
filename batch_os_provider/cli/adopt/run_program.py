"""Runs a Pulumi program with a stand-in for the engine, and lists the pools that it declares.

A program declares pools in loops, functions and modules, so only a run shows them. Pulumi's own mocks answer as an
engine does in a preview: nothing is deployed, no state is read, and what only a deployment knows stays unknown.
``declared_pools`` starts this module as a process, since a program may change folders, print, or end the interpreter.

It runs as ``python -m batch_os_provider.cli.adopt.run_program``, with the request as JSON on standard input. The answer
goes to the file that the request names, since the program may print: ``declared``, or ``failed`` and ``where``.
"""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import sys
import traceback
from pathlib import Path
from typing import Any

import pulumi
from pulumi.runtime import MockCallArgs, MockResourceArgs, Mocks, settings

from batch_os_provider.schema.resource_types import kind_of

__all__: list[str] = []


class Register(Mocks):
    """Stands in for the engine, and collects the pools."""

    def __init__(self) -> None:
        self.declared: list[dict[str, Any]] = []

    def new_resource(self, args: MockResourceArgs) -> tuple[str, dict[str, Any]]:
        """Collect a pool. Outputs that no input gives are unknown, as in a preview; so is an id."""
        # Only a registered resource is declared: a read (`get`) does not set `custom`.
        if kind_of(args.typ, args.inputs) and args.custom:
            both = {name: args.inputs.get(name) for name in ("account_endpoint", "pool_id")}
            known = {name: value for name, value in both.items() if isinstance(value, str)}
            simple = {k: v for k, v in args.inputs.items() if k[:2] != "__" and isinstance(v, (str, int, float))}
            self.declared.append({"name": args.name, "type": args.typ, **known, "inputs": simple})
        return args.resource_id or "", args.inputs

    def call(self, args: MockCallArgs) -> tuple[dict[str, Any], None]:  # noqa: ARG002 - pulumi's signature
        """Return nothing: no function call is answered."""
        return {}, None


def main() -> None:
    """Run the program that standard input names."""
    request = json.load(sys.stdin)
    program = Path(request["program"])
    register = Register()
    pulumi.runtime.set_all_config(request["config"], request["secrets"])
    os.chdir(request["folder"])
    # As in Pulumi's own launcher: the program's folder, and not ours.
    ours = 0 if getattr(sys.flags, "safe_path", False) else 1
    sys.path[:ours] = [str(program if program.is_dir() else program.parent)]
    sys.argv = [str(program)]

    def declare() -> None:
        runpy.run_path(str(program), run_name="__main__")

    async def run() -> None:
        # Within the loop: the mocks make a stack at once, and its futures are bound to the loop.
        pulumi.runtime.set_mocks(register, request["project"], request["stack"], preview=True)
        # That stack is closed already, and a program needs an open one (`pulumi.run`).
        settings.set_root_resource(None)  # type: ignore[arg-type]  # as the SDK's own tests reset it
        await pulumi.runtime.run_in_stack(declare)

    try:
        asyncio.run(run())
    except (Exception, SystemExit) as error:  # noqa: BLE001 - any failure of the program is reported without a traceback
        answer: dict[str, Any] = {"failed": _sentence(error), "where": _where(error, Path(request["folder"]))}
    else:
        answer = {"declared": register.declared}
    Path(request["answer"]).write_text(json.dumps(answer), encoding="utf-8")


def _sentence(error: BaseException) -> str:
    """The class of an error and its text, on one line."""
    if isinstance(error, SystemExit):
        return f"it called sys.exit({error.code!r})"
    return f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")


def _where(error: BaseException, folder: Path) -> str:
    """The last line of the program that led to the error; empty if no line did."""
    frames = [each for each in traceback.extract_tb(error.__traceback__) if Path(each.filename).is_relative_to(folder)]
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}, line {error.lineno}"
    return f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else ""


if __name__ == "__main__":
    main()
