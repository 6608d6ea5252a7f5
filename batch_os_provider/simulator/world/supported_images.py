"""The images that Batch supports, as ``GET /supportedimages`` lists them: by SKU and node agent, without versions.

What hurts teams most is the end of an image's support, so an account without any seed has a list with the end dates
that Microsoft has announced. A seed replaces the list with ``supportedImages``, in the form of the answer. Its rows of
``images`` (:mod:`.vm_images`) are listed too; they add an image, or override what the list says about it. So are the
images of its pools, since Batch creates no pool with an image that it does not support.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from batch_os_provider.simulator.world.clock import parse_iso
from batch_os_provider.simulator.world.errors import BatchError
from batch_os_provider.simulator.world.reader import Reader, StateError
from batch_os_provider.simulator.world.vm_images import MARKETPLACE, OS_TYPES, newest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from batch_os_provider.simulator.world.world import World

_AGENT: Final = "batch.node."
_VERIFICATION_TYPES: Final = ("verified", "unverified")
_OWN: Final = ("nodeAgentSKUId", "osType", "verificationType", "capabilities", "batchSupportEndOfLife")
"""The fields of a row besides ``imageReference``."""
_SECOND: Final = ["Generation2VMImage"]
_HPC: Final = ["DockerCompatible", "NvidiaTeslaDriverInstalled", "Generation2VMImage", "SupportsRDMAOnly"]
_END_OF_2016: Final = "2027-01-12T00:00:00Z"
"""Windows Server 2016 (Azure/Batch#197)."""
_END_OF_JAMMY: Final = "2027-06-30T00:00:00Z"
"""Ubuntu 22.04 (Azure/Batch#200). The end of a release is that of its node agent, so it holds for ubuntu-hpc too."""


def _row(
    image: Iterable[str], agent: str, end: str = "", capabilities: list[str] | None = None, verified: str = "verified"
) -> dict[str, Any]:
    """A row of the list; ``image`` is publisher, offer and SKU."""
    return {
        "nodeAgentSKUId": f"{_AGENT}{agent}",
        "imageReference": {**dict(zip(MARKETPLACE, image, strict=True)), "version": "latest"},
        "osType": "windows" if agent.startswith("windows") else "linux",
        **({"capabilities": capabilities} if capabilities else {}),
        **({"batchSupportEndOfLife": end} if end else {}),
        "verificationType": verified,
    }


def _windows(release: str, end: str, *skus: str) -> Iterator[dict[str, Any]]:
    for sku in skus:
        second = _SECOND if sku.endswith(("gensecond", "-gs", "-g2")) else []
        docker = ["DockerCompatible"] if "containers" in sku else []
        image = ("microsoftwindowsserver", "windowsserver", f"{release}-{sku}")
        yield _row(image, "windows amd64", end, docker + second)


_SKUS: Final = ("datacenter", "datacenter-smalldisk", "datacenter-with-containers")
BUILT_IN: Final = (
    *_windows("2016", _END_OF_2016, *_SKUS, "datacenter-gensecond", "datacenter-gs", "datacenter-smalldisk-g2"),
    *_windows("2019", "", *_SKUS, "datacenter-core", "datacenter-gensecond", "datacenter-smalldisk-g2"),
    *_windows("2022", "", "datacenter", "datacenter-smalldisk", "datacenter-core", "datacenter-g2"),
    _row(("canonical", "0001-com-ubuntu-server-jammy", "22_04-lts"), "ubuntu 22.04", _END_OF_JAMMY),
    _row(("canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"), "ubuntu 22.04", _END_OF_JAMMY, _SECOND),
    _row(("canonical", "ubuntu-24_04-lts", "server"), "ubuntu 24.04", "", _SECOND),
    _row(("canonical", "ubuntu-24_04-lts", "server-gen1"), "ubuntu 24.04"),
    _row(("microsoft-dsvm", "ubuntu-hpc", "2204"), "ubuntu 22.04", _END_OF_JAMMY, _HPC),
    _row(("microsoft-dsvm", "ubuntu-hpc", "2404"), "ubuntu 24.04", "", _HPC),
    _row(("almalinux", "almalinux-hpc", "8_10-hpc-gen2"), "el 8", "", _HPC),
    _row(("almalinux", "almalinux-hpc", "9_4-hpc-gen2"), "el 9", "", _HPC),
    _row(("redhat", "rhel", "8-lvm-gen2"), "el 8", "", _SECOND, "unverified"),
    _row(("redhat", "rhel", "9-lvm-gen2"), "el 9", "", _SECOND, "unverified"),
    _row(("debian", "debian-11", "11-gen2"), "debian 11", "", _SECOND),
    _row(("debian", "debian-12", "12-gen2"), "debian 12", "", _SECOND),
)
"""The list of an account whose seed has none. Real ones are longer; which images have no date was not checked."""


def read(row: object) -> dict[str, Any]:
    """One row of ``supportedImages``.

    Raises:
        StateError: the row is invalid.
    """
    reader = Reader("supportedImages", row)
    agent = reader.take("nodeAgentSKUId", str)
    reference = Reader("supportedImages imageReference", reader.take("imageReference", dict))
    image = {name: reference.take(name, str) for name in MARKETPLACE}
    image["version"] = reference.take("version", str, "latest")
    reference.finish()
    os_type = reader.take("osType", str, "windows" if "windows" in agent.lower() else "linux")
    verified = reader.take("verificationType", str, "verified")
    capabilities, end = reader.take("capabilities", list, None), reader.take("batchSupportEndOfLife", str, None)
    reader.finish()
    for name, value, allowed in (("osType", os_type, OS_TYPES), ("verificationType", verified, _VERIFICATION_TYPES)):
        if value not in allowed:
            raise StateError(f"supportedImages: the {name} {value!r} is not one of {', '.join(allowed)}.")
    if end is not None:
        reader.parse_time("batchSupportEndOfLife", end)
    found = {"nodeAgentSKUId": agent, "imageReference": image, "osType": os_type, "verificationType": verified}
    more = {"capabilities": capabilities, "batchSupportEndOfLife": end}
    return found | {name: value for name, value in more.items() if value is not None}


def _names(image: Mapping[str, Any]) -> str:
    """Publisher, offer and SKU, to compare them without case, as Azure does."""
    return ":".join(str(image.get(name)) for name in MARKETPLACE).lower()


def _used(world: World) -> dict[str, dict[str, dict[str, Any]]]:
    """A row for each image of a pool and its node agent: by image, then by agent."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for pool in world.pools.values():
        machine = pool.virtual_machine or {}
        image, agent = machine.get("imageReference", {}), str(machine.get("nodeAgentSKUId", ""))
        if agent and all(name in image for name in MARKETPLACE):
            row = _row([image[name] for name in MARKETPLACE], agent.removeprefix(_AGENT))
            found.setdefault(_names(image), {})[agent.lower()] = {**row, "nodeAgentSKUId": agent}
    return found


def _seeded(world: World) -> dict[str, dict[str, Any]]:
    """The marketplace images in ``images`` that exist now. Of several rows of one image the first describes it."""
    found: dict[str, dict[str, Any]] = {}
    for image in world.images:
        if all(name in image for name in MARKETPLACE) and newest(world.images, image, world.now) is not None:
            found.setdefault(_names(image), image)
    return found


def _guessed(image: Mapping[str, Any]) -> dict[str, Any]:
    """A row for an image of ``images`` that no pool uses."""
    names = [str(image[name]) for name in MARKETPLACE]
    windows = image.get("osType", "windows" if "windows" in "".join(names[:2]).lower() else "linux") == "windows"
    return _row(names, "windows amd64" if windows else " ".join(names[1:]))


def _rows(world: World) -> Iterator[dict[str, Any]]:
    """All rows, also those of images that have ended."""
    seeded, used = _seeded(world), _used(world)
    listed: set[str] = set()
    for row in BUILT_IN if world.supported is None else world.supported:
        name = _names(row["imageReference"])
        listed.add(name)
        used.get(name, {}).pop(row["nodeAgentSKUId"].lower(), None)
        yield {**row, **_given(seeded.get(name, {}))}
    for name, image in seeded.items():
        if name not in listed and name not in used:
            yield {**_guessed(image), **_given(image)}
    for name, rows in used.items():
        yield from ({**row, **_given(seeded.get(name, {}))} for row in rows.values())


def refuse_unfit_agent(world: World, machine: Mapping[str, Any]) -> None:
    """Refuse a marketplace image with a node agent SKU that is not listed for it, as ``agentOfAnotherImage`` says.

    Raises:
        BatchError: the agent does not belong to the image.
    """
    code = world.unknowns["agentOfAnotherImage"]
    if code != "accepted" and not has_fitting_agent(world, machine):
        reason = f"The node agent SKU {machine['nodeAgentSKUId']} is not supported for the specified imageReference"
        raise BatchError(str(code), ("PropertyName", "nodeAgentSKUId"), ("Reason", reason))


def has_fitting_agent(world: World, machine: Mapping[str, Any]) -> bool:
    """Whether the agent is listed for the image; True for an image that neither the list nor a seed describes."""
    name, agent = _names(machine["imageReference"]), str(machine.get("nodeAgentSKUId", "")).lower()
    listed = [row for row in (BUILT_IN if world.supported is None else world.supported) if _is(row, name)]
    seeded = _seeded(world).get(name, {})
    agents = {str(row["nodeAgentSKUId"]).lower() for row in (seeded, *listed) if "nodeAgentSKUId" in row}
    return not agents or agent in agents


def _is(row: Mapping[str, Any], name: str) -> bool:
    return _names(row["imageReference"]) == name


def _given(image: Mapping[str, Any]) -> dict[str, Any]:
    return {name: image[name] for name in _OWN if name in image}


def supported_images(world: World) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows that Batch lists now, each with the key by which a list is sorted.

    The switch ``endedImages`` says whether an image whose support has ended is still listed.
    """
    for row in _rows(world):
        end = row.get("batchSupportEndOfLife")
        ended = end is not None and parse_iso(end) <= world.now
        if not ended or world.unknowns["endedImages"] == "listed":
            yield f"{_names(row['imageReference'])}:{row['nodeAgentSKUId'].lower()}", row
