# ruff: noqa: INP001 - a policy pack is a program that the engine starts in its own folder, not a package
"""The policy pack: its policies, their levels, and the code that passes the engine's arguments to the rules.

`pulumi preview --policy-pack policies` starts it. docs/policies.md says what each policy checks, how to configure it,
and what it cannot see.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Any

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

Rule = Callable[[rules.Resource, Mapping[str, Any]], str]
STRINGS = {"type": "array", "items": {"type": "string"}}


def target_supported(resource: rules.Resource, config: Mapping[str, Any]) -> str:
    """Apply the rule with the catalogue of this machine (docs/catalogue.md) and today's date in UTC."""
    return rules.target_supported(
        resource, config, catalogue_file.current().catalogue, datetime.now(timezone.utc).date()
    )


def policy(name: str, description: str, level: EnforcementLevel, rule: Rule) -> ResourceValidationPolicy:
    """A policy for both resources."""

    def validate(args: ResourceValidationArgs, report: ReportViolation) -> None:
        resource = rules.Resource(args.resource_type, args.name, args.urn, args.props, args.stack_tags)
        if not resource.kind:
            return
        try:
            message = rule(resource, args.get_config())
        except UnknownValueError as unknown:
            # The SDK turns this into a warning that the policy could not run. Add the resource to its text.
            unknown.message = f"{args.name}: {unknown.message}; `pulumi up` checks it again"
            raise
        if message:
            report(message, None)

    schema = {
        option: {**(STRINGS if isinstance(default, list) else {"type": "string"}), "default": default}
        for option, default in rules.DEFAULTS[name].items()
    }
    return ResourceValidationPolicy(name, description, validate, level, PolicyConfigSchema(schema) if schema else None)


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
    ],
)
