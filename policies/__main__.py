# ruff: noqa: INP001 - a policy pack is a program that the engine starts in its own folder, not a package
"""The policy pack: its policies, their levels, and the code that passes the engine's arguments to the rules.

`pulumi preview --policy-pack policies` starts it. docs/policies.md says what each policy checks, how to configure it,
and what it cannot see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import account_reader
import batch_rules as rules
from pulumi_policy import (
    EnforcementLevel,
    PolicyConfigSchema,
    PolicyPack,
    ReportViolation,
    ResourceValidationArgs,
    ResourceValidationPolicy,
)
from pulumi_policy.proxy import UnknownValueError

from batch_os_provider.guest_os import catalogue_file
from batch_os_provider.schema.spelling import CoreNames, spell

Rule = Callable[[rules.Resource, Mapping[str, Any]], str]
STRINGS = {"type": "array", "items": {"type": "string"}}


def target_supported(resource: rules.Resource, config: Mapping[str, Any]) -> str:
    """Apply the rule with the catalogue of this machine (docs/catalogue.md) and today's date in UTC."""
    return rules.target_supported(resource, config, catalogue_file.current().catalogue, datetime.now(UTC).date())


_read = account_reader.AccountReader()


def image_supported(resource: rules.Resource, config: Mapping[str, Any]) -> str:
    """Apply the rule with what Batch shows now. If Batch cannot be read, the policy cannot run, and Pulumi says so."""
    try:
        return rules.image_supported(resource, config, _read, datetime.now(UTC))
    except account_reader.NotReadError as error:
        raise CannotRunError(f"could not check when the support of its image ends: {error}") from error


class CannotRunError(UnknownValueError):
    """A policy that cannot run. The SDK turns the base class into a warning, and any other error into a failure."""

    def __init__(self, message: str) -> None:
        Exception.__init__(self, message)  # not the base class, which has its own text about a property
        self.message = message


def policy(name: str, description: str, level: EnforcementLevel, rule: Rule) -> ResourceValidationPolicy:
    """A policy for both resources."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        properties = CoreNames(args.props)
        resource = rules.Resource(args.resource_type, args.name, args.urn, properties, args.stack_tags)
        if not resource.kind:
            return
        try:
            message = rule(resource, args.get_config())
        except UnknownValueError as unknown:
            # The SDK turns this into a warning that the policy could not run. Add the resource to its text.
            unknown.message = f"{args.name}: {unknown.message}; `pulumi up` checks it again"
            raise
        if message:
            report(spell(message) if args.resource_type.startswith("batchos:") else message, None)

    schema = {option: {**_type(default), "default": default} for option, default in rules.DEFAULTS[name].items()}
    return ResourceValidationPolicy(name, description, validate, level, PolicyConfigSchema(schema) if schema else None)


def _type(default: object) -> dict[str, Any]:
    """The JSON type of a property, from its default."""
    if isinstance(default, list):
        return STRINGS
    return {"type": "integer" if isinstance(default, int) else "string"}


PolicyPack(
    "batch-os",
    [
        policy(
            "production-pinned",
            "Pools of production stacks are pinned to an exact OS version.",
            EnforcementLevel.MANDATORY,
            rules.production_pinned,
        ),
        policy(
            "version-floor",
            "No pool is declared below the floor of its OS family or image.",
            EnforcementLevel.MANDATORY,
            rules.version_floor,
        ),
        policy(
            "timeout-set",
            "Each pool declares how long one `pulumi up` may wait for it.",
            EnforcementLevel.ADVISORY,
            rules.timeout_set,
        ),
        policy(
            # Advisory, because the verdict depends on the date: a mandatory policy could block an unchanged stack.
            "target-supported",
            "No pool is declared at a Guest OS version that is disabled or has expired.",
            EnforcementLevel.ADVISORY,
            target_supported,
        ),
        policy(
            # Disabled, because it is the only policy that asks Batch, which needs a credential.
            "image-supported",
            "No VM pool has an image whose support ends soon or has ended.",
            EnforcementLevel.DISABLED,
            image_supported,
        ),
    ],
)
