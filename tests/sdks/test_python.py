"""The generated Python SDK: installed as a package, imported with warnings as errors, its resources registered."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from batch_os_provider import __version__
from tests.support.typescript import Workspace

PROGRAM = """
import asyncio
import json

import pulumi
import pulumi_batchos as batchos


class Engine(pulumi.runtime.Mocks):
    def new_resource(self, args):
        print(json.dumps([args.typ, args.name, args.inputs]))
        return args.name, args.inputs

    def call(self, args):
        print(json.dumps([args.token, "", args.args]))
        return {"pools": []}


asyncio.set_event_loop(asyncio.new_event_loop())  # Pulumi's mocks take the current one, which Python makes no more
pulumi.runtime.set_mocks(Engine(), preview=False)


@pulumi.runtime.test
def test():
    account = batchos.Provider("account", account_endpoint="https://a.b.batch.azure.com", use_oidc=True)
    pool = batchos.PoolOsVersion(
        "render",
        batchos.PoolOsVersionArgs(pool_id="render", target_os_version="*", on_timeout=batchos.OnTimeout.DEFER),
        pulumi.ResourceOptions(provider=account),
    )
    batchos.PoolImageVersion("jobs", pool_id="jobs", strategy="when_empty", nodes_since="2026-11-24", timeout="8h")
    batchos.list_pools(account_endpoint="https://a.b.batch.azure.com")
    return pool.target_os_version.apply(lambda version: print(json.dumps(["output", "", version])))


test()
"""
ENDPOINT = "https://a.b.batch.azure.com"


def test_the_package_installs_and_sends_what_a_program_declares(sdks: Workspace, tmp_path: Path) -> None:
    place = tmp_path / "packages"
    offline = ("--no-deps", "--no-index", "--no-build-isolation", "--disable-pip-version-check", "--quiet")
    install = [sys.executable, "-m", "pip", "install", *offline, "--target", str(place), str(sdks.sdk("python"))]
    subprocess.run(install, check=True, capture_output=True)  # noqa: S603 - pip
    assert (place / f"pulumi_batchos-{__version__}.dist-info").is_dir()
    program = tmp_path / "program.py"
    program.write_text(PROGRAM, encoding="utf-8")
    done = subprocess.run(  # noqa: S603 - the program above
        [sys.executable, "-W", "error", str(program)],
        env={"PYTHONPATH": str(place)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = sorted(map(json.loads, done.stdout.splitlines()), key=str)
    assert said == [
        [
            "batchos:index:PoolImageVersion",
            "jobs",
            {"nodesSince": "2026-11-24", "poolId": "jobs", "strategy": "when_empty", "timeout": "8h"},
        ],
        ["batchos:index:PoolOsVersion", "render", {"onTimeout": "defer", "poolId": "render", "targetOsVersion": "*"}],
        ["batchos:index:listPools", "", {"accountEndpoint": ENDPOINT}],
        ["output", "", "*"],
        ["pulumi:providers:batchos", "account", {"accountEndpoint": ENDPOINT, "useOidc": "true"}],
    ]
