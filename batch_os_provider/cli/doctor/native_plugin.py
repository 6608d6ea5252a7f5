"""Finds the native provider as Pulumi does, and asks it for its version.

Pulumi takes an executable on ``PATH`` first, and then the newest installed plugin (`sdk/go/common/workspace/plugins.go`
of 3.259). An old one on ``PATH`` therefore hides a new one, which no message of Pulumi says.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2

from batch_os_provider.cli.doctor.plugin_process import SECONDS, PluginError, engine, last_line, protocol, started

__all__ = ["COMMAND", "Found", "ask", "find", "yaml_host"]

COMMAND, HOST = "pulumi-resource-batchos", "pulumi-language-yaml"
_FOLDER = re.compile(r"resource-batchos-v(\d+(?:\.\d+)*)(.*)")


@dataclass(frozen=True)
class Found:
    """A provider that Pulumi would start. ``path`` is empty if only Pulumi can start it.

    ``version`` is that of an installed plugin by its folder's name, else empty. ``hidden`` is the version of an
    installed plugin that Pulumi does not take.
    """

    path: str
    on_path: bool
    version: str = ""
    hidden: str = ""


def find(environ: Mapping[str, str]) -> Found | None:
    """The provider that Pulumi would start; None without one."""
    installed = _installed(environ)
    ambient = shutil.which(COMMAND, path=environ.get("PATH", ""))
    ignored = environ.get("PULUMI_IGNORE_AMBIENT_PLUGINS", "").lower() in ("true", "1", "yes")
    if ambient is not None and not ignored:
        return Found(ambient, on_path=True, hidden=installed[0] if installed else "")
    if installed is None:
        return None
    version, folder = installed
    return Found(shutil.which(COMMAND, path=str(folder)) or "", on_path=False, version=version)


def _installed(environ: Mapping[str, str]) -> tuple[str, Path] | None:
    """The newest plugin that was installed completely."""
    home = environ.get("PULUMI_HOME") or str(Path(environ.get("HOME") or environ.get("USERPROFILE") or ".") / ".pulumi")
    plugins = Path(home) / "plugins"
    found = [(match, each) for each in _folders(plugins) if (match := _FOLDER.fullmatch(each.name))]
    whole = [
        (match[1] + match[2], each)
        for match, each in found
        if not match[2].endswith((".lock", ".partial")) and not (plugins / f"{each.name}.partial").exists()
    ]
    return max(whole, key=lambda each: [int(part) for part in re.findall(r"\d+", each[0])], default=None)


def _folders(plugins: Path) -> list[Path]:
    try:
        return [each for each in plugins.iterdir() if each.is_dir()]
    except OSError:
        return []


def yaml_host(environ: Mapping[str, str]) -> str:
    """Where the language host for YAML is, in words; empty without one."""
    cli = shutil.which("pulumi", path=environ.get("PATH", ""))
    if cli is not None and shutil.which(HOST, path=str(Path(cli).resolve().parent)):
        return "beside the Pulumi CLI"
    return "on PATH" if shutil.which(HOST, path=environ.get("PATH", "")) else ""


def ask(path: str) -> str:
    """Start the provider as Pulumi does, and have it say its version and its schema.

    Raises:
        PluginError: it does not start or does not answer.
    """
    rows: list[Any] = []
    server, address = engine(rows)
    try:
        return _asked(path, address)
    except grpc.RpcError as error:
        raise PluginError(f"{path} does not answer: {last_line(error.details())}") from error
    except OSError as error:
        raise PluginError(f"{path} does not start: {error.strerror}") from error
    finally:
        server.stop(None)


def _asked(path: str, address: str) -> str:
    try:
        with started([path, address]) as plugin:
            plugin.GetSchema(protocol().provider_pb2.GetSchemaRequest(), timeout=SECONDS)
            return str(plugin.GetPluginInfo(empty_pb2.Empty(), timeout=SECONDS).version)
    except PluginError as error:
        raise PluginError(f"{path} does not start: {error}") from None
