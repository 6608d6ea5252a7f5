"""The newest version that is known for each pool, and where it was seen.

A version is known if a node of the same image runs it, or if Azure lists it for the pool's region. For Cloud Services
pools Microsoft's table has all versions. Versions are compared only within one product, since the number of another one
says nothing: 22.04 is not an older 24.04.

Nodes of a pool on ``latest`` show no number. But a node cannot run an image that was made after the node was allocated.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date

from batch_os_provider.batch.image_reference import without_version
from batch_os_provider.batch.image_version import made_on, parse_image_version
from batch_os_provider.batch.pool import GALLERIES, Kind
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.cli.inventory import PoolSeen
from batch_os_provider.guest_os.catalogue import Catalogue
from batch_os_provider.guest_os.version import LATEST, GuestOsVersion, VersionSyntaxError

__all__ = ["BEHIND", "NEWEST", "UNKNOWN", "Listing", "Standing", "behind", "judge"]

BEHIND, NEWEST, UNKNOWN = "behind", "newest", "unknown"
"""How a pool stands: a newer version is known; none is known; its version cannot be compared."""

_IN_CATALOGUE = "the Guest OS catalogue"

Product = tuple[str, ...]
"""What versions are compared within: an image and, for a marketplace image, the first number of its versions."""


@dataclass(frozen=True)
class Standing:
    """A pool beside the newest version that is known for it.

    Attributes:
        seen: the pool as read.
        word: ``behind``, ``newest`` or ``unknown``.
        current: the version of the pool: its pin, or what its oldest node runs; empty if neither shows one.
        newest: the newest known version of the same product; empty if none is known.
        source: where ``newest`` was seen: the URL of a pool, the Guest OS catalogue, or a list of Azure's.
        made: when ``newest`` was made (the day in its number) or published (an image of a gallery); empty if unknown.
        allocated: when the oldest dedicated node was allocated, in UTC to the second; empty if no node shows it.
        why: the reason for ``unknown``.
    """

    seen: PoolSeen
    word: str
    current: str = ""
    newest: str = ""
    source: str = ""
    allocated: str = ""
    why: str = ""
    made: str = ""

    @property
    def origin(self) -> str:
        """How and when ``newest`` came to be, after "was"; empty if unknown."""
        if not self.made:
            return ""
        return f"{'made' if len(self.made) == len('2026-09-04') else 'published'} ({self.made})"


@dataclass(frozen=True)
class Listing:
    """The versions of one image that new nodes can get, as Azure lists them.

    Attributes:
        source: the list, in words.
        versions: when each version was published (a UTC time); empty if the list does not say.
    """

    source: str
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sighting:
    version: ImageVersion
    source: str
    published: str = ""

    def made(self, as_of: date) -> str:
        """When the version was published or made; empty if unknown, or if its number shows a day to come."""
        made = self.published or made_on(str(self.version))
        return made if made[:10] <= as_of.isoformat() else ""


_NOTHING_LISTED = Listing("")


def judge(
    pools: Sequence[PoolSeen], catalogue: Catalogue, as_of: date, listings: Mapping[str, Listing] | None = None
) -> list[Standing]:
    """Each pool beside the newest version that is known for it, in the order given.

    Args:
        pools: the pools of all accounts: a node of any of them is evidence for the others.
        catalogue: the Guest OS releases.
        as_of: the day to judge for.
        listings: what Azure lists for the image of each pool, by the pool's key.
    """
    best: dict[Product, _Sighting] = {}
    for sighting, product in (found for seen in pools for found in _sightings(seen)):
        known = best.get(product)
        if known is None or known.version.numbers < sighting.version.numbers:
            best[product] = sighting
    on_nodes = [(sighting, product) for product, sighting in best.items()]
    return [
        _of_nodes(seen, seen.vm, [*on_nodes, *_listed(seen, listings or {})], as_of)
        if seen.vm is not None
        else _of_catalogue(seen, catalogue, as_of)
        for seen in pools
    ]


def _listed(seen: PoolSeen, listings: Mapping[str, Listing]) -> Iterator[tuple[_Sighting, Product]]:
    """The versions that Azure lists for a pool. A list counts only for its own pool: regions get images in turn."""
    listing = listings.get(seen.pool.ref.key, _NOTHING_LISTED)
    for text, published in listing.versions.items():
        if seen.vm is not None and parse_image_version(text) is not None:
            version = ImageVersion.parse(text)
            yield _Sighting(version, listing.source, published), _product(seen.vm, version)


def _newest(sightings: Iterable[tuple[_Sighting, Product]], product: Product) -> _Sighting | None:
    """The newest version of a product, or of all products of an image; the first of equal ones, published if known."""
    found = [each for each, its in sightings if its[: len(product)] == product]
    return max(found, key=lambda each: (each.version.numbers, bool(each.published)), default=None)


def _sightings(seen: PoolSeen) -> Iterator[tuple[_Sighting, Product]]:
    """The versions that nodes of a pool run. Nodes of a pinned pool run the pin: only an empty pool changes it."""
    if seen.vm is None or not seen.vm.nodes:
        return
    texts = {node.version_text for node in seen.vm.nodes if node.version is not None}
    texts |= {seen.vm.pool.pin_text} if seen.vm.pool.pin is not None else set()
    for version in map(ImageVersion.parse, sorted(texts)):
        product = _product(seen.vm, version)
        if product:
            yield _Sighting(version, seen.pool.ref.url), product


def _product(view: VmPoolView, version: ImageVersion) -> Product:
    """The product of a version; empty if the pool does not show its image."""
    image = _image(view)
    # Its owner numbers a gallery image, so no number of it names the product.
    return image if not image or view.pool.gallery else (*image, str(version.numbers[0]))


def _image(view: VmPoolView) -> Product:
    """The image of a pool, without a version; empty if the pool does not show it."""
    reference = view.pool.configuration.get("imageReference")
    reference = reference if isinstance(reference, dict) else {}
    for name in GALLERIES:
        if reference.get(name):
            return (without_version({name: reference[name]}).casefold(),)
    parts = tuple(str(reference.get(name) or "").casefold() for name in ("publisher", "offer", "sku"))
    return parts if all(parts) else ()


def _of_nodes(
    seen: PoolSeen, view: VmPoolView, sightings: Sequence[tuple[_Sighting, Product]], as_of: date
) -> Standing:
    allocated = min((node.allocated for node in view.judged if node.allocated), default="")
    allocated = f"{allocated[:19]}Z" if allocated else ""
    if seen.trouble:
        return Standing(seen, UNKNOWN, allocated=allocated, why="its nodes could not be read")
    oldest = view.oldest()
    pinned = view.pool.pin_text if view.pool.pin is not None else ""
    text = pinned or (oldest.version_text if oldest is not None else "")
    if not text:
        return _of_age(seen, view, _newest(sightings, _image(view)), allocated, as_of)
    version = ImageVersion.parse(text)
    sighting = _newest(sightings, _product(view, version)) if _image(view) else None
    if sighting is None:
        why = "no node that was read runs this image"
        return Standing(seen, UNKNOWN, text, allocated=allocated, why=why)
    known = Standing(seen, BEHIND, text, str(sighting.version), sighting.source, allocated, made=sighting.made(as_of))
    if version.numbers < sighting.version.numbers:
        return known
    if not pinned and any(node.version is None for node in view.judged):
        return Standing(seen, UNKNOWN, text, allocated=allocated, why="some of its nodes show no version number")
    above = version.numbers > sighting.version.numbers  # an empty pool, whose pin no node has proven
    return Standing(seen, NEWEST, text, text, "" if above else sighting.source, allocated, made=known.made)


def _of_age(seen: PoolSeen, view: VmPoolView, newest: _Sighting | None, allocated: str, as_of: date) -> Standing:
    """A pool whose nodes show no number, by the age of its oldest node."""
    why = _no_version(view)
    if newest is None or not _image(view):
        return Standing(seen, UNKNOWN, allocated=allocated, why=why)
    text, made = str(newest.version), newest.made(as_of)
    known = Standing(seen, BEHIND, "", text, newest.source, allocated, made=made)
    if allocated and made and allocated < made:
        return known
    if allocated and made:
        why = f"its nodes show no version number, and none was allocated before {text} was {known.origin}"
    return replace(known, word=UNKNOWN, why=why)


def _no_version(view: VmPoolView) -> str:
    if not view.judged:
        return f"it has no dedicated nodes, and new ones get {view.pool.pin_text}"
    shown = sorted({node.version_text for node in view.judged if node.version_text})
    return f"its nodes show {', '.join(shown) or 'no version'}, and no number"


def _of_catalogue(seen: PoolSeen, catalogue: Catalogue, as_of: date) -> Standing:
    pool = seen.pool
    if seen.retired or pool.kind is not Kind.CLOUD_SERVICES:
        return Standing(seen, UNKNOWN, why=seen.retired or seen.trouble or "Batch does not show its configuration")
    # A running upgrade ends at its target.
    text = pool.target_os_version or pool.current_os_version or ""
    if text == LATEST:
        return Standing(seen, UNKNOWN, text, why="Batch does not show which version * stands for")
    try:
        version = GuestOsVersion.parse(text)
    except VersionSyntaxError:
        return Standing(seen, UNKNOWN, text, why="it does not show a Guest OS version")
    release, too_old = catalogue.newest(version.family, as_of), catalogue.outdated(as_of)
    why = ""
    if release is None:
        why = f"the Guest OS catalogue does not know family {version.family}"
    elif version < release.version and release.disabled is not None and as_of >= release.disabled:
        why = f"{release.text}, the newest release that the Guest OS catalogue knows, is disabled"
    elif version >= release.version and too_old:
        why = too_old
    if release is None or why:
        return Standing(seen, UNKNOWN, text, why=why)
    if version < release.version:
        return Standing(seen, BEHIND, text, release.text, _IN_CATALOGUE)
    return Standing(seen, NEWEST, text, text, _IN_CATALOGUE)


def behind(standings: Iterable[Standing]) -> list[Standing]:
    """The pools for which a newer version is known."""
    return [each for each in standings if each.word == BEHIND]
