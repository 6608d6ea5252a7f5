"""The checks of `batch-os doctor` that concern the native provider ``batchos``: it, its host and its config.

A Python program needs none of it, so a missing provider is a failure only if the program of the current folder is in
another language. Pulumi itself reports these faults late, and in words about its own parts.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from batch_os_provider.cli.adopt.project import Project, yaml_file
from batch_os_provider.cli.doctor.check import Check
from batch_os_provider.cli.doctor.native_plugin import COMMAND, Found, ask, find, yaml_host
from batch_os_provider.cli.doctor.plugin_process import PluginError
from batch_os_provider.errors import InputError
from batch_os_provider.plugin import config
from batch_os_provider.plugin.bags import UNKNOWN

__all__ = ["config_checks", "judge_host", "judge_plugin", "native"]

NAME, HOST, CONFIG = "batchos", "YAML host", "batchos config"
_PREFIX = "batchos:"
_HIDDEN = "[secret]"


def native(environ: Mapping[str, str] = os.environ, folder: Path | None = None) -> list[Check]:
    """All checks of the native provider, for the program of a folder, by default the current one."""
    here = folder or Path()
    try:
        project = Project.of(here) if (here / "Pulumi.yaml").is_file() else None
        runtime = project.runtime if project is not None else ""
        configured = config_checks(project) if project is not None else []
    except InputError as error:
        runtime, configured = (
            "",
            [Check("machine", CONFIG, "fail", error.reason, error.next_step or "Correct the file")],
        )
    own = metadata.version("batch-os-provider")
    needed = runtime not in ("", "python")
    return [
        judge_plugin(find(environ), own, needed=needed, ask=ask),
        judge_host(yaml_host(environ), needed=runtime == "yaml"),
        *configured,
    ]


def judge_plugin(
    found: Found | None, own: str, *, needed: bool, ask: Callable[[str], str], platform: str = sys.platform
) -> Check:
    """Whether Pulumi finds the provider, whether it starts, and whether its version is that of this package.

    Args:
        found: what Pulumi would start.
        own: the version of this package.
        needed: the program of this folder is not in Python.
        ask: starts a provider and returns its version, or raises PluginError.
        platform: the system, whose shell runs the next step.
    """
    file = f"(Get-Command {COMMAND}).Source" if platform == "win32" else f'"$(command -v {COMMAND})"'
    install = f"Run `pulumi plugin install resource batchos {own} --file {file}`"
    if found is None:
        seen = f"there is neither a {COMMAND} on PATH nor an installed plugin"
        if needed:
            return Check("machine", NAME, "fail", seen, install)
        return Check("machine", NAME, "skip", f"{seen}; only programs in YAML and other languages need it", install)
    where = "on PATH" if found.on_path else "installed"
    if not found.path:
        return Check("machine", NAME, "ok", f"{found.version} {where}, as a source plugin that only Pulumi can start")
    try:
        version = ask(found.path)
    except PluginError as error:
        fix = "Install batch-os-provider again, in the environment that this command belongs to"
        return Check("machine", NAME, "fail" if needed else "warn", str(error), fix)
    return _judge_version(found, version, own, where, install)


def _judge_version(found: Found, version: str, own: str, where: str, install: str) -> Check:
    """Whether the provider that Pulumi would start is this package."""
    if version != own:
        seen = f"{version} {where} ({found.path}), and this package is {own}"
        fix = "Remove it from PATH, or install this package there" if found.on_path else install
        return Check("machine", NAME, "warn", seen, fix)
    if found.version not in ("", version):
        return Check("machine", NAME, "warn", f"installed as {found.version}, and {found.path} is {version}", install)
    hides = f"; it hides the installed {found.hidden}" if found.hidden not in ("", version) else ""
    return Check("machine", NAME, "ok", f"{version} {where}; starts and answers{hides}")


def judge_host(where: str, *, needed: bool) -> Check:
    """Whether the Pulumi CLI can run YAML programs."""
    if where:
        return Check("machine", HOST, "ok", where)
    seen, fix = "pulumi-language-yaml is missing", "Install the Pulumi CLI with its official installer, which has it"
    return Check("machine", HOST, "fail" if needed else "skip", seen, fix)


def config_checks(project: Project) -> list[Check]:
    """Whether the keys `batchos:*` of each stack are valid; no check for a stack without any.

    Raises:
        InputError: a file cannot be read.
    """
    found = []
    for stack in project.stacks():
        bag = _bag(yaml_file(project.folder / f"Pulumi.{stack}.yaml").get("config"))
        given = {str(key).removeprefix(_PREFIX): value for key, value in bag.items() if str(key).startswith(_PREFIX)}
        if given:
            found += _of_stack(stack, given)
    return found


def _of_stack(stack: str, given: Mapping[str, Any]) -> list[Check]:
    failures = config.check({name: _plain(name, value) for name, value in given.items()})
    checks = [
        Check(
            "machine",
            CONFIG,
            "fail",
            f"stack {stack}: {_PREFIX}{each.property}: {each.reason}",
            f"Correct it with `pulumi config set {_PREFIX}{each.property} VALUE --stack {stack}`, or remove it with "
            f"`pulumi config rm`",
        )
        for each in failures
    ]
    checks += [
        Check(
            "machine",
            CONFIG,
            "warn",
            f"stack {stack}: {_PREFIX}{name} is not encrypted",
            f"Renew the secret, then run `pulumi config set --secret {_PREFIX}{name} --stack {stack}`",
        )
        for name in config.SECRETS
        if name in given and not _is_encrypted(given[name])
    ]
    return checks or [Check("machine", CONFIG, "ok", f"stack {stack}: {', '.join(sorted(given))}")]


def _plain(name: str, value: object) -> object:
    """The value as the provider gets it: of an encrypted one only what it is."""
    if not _is_encrypted(value):
        return value
    return _HIDDEN if name in config.SECRETS else UNKNOWN


def _is_encrypted(value: object) -> bool:
    return isinstance(value, dict) and "secure" in value


def _bag(value: object) -> dict[Any, Any]:
    return value if isinstance(value, dict) else {}
