"""No secret anywhere: random ones are used by every way to sign in, and everything that was written is searched."""

from __future__ import annotations

import base64
import gzip
import json
import secrets
import subprocess
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

import pytest

from tests.support import simulator as simulators
from tests.support.door_marks import both_doors
from tests.support.doors import image_version, os_version
from tests.support.simulator import BEHIND, MOVED, NEW, OLD, TARGET, Simulator, paas_pool, vm_pool
from tests.support.stack import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.stack import Stack

NOBODY = {"AZURE_BATCH_ACCOUNT": "", "AZURE_BATCH_ACCESS_KEY": ""}


def spellings(secret: str) -> set[str]:
    """How a secret may be written: as it is, escaped, encoded, or as part of something that was encoded."""
    raw = secret.encode()
    # Where it begins within three bytes decides the letters; those that share a byte with something else are left out.
    shifted = [base64.b64encode(b"x" * before + raw).decode()[cut:-4] for before, cut in ((0, 0), (1, 2), (2, 3))]
    return {
        secret,
        quote(secret, safe=""),
        quote(secret),
        quote_plus(secret),
        json.dumps(secret)[1:-1],
        json.dumps(json.dumps(secret)[1:-1])[1:-1],
        secret.replace("&", "\\u0026"),  # as Go writes JSON
        raw.hex(),
        *shifted,
        *(text.replace("+", "-").replace("/", "_") for text in shifted),
    }


def test_the_search_finds_what_it_looks_for() -> None:
    for secret in ("a/b+c&d=", secrets.token_urlsafe(32)):
        for prefix in ("", "u", "us", "user:"):
            told = base64.b64encode(f"{prefix}{secret}:rest".encode()).decode()
            assert any(spelling in told for spelling in spellings(secret)), prefix
        for told in (quote(f"?k={secret}"), json.dumps({"k": secret}), secret.encode().hex()):
            assert any(spelling in told for spelling in spellings(secret))


def found_in(text: str, known: dict[str, str]) -> list[str]:
    """The names of the secrets that a text holds."""
    return [name for name, secret in known.items() if any(spelling in text for spelling in spellings(secret))]


def text_of(path: Path) -> str:
    """A file as text, whatever it is."""
    content = path.read_bytes()
    return (gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content).decode("utf-8", "replace")


class Secrets:
    """An account whose secrets nobody but this test has ever seen."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self.state, self.stderr = folder / "account.json", folder / "stderr.txt"
        self.key = base64.b64encode(secrets.token_bytes(64)).decode()
        self.rotated = base64.b64encode(secrets.token_bytes(64)).decode()
        signature = base64.b64encode(secrets.token_bytes(32)).decode()
        sas = f"https://files.blob.core.windows.net/tools/setup.zip?sv=2024-11-04&sr=b&sig={quote(signature, safe='')}"
        self.known = {"key": self.key, "rotated key": self.rotated, "sas": signature, "password": secrets.token_hex(16)}
        start = {
            "commandLine": f"fetch --password {self.known['password']}",
            "resourceFiles": [{"httpUrl": sas, "filePath": "setup.zip"}],
            "environmentSettings": [{"name": "TOOLS", "value": sas}],
        }
        self.seed: dict[str, Any] = {
            "account": {"name": "batchsim", "key": self.key},
            "images": [MOVED],
            "pools": [paas_pool(startTask=start), vm_pool("machines", startTask=start)],
        }
        (folder / "seed.json").write_text(json.dumps(self.seed), encoding="utf-8")
        self.arguments = ("--tls", "--speed", "0", "--seed", str(folder / "seed.json"), "--state", str(self.state))

    def remember(self, sim: Simulator) -> None:
        """Learn what the simulator's principals hold."""
        for principal in sim.get("state")["principals"]:
            self.known |= {f"{what} of {principal['name']}": principal[what] for what in ("token", "secret")}


@pytest.fixture
def held(tmp_path: Path) -> Secrets:
    return Secrets(tmp_path / "account")


@pytest.fixture
def secure(held: Secrets) -> Iterator[Simulator]:
    """A frozen simulator over TLS whose every word is kept."""
    with held.stderr.open("w") as stderr:
        yield from simulators.running_command(held.arguments, stderr=stderr)


def assertion_for(sim: Simulator, job: dict[str, str]) -> str:
    request = urllib.request.Request(  # noqa: S310 - loopback
        job["ARM_OIDC_REQUEST_URL"], headers={"Authorization": f"Bearer {job['ARM_OIDC_REQUEST_TOKEN']}"}
    )
    with urllib.request.urlopen(request, timeout=60, context=sim.trusted()) as answer:  # noqa: S310 - as above
        return str(json.load(answer)["value"])


def declare(stack: Stack, sim: Simulator, version: str, image: str) -> None:
    where: dict[str, Any] = {"account_endpoint": sim.endpoint}
    stack.write(
        os_version("render", target_os_version=version, **where),
        image_version("machines", target_image_version=image, strategy="surge", **where),
    )


OPTIONS = {
    "AZURE_BATCH_ACCOUNT": "accountName",
    "AZURE_BATCH_ACCESS_KEY": "accountKey",
    "ARM_TENANT_ID": "tenantId",
    "ARM_CLIENT_ID": "clientId",
    "ARM_CLIENT_SECRET": "clientSecret",
    "ARM_OIDC_TOKEN": "oidcToken",
}
"""Where the native provider takes a credential from; the dynamic one takes all of them from the environment."""


def configure(stack: Stack, sim: Simulator, who: dict[str, str], before: dict[str, str]) -> dict[str, str]:
    """Sign in with stack config, in place of what was there before; returns what is there now, by option."""
    given = {option: who[variable] for variable, option in OPTIONS.items() if who.get(variable)}
    given |= {"accountEndpoint": sim.endpoint} if given else {}
    if gone := [f"batchos:{name}" for name in before if name not in given]:
        stack.run("config", "rm-all", *gone).ok()
    if given:
        stack.run("config", "set-all", *(f"--secret=batchos:{name}={value}" for name, value in given.items())).ok()
    return given


def command(stack: Stack, *arguments: str) -> str:
    done = subprocess.run(  # noqa: S603 - our own command
        ["batch-os", *arguments],  # noqa: S607 - on the PATH we made
        cwd=stack.program_folder,
        env=stack.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr


@both_doors
def test_no_secret_in_anything_that_is_written(
    held: Secrets, secure: Simulator, new_stack: Callable[..., Stack]
) -> None:
    by_secret = secure.by_secret("deployer")
    by_oidc = secure.by_oidc("job", assertions={"lifetime": 3600})
    reader = secure.signed_in_as("reader", read_only=True)
    secure.principal("reader", secret=secrets.token_urlsafe(32))
    held.remember(secure)
    by_token = {**by_oidc, "ARM_OIDC_TOKEN": assertion_for(secure, by_oidc)}
    held.known |= {
        f"assertion part {number}": part for number, part in enumerate(by_token["ARM_OIDC_TOKEN"].split(".")[1:])
    }
    wrong = {**by_secret, "ARM_CLIENT_SECRET": secrets.token_urlsafe(32)}
    held.known["wrong secret"] = wrong["ARM_CLIENT_SECRET"]

    stack = new_stack(**NOBODY, BATCH_OS_LOG="batch-os.log")
    # The engine itself writes provider configuration into its verbose log and into an export that is to show secrets.
    verbose = () if stack.door.is_native else ("--logtostderr", "-v=9")
    clean = dict(stack.environment)
    (stack.folder / "tmp").mkdir()
    said: list[str] = []

    configured: dict[str, str] = {}

    def become(who: dict[str, str]) -> None:
        nonlocal configured
        left = who
        if stack.door.is_native:
            configured = configure(stack, secure, who, configured)
            left = {name: value for name, value in who.items() if name not in OPTIONS}
        stack.environment = {**clean, "TMPDIR": str(stack.folder / "tmp"), **left}

    declare(stack, secure, OLD, BEHIND)
    become(by_token)
    said.extend([stack.run("preview", "--json").ok().text, stack.up().ok().text])

    declare(stack, secure, NEW, TARGET)
    become(reader)
    refused = stack.up("--continue-on-error", *verbose, "--logflow").failed()
    assert refused.flat.count("InsufficientAccountPermissions") >= 2
    become(wrong)
    untold = stack.up().failed()
    assert "AADSTS7000215" in untold.flat
    said.extend([refused.text, untold.text])
    secure.speed(120)
    become(by_secret)
    said.extend([stack.up(*verbose).ok().text, stack.refresh().ok().text])

    secure.speed(0)
    declare(stack, secure, simulators.OTHER, TARGET)
    become({"AZURE_BATCH_ACCOUNT": "batchsim", "AZURE_BATCH_ACCESS_KEY": held.key, **authority(by_secret)})
    running = stack.start_up(*verbose)
    wait_until(lambda: len(secure.upgrades()) >= 3, "the POST that the shared key signs")
    secure.put("state", {**secure.get("state"), "account": {"name": "batchsim", "key": held.rotated}})
    said.append(running.wait().failed().text)
    if not stack.door.is_native:  # an export that shows what the engine has encrypted, and commands without a door
        said.extend([stack.preview().text, stack.run("stack", "export", "--show-secrets").ok().text])
        become(by_oidc)
        said.extend(command(stack, name, secure.endpoint) for name in ("status", "doctor"))
    said.extend([json.dumps(secure.get("audit")), json.dumps(secure.get("identity/record"))])
    secure.stop()
    search(held, stack, said)


def search(held: Secrets, stack: Stack, said: list[str]) -> None:
    """Look for every secret in every file and every output of a run that is over."""
    written = {str(path): text_of(path) for path in stack.folder.rglob("*") if path.is_file()}
    assert "upgradeos" in written[str(stack.program_folder / "batch-os.log")]
    # The simulator prints its own account's key once, to be pasted into another terminal.
    pasted = "export AZURE_BATCH_ACCESS_KEY="
    lines = text_of(held.stderr).splitlines()
    assert sum(line.strip().startswith(pasted) for line in lines) == 1
    written[str(held.stderr)] = "\n".join(line for line in lines if not line.strip().startswith(pasted))
    state = json.loads(text_of(held.state))
    # What a seed was given, its state file has to keep; nothing else in it may be a secret.
    del state["account"], state["principals"]
    for pool in state["pools"]:
        for each in (pool, *pool["nodes"]):
            assert each.pop("startTask")["resourceFiles"]
    written[str(held.state)] = json.dumps(state)
    for number, text in enumerate(said):
        written[f"output {number}"] = text
    assert len(written) > 20
    leaks = {path: names for path, text in written.items() if (names := found_in(text, held.known))}
    assert not leaks
    for text in written.values():
        assert "SharedKey batchsim:" not in text, "a signature"
        assert "Bearer ey" not in text


def authority(environment: dict[str, str]) -> dict[str, str]:
    """Only what trusts the simulator."""
    return {"REQUESTS_CA_BUNDLE": environment["REQUESTS_CA_BUNDLE"]}
