"""What a program passes to a resource: refused in the program where it could not work later.

Pulumi's SDK ends with a traceback of its own for a value that it cannot send to the engine, and ignores
resource options that mean nothing to a dynamic resource. Here each of them is one sentence, raised where the program is
written. What the SDK can send is judged by the provider's ``check``: one preview then shows what is wrong everywhere.
"""

from __future__ import annotations

import inspect
import math
import re
import sys
from collections.abc import Mapping, Sequence
from datetime import timedelta
from enum import Enum
from typing import Any, NoReturn

import pulumi
from pulumi import Input, Output, ResourceOptions
from pulumi.output import Unknown

from batch_os_provider.batch.address import parse_pool_url
from batch_os_provider.schema import inputs
from batch_os_provider.schema.units import plain_duration, shown

__all__ = ["carried", "check_name", "check_options", "is_promised", "pool_url", "refuse", "strange_names"]

_NEXT = "Correct the program and run `pulumi preview`."
_PACKAGE = "pulumi-python"
_SECRET = "[secret]"  # noqa: S105 - what stands for one
_URL_FORM = (
    "the URL of a pool, {account_endpoint}/pools/{pool_id}, such as "
    "https://myaccount.westeurope.batch.azure.com/pools/render"
)
_USELESS: Mapping[str, str] = {
    "import_": "there is nothing to import: declaring the resource adopts the pool without a write; remove import_",
    "custom_timeouts": "Pulumi does not pass it to a dynamic resource; declare the input timeout instead, such as "
    "timeout='4h', which bounds one `up`",
    "replace_on_changes": "Pulumi does not learn which property of a dynamic resource changed; a change of "
    "account_endpoint or pool_id replaces the resource without it; remove replace_on_changes",
    "id": "it reads a pool, and the inputs would have no effect; remove it, and read the pool with `get`, whose "
    "argument id is the pool's URL",
    "urn": "it reads a resource from the state, and the inputs would have no effect; remove urn",
    "version": "it names the version of a plugin, and this resource has none; pin the package batch-os-provider "
    "instead",
    "plugin_download_url": "it names where a plugin is, and this resource has none; install the package "
    "batch-os-provider instead",
    "env_var_mappings": "it is for explicit providers; credentials come from the environment of the process",
}
"""Resource options that cannot have an effect here, and what to do instead."""
_OF_NAMES = ("ignore_changes", "additional_secret_outputs", "hide_diffs")
"""Resource options that name properties; the engine ignores a name that no property has."""


def refuse(who: str, wrong: Sequence[str]) -> NoReturn:
    """End the program with what is wrong, each in a clause that begins with the name of the argument.

    Raises:
        pulumi.RunError: always; Pulumi prints its text without a traceback.
    """
    said = "; ".join(wrong)
    raise pulumi.RunError(f"{who}: {said}{'' if said.endswith('?') else '.'} {_NEXT}")


def check_name(kind: str, resource_name: object) -> str:
    """What messages call the resource: its class and name. Raises pulumi.RunError where the name is not one."""
    if not isinstance(resource_name, str) or not resource_name:
        refuse(kind, [f"resource_name: {shown(resource_name)} is not a name; allowed: a string that is not empty"])
    return f"{kind} {resource_name}"


def check_options(who: str, opts: object) -> None:
    """Refuse the resource options that could have no effect.

    Raises:
        pulumi.RunError: one of them is given.
    """
    if opts is None:
        return
    if not isinstance(opts, ResourceOptions):
        refuse(who, [f"opts: {shown(opts)} is not allowed; allowed: pulumi.ResourceOptions(...)"])
    # An option may be missing in an older SDK.
    wrong = [f"opts.{name}: {why}" for name, why in _USELESS.items() if getattr(opts, name, None) is not None]
    providers = opts.providers.values() if isinstance(opts.providers, Mapping) else opts.providers or ()
    for provider in (*((opts.provider,) if opts.provider is not None else ()), *providers):
        package = getattr(provider, "package", None)
        if package != _PACKAGE:
            wrong.append(
                f"opts.provider: a provider for {package or shown(provider)} has no effect here; credentials come from "
                "the environment of the process; remove it"
            )
    if wrong:
        refuse(who, wrong)


def strange_names(opts: ResourceOptions | None, names: Sequence[str]) -> list[str]:
    """Warnings of the names in resource options that no property of the resource has."""
    found = []
    for option in _OF_NAMES:
        for path in getattr(opts, option, None) or ():
            first = re.split(r"[.\[]", path, maxsplit=1)[0] if isinstance(path, str) else path
            if first not in (*names, "*"):
                found.append(
                    f"opts.{option}: {shown(path)} has no effect: the resource has no such property; "
                    f"its properties: {', '.join(names)}"
                )
    return found


def is_promised(value: object) -> bool:
    """Whether it is an input whose value only the engine will know."""
    return isinstance(value, Output) or inspect.isawaitable(value)


def carried(who: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as Pulumi can send them to the provider: a ``timedelta`` as a duration, an enum as its value.

    An output is judged when its value is known; a secret one is judged by all that ``inputs`` knows, since the
    provider gets secrets as plain values and would repeat them in what it refuses.

    Raises:
        pulumi.RunError: a value that Pulumi cannot send, and that is not allowed either.
    """
    plain = {name: _plain(name, value) for name, value in declared.items() if not is_promised(value)}
    if not all(map(_can_be_sent, plain.values())):
        # What else is wrong is said as well: the check that would tell it is not reached.
        told = {name: _why_not(name, declared[name]) for name, value in plain.items() if value is not None}
        refuse(who, [f"{name}: {why}" for name, why in told.items() if why])
    return {name: plain[name] if name in plain else _when_known(who, name, value) for name, value in declared.items()}


def _why_not(name: str, value: object) -> str:
    """Why a value is not allowed, or cannot be sent; empty where neither is so."""
    plain = _plain(name, value)
    return inputs.wrong(name, plain) or ("" if _can_be_sent(plain) else f"{shown(value)} is not a plain value")


def _when_known(who: str, name: str, value: Input[Any]) -> Output[Any]:
    output: Output[Any] = Output.from_input(value)

    def judge(found: Sequence[Any]) -> Any:
        known, secret = found
        plain = _plain(name, known)
        if secret and known is not None and inputs.wrong(name, plain):
            refuse(who, [f"{name}: {_SECRET} is not allowed; allowed: {inputs.allowed(name)}"])
        if not _can_be_sent(plain):
            refuse(who, [f"{name}: {_why_not(name, known)}"])
        return plain

    return Output.all(output, output.is_secret()).apply(judge)


def pool_url(who: str, id_: object) -> Input[str]:
    """The id of a pool to read, in normal form.

    Raises:
        pulumi.RunError: it is not the URL of a pool, or it is secret: Pulumi keeps ids as plain text.
    """
    if not is_promised(id_):
        return _url(who, id_)
    output: Output[Any] = Output.from_input(id_)

    def judge(found: Sequence[Any]) -> str:
        known, secret = found
        if secret:
            why = f"id: {_SECRET} is not allowed, since Pulumi keeps ids as plain text; allowed: {_URL_FORM}"
            refuse(who, [f"{why}; the URL holds no secret, so pass pulumi.Output.unsecret(...) of it"])
        return _url(who, known)

    return Output.all(output, output.is_secret()).apply(judge)


def _url(who: str, id_: object) -> str:
    if not isinstance(id_, str):
        refuse(who, [f"id: {shown(id_)} is not a string; allowed: {_URL_FORM}"])
    try:
        return parse_pool_url(id_).url
    except ValueError as error:
        refuse(who, [f"id: {shown(id_)} is not the URL of a pool: {error}; allowed: {_URL_FORM}"])


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta) and name in inputs.DURATIONS:
        return plain_duration(value)
    return value


def _can_be_sent(value: object) -> bool:
    """Whether Pulumi can send it, and a provider reads it as it was; no input takes a list or a mapping."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, int):
        return abs(value) <= sys.float_info.max
    # The SDK has a stand-in of its own for what is not known yet.
    return value is None or isinstance(value, Unknown) or (isinstance(value, float) and math.isfinite(value))
