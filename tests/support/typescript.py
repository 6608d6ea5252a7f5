"""The generated SDKs, TypeScript programs that were compiled against one of them, and a host that runs the programs.

The SDKs are generated and the compiler is run once for all workers of a test run: both cost seconds.
"""

from __future__ import annotations

import json
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import grpc
from pulumi.runtime.proto import language_pb2, language_pb2_grpc, plugin_pb2

from scripts import sdks
from tests.support.stack import made_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pytest

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads(sdks.SCHEMA.read_text(encoding="utf-8"))
PAGE = (ROOT / "docs" / "other-languages.md").read_text(encoding="utf-8")
SETTINGS = {
    "compilerOptions": {
        "strict": True,
        "target": "es2022",
        "module": "commonjs",
        "moduleResolution": "node",
        "types": ["node"],
        "skipLibCheck": True,  # of Pulumi's own declarations
    },
    "include": ["*.ts", "generated/nodejs/**/*.ts"],
}
WRONG = """\
import * as batchos from "@batchos/batchos";

const pool = { accountEndpoint: "https://a.b.batch.azure.com", poolId: "p" };
new batchos.PoolOsVersion("a", { ...pool, targetOsVersion: "*", onTimeout: "later" });
new batchos.PoolOsVersion("b", { ...pool, targetOsVersion: "*", maxUnhealth: 1 });
new batchos.PoolOsVersion("c", { ...pool, targetOsVersion: "*", max_unhealthy: 1 });
new batchos.PoolOsVersion("d", { ...pool });
new batchos.PoolOsVersion("e", { ...pool, targetOsVersion: 7 });
new batchos.PoolImageVersion("f", { ...pool, strategy: "rolling" });
new batchos.PoolImageVersion("g", { ...pool, strategy: "surge", canary: "1" });
new batchos.Provider("h", { accountKeys: "k" });
batchos.getPool({ accountEndpoint: "https://a.b.batch.azure.com" });
"""
"""A program in which each line from the fourth on has one mistake. ``test_typescript.py`` says which."""

FLEET = """\
import * as pulumi from "@pulumi/pulumi";
import * as batchos from "@batchos/batchos";

const account = new batchos.Provider("second", {
    accountEndpoint: "https://myaccount.westeurope.batch.azure.com",
    accountKey: new pulumi.Config().requireSecret("batchKey"),
});
const farm = new batchos.PoolFleet("farm", {
    pools: ["encode", "shade"],
    targetOsVersion: "WA-GUEST-OS-7.58_202511-01",
    canary: "encode",
}, { provider: account, retainOnDelete: true });

export const waves = farm.waves;
export const shade = farm.pools.apply(pools => pools["shade"].currentOsVersion);
"""
"""A program with what the page shows in YAML only."""


def programs() -> dict[str, str]:
    """Each TypeScript program of the page, of the schema and of this module, by a name for its file."""
    marked = r"<!-- program: (\w+) -->\n```typescript\n(.*?)^```"
    shown = {**dict(re.findall(marked, PAGE, re.DOTALL | re.MULTILINE)), "fleet": FLEET}
    for token, resource in SCHEMA["resources"].items():
        for number, text in enumerate(re.findall(r"```typescript\n(.*?)\n```", resource["description"], re.DOTALL), 1):
            shown[f"{token.rpartition(':')[2]}{number}"] = text + "\nexport {};\n"
    return shown


@dataclass(frozen=True)
class Workspace:
    """A folder with the SDKs and the compiled programs."""

    folder: Path

    def sdk(self, language: str) -> Path:
        """The folder of a generated SDK."""
        return self.folder / "generated" / language

    @property
    def said(self) -> str:
        """What the generators said."""
        return (self.folder / "said.txt").read_text(encoding="utf-8")

    @property
    def faults(self) -> dict[str, dict[int, str]]:
        """What the compiler found: file, line, message."""
        found: dict[str, dict[int, str]] = {}
        text = (self.folder / "compiled.txt").read_text(encoding="utf-8")
        for each in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
            if each:
                match = re.fullmatch(r"(.*?)\((\d+),\d+\): error (TS\d+: .*)", each, re.DOTALL)
                assert match, text
                found.setdefault(match[1], {})[int(match[2])] = " ".join(match[3].split())
        return found

    def program(self, name: str) -> str:
        """A compiled program."""
        return (self.folder / f"{name}.js").read_text(encoding="utf-8")


def workspace(factory: pytest.TempPathFactory) -> Workspace:
    """The workspace of this test run."""
    return Workspace(made_once(factory, "typescript", _make))


def _make(folder: Path) -> None:
    folder.mkdir()
    (folder / "said.txt").write_text(sdks.generate(folder / "generated"), encoding="utf-8")
    packages = sdks.node_packages() / "node_modules"
    (folder / "node_modules" / "@batchos").mkdir(parents=True)
    # A link that stays right when the folder gets its name.
    (folder / "node_modules" / "@batchos" / "batchos").symlink_to(Path("../../generated/nodejs"))
    for name in ("@pulumi", "@types"):
        (folder / "node_modules" / name).symlink_to(packages / name)
    (folder / "tsconfig.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    for name, text in {**programs(), "wrong": WRONG}.items():
        (folder / f"{name}.ts").write_text(text, encoding="utf-8")
    compiler = ["node", str(packages / "typescript" / "bin" / "tsc"), "--pretty", "false"]
    done = subprocess.run(compiler, cwd=folder, capture_output=True, text=True, check=False)  # noqa: S603 - a pinned compiler
    assert not done.stderr, done.stderr
    (folder / "compiled.txt").write_text(done.stdout, encoding="utf-8")


class _Host(language_pb2_grpc.LanguageRuntimeServicer):
    """What `pulumi-language-nodejs` does for a program that is compiled and whose packages are there."""

    def __init__(self, program: Path, environment: dict[str, str]) -> None:
        self.program = program
        self.environment = environment

    def Handshake(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the protocol's
        return language_pb2.LanguageHandshakeResponse()

    def About(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the protocol's
        return language_pb2.AboutResponse()

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the protocol's
        return plugin_pb2.PluginInfo()

    def GetRequiredPackages(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the protocol's
        return language_pb2.GetRequiredPackagesResponse()

    def Run(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802 - the protocol's
        options = {
            "monitor": request.monitor_address,
            "engine": request.args[0],
            "project": request.project,
            "stack": request.stack,
            "organization": request.organization,
            "parallel": str(request.parallel),
            "pwd": str(self.program.parent),
        }
        flags = [f"--{name}={value}" for name, value in options.items()] + (["--dry-run"] if request.dryRun else [])
        config = {
            "PULUMI_CONFIG": json.dumps(dict(request.config)),
            "PULUMI_CONFIG_SECRET_KEYS": json.dumps(list(request.configSecretKeys)),
        }
        run = self.program.parent / "node_modules" / "@pulumi" / "pulumi" / "cmd" / "run"
        done = subprocess.run(  # noqa: S603 - a compiled program of ours
            ["node", str(run), *flags, str(self.program)],  # noqa: S607 - on the PATH of the tests
            env={**self.environment, **config},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return language_pb2.RunResponse(error="" if done.returncode == 0 else f"the program failed: {done.stdout}")


@contextmanager
def node_host(program: Path, environment: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Options with which the CLI runs this compiled program, also where it has no host for Node.js."""
    server = grpc.server(ThreadPoolExecutor(4))
    language_pb2_grpc.add_LanguageRuntimeServicer_to_server(_Host(program, environment), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"--client=127.0.0.1:{port}", "--exec-kind=auto.inline"
    finally:
        server.stop(None).wait()


def install(workspace: Workspace, folder: Path, programs: Mapping[str, Mapping[str, str]]) -> Path:
    """Put compiled programs into a folder as one program; each with other words for the account that it names."""
    (folder / "node_modules").symlink_to(workspace.folder / "node_modules")
    (folder / "package.json").write_text("{}", encoding="utf-8")
    for name, replaced in programs.items():
        text = workspace.program(name)
        for before, after in replaced.items():
            assert before in text, f"{name} has no {before}"
            text = text.replace(before, after)
        (folder / f"{name}.js").write_text(text, encoding="utf-8")
    program = folder / "index.js"
    program.write_text(f"module.exports = Object.assign({{}}, ...{[*map('./{}'.format, programs)]}.map(require));\n")
    return program
