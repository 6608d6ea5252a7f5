# ruff: noqa: INP001 - a policy pack is a program that the engine starts in its own folder, not a package
"""The rules of the policies: each takes a resource and a policy's config, and returns a message or an empty text.

The rules use neither Pulumi nor a clock nor Batch, so that tests need none of them. In a preview, a property may not be
known yet, and reading it raises an error. So a rule reads only the properties that it judges.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from batch_os_provider.batch.image_reference import reference_of
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.supported_images import ENDS_WITHIN, judge
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.guest_os.version import ALLOWED, LATEST, GuestOsVersion, VersionSyntaxError
from batch_os_provider.preview.image_support import clause
from batch_os_provider.schema.inputs import (
    ACCOUNT_ENDPOINT,
    IMAGE,
    NODE_AGENT,
    OS,
    POOL_ID_NAME,
    STRATEGY,
    TARGET_IMAGE,
)
from batch_os_provider.schema.resource_types import kind_of
from batch_os_provider.schema.units import shown
from batch_os_provider.wording import counted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from batch_os_provider.batch.supported_images import SupportedImage
    from batch_os_provider.guest_os.catalogue import Catalogue

    Read = Callable[[str, str], tuple[Mapping[str, Any] | None, Sequence[SupportedImage]]]
    """Reads the configuration of a pool and the list of images, by endpoint and pool id."""

__all__ = [
    "CODES",
    "DEFAULTS",
    "ConfigError",
    "Resource",
    "image_supported",
    "production_pinned",
    "target_supported",
    "timeout_set",
    "version_floor",
]

_TARGETS: Mapping[str, tuple[str, ...]] = {"os": OS.targets, "image": IMAGE.targets}

_ADDRESS = (ACCOUNT_ENDPOINT, POOL_ID_NAME)

CODES = ("unknown", "disabled", "expired", "retired", "behind")
"""The catalogue's codes that the config of ``target-supported`` may list."""

DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "production-pinned": {"stacks": ["prod*", "*-prod*"], "tags": ["environment=prod*"]},
    "version-floor": {"floors": []},
    "timeout-set": {},
    "target-supported": {"refuse": ["disabled", "expired"], "as_of": ""},
    "image-supported": {"days": ENDS_WITHIN, "as_of": ""},
}
"""The default config of each policy."""

MOST_DAYS = 3650
"""The largest number of days that the config of ``image-supported`` may have."""

_LATEST_IMAGE = ("latest", "exact numbers with dots, such as 20348.2461.240510")
"""The moving target of a VM pool, which ``target_image`` allows, and what is allowed in its place."""

_FLOOR = "WA-GUEST-OS-<family>.<minor>_<YYYYMM>-<NN>, or an image version such as 20348.2461.240510"


class ConfigError(ValueError):
    """The pack's config is wrong; the text says what is allowed."""


@dataclass(frozen=True)
class Resource:
    """A resource as a policy sees it. ``properties`` are its inputs; reading an unknown one raises an error."""

    type: str
    name: str
    urn: str
    properties: Mapping[str, Any]
    tags: Mapping[str, str] = field(default_factory=dict)

    @property
    def stack(self) -> str:
        """The stack's name from the URN, since not every CLI puts it into the environment."""
        return self.urn.removeprefix("urn:pulumi:").partition("::")[0]

    @property
    def kind(self) -> str:
        """``os`` or ``image``; empty for any other resource."""
        return kind_of(self.type, list(self.properties))

    @property
    def target_name(self) -> str:
        """The property that holds the target; the first one if the program declares none."""
        names = _TARGETS[self.kind]
        return next((name for name in names if self.has(name)), names[0])

    @property
    def is_declared(self) -> bool:
        """Whether a program declares the pool. A pool that is only read (``PoolOsVersion.get``) has no target."""
        return bool(self.kind) and (self.has(self.target_name) or self.is_left_to_batch)

    @property
    def is_left_to_batch(self) -> bool:
        """Whether Batch renews the pool itself, and the program declares no version."""
        return self.kind == "image" and self.has(STRATEGY) and not self.has(self.target_name)

    def has(self, name: str) -> bool:
        """Whether the property was declared, also if its value is not known yet."""
        return name in list(self.properties)  # `in` on the mapping itself would read the value

    def says(self, name: str, value: object, trouble: str) -> str:
        """A message that begins with resource, property and value."""
        return f"{self.name}: {name} is {shown(value)}, {trouble}"


def production_pinned(resource: Resource, config: Mapping[str, Any]) -> str:
    """Refuse ``*`` and ``latest`` in production: their version changes without a review. Raises ConfigError."""
    options = _options("production-pinned", config)
    if not resource.is_declared or resource.is_left_to_batch:
        return ""
    why = _production(resource, options["stacks"], options["tags"])
    moving, allowed = (LATEST, ALLOWED.partition(",")[0]) if resource.kind == "os" else _LATEST_IMAGE
    if not why or resource.properties[resource.target_name] != moving:
        return ""
    return resource.says(
        resource.target_name,
        moving,
        f"and {why} is production. Allowed: {allowed}. Declare a version that was tested in an earlier stack.",
    )


def version_floor(resource: Resource, config: Mapping[str, Any]) -> str:
    """Refuse a version below the floor of its OS family or of its image's build. Raises ConfigError."""
    options = _options("version-floor", config)
    floors = _floors(options["floors"])
    if not floors or not resource.is_declared or resource.is_left_to_batch:
        return ""
    target = resource.properties[resource.target_name]
    version = _parse(target)
    if version is None:  # `*` is the newest version, and a moment is none, so neither is below a floor
        return ""
    floor = floors.get(_line(version))
    if floor is None or _key(version) >= _key(_parsed(floor)):
        return ""
    return resource.says(
        resource.target_name,
        target,
        f"which is below the floor of {_line(version)}. Allowed: {floor} or later. "
        "Declare such a version, or change the floor in the policy pack's config.",
    )


def timeout_set(resource: Resource, config: Mapping[str, Any]) -> str:
    """Refuse a pool without its own ``timeout``. Raises ConfigError."""
    _options("timeout-set", config)
    if not resource.is_declared or resource.has("timeout"):  # an unknown value is a value
        return ""
    default = (OS if resource.kind == "os" else IMAGE).defaults["timeout"]
    return (
        f"{resource.name}: timeout is not set, so one `pulumi up` waits {default} for this pool. "
        "Allowed: 90s, 45m, 1h30m or seconds, at most 720h. Declare how long an `up` may wait for this pool."
    )


def target_supported(resource: Resource, config: Mapping[str, Any], catalogue: Catalogue, today: date) -> str:
    """Refuse a Guest OS version with one of the catalogue's codes in ``refuse``. Raises ConfigError."""
    options = _options("target-supported", config)
    refused = options["refuse"]
    wrong = [each for each in refused if each not in CODES]
    if wrong:
        raise ConfigError(f"target-supported: refuse has {wrong[0]!r}; allowed: {', '.join(CODES)}")
    as_of = _date(options["as_of"], "target-supported") or today
    if resource.kind != "os" or not resource.is_declared:
        return ""
    target = resource.properties[resource.target_name]
    version = _parse(target)
    if not isinstance(version, GuestOsVersion):  # `*` is always the newest version
        return ""
    found = _refused(catalogue, target, as_of, refused)
    if not found:
        return ""
    newest = catalogue.newest(version.family, as_of)
    if newest is None or _refused(catalogue, newest.text, as_of, refused):
        todo = "Its family has no other version to declare: move the work to a pool of a newer family."
    else:
        todo = f"Declare a newer version; the newest known version of its family is {newest.text}."
    return resource.says(
        resource.target_name,
        target,
        f"which this policy refuses as of {as_of}: {'; '.join(found)}. "
        f"Allowed: a Guest OS version that is not {' or '.join(refused)}. {todo}",
    )


def image_supported(resource: Resource, config: Mapping[str, Any], read: Read, now: datetime) -> str:
    """Refuse a VM pool whose image ends within ``days``, has ended, or is not listed. Raises ConfigError.

    Args:
        resource: the declared pool. Its inputs do not name the image, so ``read`` asks Batch.
        config: of the policy.
        read: called only for a VM pool that a program declares.
        now: the time to judge for, if ``as_of`` is not set.
    """
    options = _options("image-supported", config)
    # The engine sends every number as a float.
    days, as_of = int(options["days"]), _date(options["as_of"], "image-supported")
    if not 0 <= days <= MOST_DAYS:
        raise ConfigError(f"image-supported: days is {days}; allowed: a whole number from 0 to {MOST_DAYS}")
    if resource.kind != "image" or not all(resource.has(name) for name in _ADDRESS):
        return ""
    endpoint, pool_id = (str(resource.properties[name]) for name in _ADDRESS)
    configuration, images = read(endpoint, pool_id)
    name, agent = (resource.properties[each] if resource.has(each) else None for each in (TARGET_IMAGE, NODE_AGENT))
    if name is not None and configuration is not None:
        configuration = _wanted(str(name), agent, configuration, images)
    at = now if as_of is None else datetime.combine(as_of, time(), UTC)
    support = None if configuration is None else judge(configuration, images, at, days)
    found = "" if support is None else clause(support, pool_id)
    if not found:
        return ""
    allowed = f"an image that Batch lists, and whose support does not end within {counted(days, 'day')}"
    return f"{resource.name}: {found}. Allowed: {allowed}."


def _wanted(
    name: str, agent: object, configuration: Mapping[str, Any], images: Sequence[SupportedImage]
) -> Mapping[str, Any]:
    """The configuration of a pool after it has the declared image; as it is if the name is not that of an image."""
    try:
        image = WantedImage.parse(name, agent)
    except ValueError:  # the check of the resource refuses it
        return configuration
    listed = [each.agent for each in images if each.name.casefold() == name.casefold()]
    own = str(configuration.get("nodeAgentSKUId") or "")
    fitting = image.agent or (listed[0] if len(listed) == 1 else own if not image.is_listed_kind else "")
    return {"imageReference": reference_of(name, "latest"), "nodeAgentSKUId": fitting}


def _options(policy: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The policy's config with its defaults. Raises ConfigError for an unknown, probably misspelt, property."""
    known = DEFAULTS[policy]
    for name in config:
        if name not in known:
            allowed = ", ".join(("enforcementLevel", *known))
            raise ConfigError(f"{policy}: {name!r} is not a property of this policy; allowed: {allowed}")
    return {**known, **config}


def _refused(catalogue: Catalogue, version: str, as_of: date, codes: Sequence[str]) -> list[str]:
    """The catalogue's warnings with one of these codes. Notes, such as one release behind, do not count."""
    return [each.text for each in catalogue.judge(version, as_of) if each.is_warning and each.code in codes]


def _production(resource: Resource, stacks: Sequence[str], tags: Sequence[str]) -> str:
    """Why the stack is a production stack, in words; ``""`` if it is not."""
    wanted = [_tag(each) for each in tags]
    for pattern in stacks:
        if _matches(resource.stack, pattern):
            return f"stack {resource.stack!r} (its name matches {pattern!r})"
    for name, pattern in wanted:
        value = resource.tags.get(name)
        if value is not None and _matches(value, pattern):
            return f"stack {resource.stack!r} (its tag {name} is {value!r})"
    return ""


def _tag(text: str) -> tuple[str, str]:
    """A tag's name and the pattern of its value."""
    name, _, pattern = text.partition("=")
    if not (name and pattern):
        raise ConfigError(f"production-pinned: tags has {text!r}; allowed: name=pattern, such as environment=prod*")
    return name, pattern


def _matches(text: str, pattern: str) -> bool:
    return fnmatchcase(text.casefold(), pattern.casefold())


_Version = GuestOsVersion | tuple[int, ...]


def _parse(text: object) -> _Version | None:
    """A Guest OS version, an image version, or None."""
    try:
        return GuestOsVersion.parse(str(text))
    except VersionSyntaxError:
        return parse_image_version(text)


def _line(version: _Version) -> str:
    """The scope of a floor: an OS family, or the images with the same first number of the version."""
    return f"OS family {version.family}" if isinstance(version, GuestOsVersion) else f"images {version[0]}.*"


def _key(version: _Version) -> tuple[int, ...]:
    """The sort key of versions with the same floor."""
    return (version.minor, version.release) if isinstance(version, GuestOsVersion) else version


def _floors(texts: Sequence[str]) -> dict[str, str]:
    """The floors as spelled, by their scope. Raises ConfigError for two different floors of one scope."""
    floors: dict[str, str] = {}
    for text in texts:
        version = _parsed(text)
        first = floors.setdefault(_line(version), text)
        if _parsed(first) != version:
            raise ConfigError(f"version-floor: two floors for {_line(version)}, {first} and {text}")
    return floors


def _parsed(text: str) -> _Version:
    """The version of a floor. Raises ConfigError."""
    version = _parse(text)
    if version is None:
        raise ConfigError(f"version-floor: floors has {text!r}; allowed: {_FLOOR}")
    return version


def _date(text: str, policy: str) -> date | None:
    """A day; None for ``""``, which means today. Raises ConfigError."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise ConfigError(f"{policy}: as_of is {text!r}; allowed: a date such as 2026-01-31") from None
