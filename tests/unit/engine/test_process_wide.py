"""Pins what this package changes for others in a process that it shares: a program's, and a plugin's.

In processes of their own, since these are facts of a process.
"""

from __future__ import annotations

import json
import subprocess
import sys

SNAPSHOT = """
import asyncio, atexit, gc, json, locale, logging, os, signal, socket, sys, threading, time, warnings

def snapshot():
    names = ("", "azure", "azure.core", "azure.identity", "urllib3", "asyncio", "grpc")
    loggers = {name: logging.getLogger(name) for name in names}
    return {
        "environment": dict(os.environ),
        "signals": {each.name: str(signal.getsignal(each)) for each in signal.valid_signals() if hasattr(each, "name")},
        "socket": socket.getdefaulttimeout(),
        "warnings": [str(each) for each in warnings.filters],
        "levels": {name: (each.level, each.propagate, each.disabled) for name, each in loggers.items()},
        "handlers": {name: [type(each).__name__ for each in logger.handlers] for name, logger in loggers.items()},
        "hooks": [str(each) for each in (sys.excepthook, sys.unraisablehook, threading.excepthook, sys.displayhook)],
        "exit handlers": atexit._ncallbacks(),
        "recursion": sys.getrecursionlimit(),
        "switching": sys.getswitchinterval(),
        "folder": os.getcwd(),
        "path": list(sys.path),
        "locale": locale.setlocale(locale.LC_ALL),
        "threads": sorted(each.name for each in threading.enumerate()),
        "streams": [str(each) for each in (sys.stdin, sys.stdout, sys.stderr)],
        "mask": str(os.umask(0o022)),
        "gc": gc.get_threshold(),
    }

def told(before):
    after = snapshot()
    return {key: after[key] for key in before if before[key] != after[key]}
"""
# The libraries we use are imported first: what they change is not ours.
CLIENT = """
import azure.batch, azure.identity, pulumi, pulumi.dynamic, grpc, requests
before = snapshot()
from batch_os_provider import PoolFleet, PoolImageVersion, PoolOsVersion, crud
from batch_os_provider.engine import seams
from batch_os_provider.preview import describe
from batch_os_provider.batch.connection import Connection
environment = {"AZURE_BATCH_ACCOUNT": "acct", "AZURE_BATCH_ACCESS_KEY": "a2V5"}
for _ in range(3):
    Connection("https://acct.westeurope.batch.azure.com", environment)
seams.attach()
print(json.dumps(told(before)))
"""
WARN = """
import logging, sys
from concurrent.futures import ThreadPoolExecutor
from batch_os_provider.runtime import library_warnings, threads

def warn(words):
    for name in ("azure.core.pipeline", "urllib3.connectionpool", "urllib3"):
        logging.getLogger(name).warning("%s %s", words, name)
        logging.getLogger(name).info("not shown")

library_warnings.hear()
library_warnings.hear()
exec("warn('theirs')", {"warn": warn, "__name__": None})  # as code that was unpickled may be
threads.beside(lambda: warn("ours"), "batch-os-call").result()
if "configured" in sys.argv:
    logging.basicConfig(stream=sys.stdout)
    warn("configured")
    threads.beside(lambda: warn("ours, configured"), "batch-os-call").result()
"""


def run(text: str, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-c", text, *words], capture_output=True, text=True, timeout=60, check=True
    )


def test_a_process_is_as_it_was_but_for_the_handler_of_library_warnings() -> None:
    changed = json.loads(run(SNAPSHOT + CLIENT).stdout)
    assert set(changed) == {"handlers"}
    assert changed["handlers"]["azure"].count("_OthersOnly") == 1, "once, however many accounts"
    assert changed["handlers"]["urllib3"].count("_OthersOnly") == 1
    others = {name: kinds for name, kinds in changed["handlers"].items() if name not in ("azure", "urllib3")}
    assert not [kind for kinds in others.values() for kind in kinds if kind == "_OthersOnly"]


def test_library_warnings_of_others_are_shown_and_ours_are_not() -> None:
    done = run(WARN)
    # urllib3 brings a handler of its own, where it was imported; here it was not.
    expected = ["theirs azure.core.pipeline", "theirs urllib3.connectionpool", "theirs urllib3"]
    assert done.stderr.splitlines() == expected


def test_who_configures_logging_gets_each_warning_once_ours_too() -> None:
    done = run(WARN, "configured")
    lines = done.stdout.splitlines()
    assert len(lines) == 6
    assert sum("ours, configured" in line for line in lines) == 3
