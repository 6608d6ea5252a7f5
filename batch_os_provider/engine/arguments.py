"""Checks the arguments of a resource in the user's program.

Pulumi's SDK prints a traceback for a value that it cannot send to the engine, and it ignores resource options without a
meaning for a dynamic resource. This module reports each of them in one sentence. The provider's ``check`` judges all
values that the SDK can send, so one preview shows the errors of all resources.
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

__all__ = ["check_name", "check_options", "is_pending", "pool_url", "refuse", "sendable", "unknown_names"]

_NEXT = "Correct the program and run `pulumi preview`."
_PACKAGE = "pulumi-python"
_SECRET = "[secret]"  # noqa: S105 - replaces a secret in messages
_URL_FORM = (
    "the URL of a pool, {account_endpoint}/pools/{pool_id}, such as "
    "https://myaccount.westeurope.batch.azure.com/pools/render"
)
_USELESS: Mapping[str, str] = {
    "import_": "an import is not needed: declaring the resource adopts the pool without a write; remove import_",
    "custom_timeouts": "Pulumi does not pass it to a dynamic resource; declare the input timeout instead, such as "
    "timeout='4h', which bounds one `up`",
    "replace_on_changes": "Pulumi does not learn which property of a dynamic resource changed; a change of "
    "account_endpoint or pool_id replaces the resource without it; remove replace_on_changes",
    "id": "it reads a pool, so the inputs would have no effect; remove it, and read the pool with `get` and the "
    "pool's URL as its argument id",
    "urn": "it reads a resource from the state, so the inputs would have no effect; remove urn",
    "version": "it names the version of a plugin, and this resource has none; pin the package batch-os-provider "
    "instead",
    "plugin_download_url": "it names where a plugin is, and this resource has none; install the package "
    "batch-os-provider instead",
    "env_var_mappings": "it is for explicit providers; credentials come from the environment of the process",
}
"""Resource options without an effect on these resources, each with the reason and the alternative."""
_OF_NAMES = ("ignore_changes", "additional_secret_outputs", "hide_diffs")
"""Resource options that contain names of properties. The engine ignores unknown names."""


def refuse(label: str, wrong: Sequence[str]) -> NoReturn:
    """End the program with an error.

    Args:
        label: the class and the name of the resource.
        wrong: the reasons, each of which begins with the name of the argument.

    Raises:
        pulumi.RunError: always. Pulumi prints its text without a traceback.
    """
    reasons = "; ".join(wrong)
    raise pulumi.RunError(f"{label}: {reasons}{'' if reasons.endswith('?') else '.'} {_NEXT}")


def check_name(kind: str, resource_name: object) -> str:
    """The class and the name of a resource, for messages. Raises pulumi.RunError if the name is not allowed."""
    if not isinstance(resource_name, str) or not resource_name:
        refuse(kind, [f"resource_name: {shown(resource_name)} is not a name; allowed: a non-empty string"])
    return f"{kind} {resource_name}"


def check_options(label: str, opts: object) -> None:
    """Refuse resource options that would have no effect.

    Raises:
        pulumi.RunError: the program passes such an option.
    """
    if opts is None:
        return
    if not isinstance(opts, ResourceOptions):
        refuse(label, [f"opts: {shown(opts)} is not allowed; allowed: pulumi.ResourceOptions(...)"])
    # An older SDK may lack an option.
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
        refuse(label, wrong)


def unknown_names(opts: ResourceOptions | None, names: Sequence[str]) -> list[str]:
    """Warnings about names in resource options that are not properties of the resource."""
    found = []
    for option in _OF_NAMES:
        for path in getattr(opts, option, None) or ():
            first = re.split(r"[.\[]", path, maxsplit=1)[0] if isinstance(path, str) else path
            if first not in (*names, "*"):
                found.append(
                    f"opts.{option}: {shown(path)} has no effect: it is not a property of the resource; "
                    f"its properties: {', '.join(names)}"
                )
    return found


def is_pending(value: object) -> bool:
    """Whether a value is an output or an awaitable, so that the program does not know it yet."""
    return isinstance(value, Output) or inspect.isawaitable(value)


def sendable(label: str, declared: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs as Pulumi can send them to the provider: a ``timedelta`` as a duration, an enum as its value.

    An output is checked when its value is known. A secret output gets the full check here, because the provider
    receives secrets as plain values and its error would show them.

    Raises:
        pulumi.RunError: Pulumi cannot send a value. For an output, the error comes when its value is known.
    """
    plain = {name: _plain(name, value) for name, value in declared.items() if not is_pending(value)}
    if not all(map(_can_be_sent, plain.values())):
        # Report the other wrong inputs too, since the program ends before the provider's check.
        reasons = {name: _why_not(name, declared[name]) for name, value in plain.items() if value is not None}
        refuse(label, [f"{name}: {why}" for name, why in reasons.items() if why])
    return {name: plain[name] if name in plain else _when_known(label, name, value) for name, value in declared.items()}


def _why_not(name: str, value: object) -> str:
    """Why a value is not allowed or cannot be sent; empty if it is fine."""
    plain = _plain(name, value)
    return inputs.wrong(name, plain) or ("" if _can_be_sent(plain) else f"{shown(value)} is not a plain value")


def _when_known(label: str, name: str, value: Input[Any]) -> Output[Any]:
    output: Output[Any] = Output.from_input(value)

    def judge(found: Sequence[Any]) -> Any:
        known, secret = found
        plain = _plain(name, known)
        if secret and known is not None and inputs.wrong(name, plain):
            refuse(label, [f"{name}: {_SECRET} is not allowed; allowed: {inputs.allowed(name)}"])
        if not _can_be_sent(plain):
            refuse(label, [f"{name}: {_why_not(name, known)}"])
        return plain

    return Output.all(output, output.is_secret()).apply(judge)


def pool_url(label: str, id_: object) -> Input[str]:
    """The id of a pool to read, in normal form.

    Raises:
        pulumi.RunError: the id is not the URL of a pool, or it is secret although Pulumi keeps ids as plain text.
    """
    if not is_pending(id_):
        return _url(label, id_)
    output: Output[Any] = Output.from_input(id_)

    def judge(found: Sequence[Any]) -> str:
        known, secret = found
        if secret:
            why = f"id: {_SECRET} is not allowed, since Pulumi keeps ids as plain text; allowed: {_URL_FORM}"
            refuse(label, [f"{why}; the URL is not confidential, so pass pulumi.Output.unsecret(...) of it"])
        return _url(label, known)

    return Output.all(output, output.is_secret()).apply(judge)


def _url(label: str, id_: object) -> str:
    if not isinstance(id_, str):
        refuse(label, [f"id: {shown(id_)} is not a string; allowed: {_URL_FORM}"])
    try:
        return parse_pool_url(id_).url
    except ValueError as error:
        refuse(label, [f"id: {shown(id_)} is not the URL of a pool: {error}; allowed: {_URL_FORM}"])


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta) and name in inputs.DURATIONS:
        return plain_duration(value)
    return value


def _can_be_sent(value: object) -> bool:
    """Whether Pulumi can send a value to the provider unchanged. No input takes a list or a mapping."""
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            return False
        return True
    if isinstance(value, int):
        return abs(value) <= sys.float_info.max
    # The SDK represents a value that is not known yet by ``Unknown``.
    return value is None or isinstance(value, Unknown) or (isinstance(value, float) and math.isfinite(value))
