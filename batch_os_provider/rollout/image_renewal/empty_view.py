"""What the strategy ``empty`` compares: the pool as it is with its marker, and with what is declared.

Between two steps another person or program may resize the pool, change its image or enable a formula. Only the owner
knows what is right then. So each step asks this module first whether its own steps lead to what the pool shows.
"""

from __future__ import annotations

from batch_os_provider.batch.empty_marker import EmptyMarker
from batch_os_provider.batch.vm_pool import Marker, VmPool
from batch_os_provider.batch.vm_target import ImageVersion, Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.rollout.image_renewal.move import is_made_from, same_image
from batch_os_provider.rollout.image_renewal.steps import ImageHistory
from batch_os_provider.wording import counted

__all__ = [
    "by_hand",
    "foreign",
    "foreign_formula",
    "foreign_image",
    "foreign_size",
    "is_left_in_order",
    "is_reached",
    "is_same_formula",
    "marker_is_gone",
    "way_back",
]

_ZERO = (0, 0)
_SHOWN = 60
"""Characters of a formula in a message."""


def is_reached(seen: VmPoolView, target: Target) -> bool:
    """Whether new nodes get what is declared, and no node is older.

    Nodes of a pinned pool have the pin, because the image changes only while a pool has none.
    """
    if isinstance(target, ImageVersion) or not target.is_met_by(seen.pool):
        return target.is_met_by(seen.pool)
    return not any(target.is_behind(node) for node in seen.nodes if not node.is_deallocated)


def way_back(mark: EmptyMarker) -> str:
    """The image from before, in words: its version, and with moves its name too."""
    return str(mark.before) if mark.moves else mark.way_back


def is_same_formula(pool: VmPool, mark: EmptyMarker | Marker) -> bool:
    """Whether the pool has the formula of the marker; white space does not count."""
    return bool(mark.formula) and pool.formula.split() == mark.formula.split() and pool.interval == mark.interval


def foreign(seen: VmPoolView, target: Target, mark: EmptyMarker, history: ImageHistory) -> Refuse | None:
    """The refusal of what our own steps cannot lead to: only the owner knows what is wanted."""
    pool, known = seen.pool, history.marker
    strange = foreign_image(seen, mark)
    if strange is not None:
        return strange
    changes = isinstance(target, ImageVersion) or target.image is not None
    ours = isinstance(known, EmptyMarker) and changes and same_image(known.goal, target.goal(pool))
    if ours and not same_image(mark.goal, target.goal(pool)):
        names = bool(mark.moves) or target.image is not None
        mine, theirs = (str(each) if names else each.version for each in (target.goal(pool), mark.goal))
        return _refuse(seen, f"another program works on the pool: this one declares {mine}, the other one {theirs}")
    sizes = (_ZERO, mark.canary_sizes, mark.sizes)
    counts = (len(seen.dedicated), len(seen.nodes) - len(seen.dedicated))
    left = bool(pool.resize_errors) and pool.sizes == counts and counts[0] <= mark.size and counts[1] <= mark.spot
    if not mark.formula and pool.sizes not in sizes and not left:
        return foreign_size(seen, mark)
    return None


def foreign_image(seen: VmPoolView, mark: EmptyMarker) -> Refuse | None:
    """The refusal of an image or a formula that this rollout did not set, else None."""
    pool = seen.pool
    if not any(is_made_from(pool, image) for image in mark.images):
        return _refuse(
            seen,
            f"another person or program changed the image: the rollout began with {mark.before}, and the pool now has "
            f"{pool.made_from}",
        )
    return foreign_formula(seen, mark)


def foreign_formula(seen: VmPoolView, mark: EmptyMarker | Marker) -> Refuse | None:
    """The refusal of a formula that the marker does not have; None if the pool has the same one, or none."""
    pool = seen.pool
    if not pool.base.autoscale or is_same_formula(pool, mark):
        return None
    began = f"the formula {_short(mark.formula)} ({mark.interval})" if mark.formula else "a fixed size"
    return _refuse(
        seen,
        f"another person or program enabled autoscale: the rollout began with {began}, and the pool now has the "
        f"formula {_short(pool.formula)} ({pool.interval})",
    )


def foreign_size(seen: VmPoolView, mark: EmptyMarker) -> Refuse:
    """The refusal of a size that this rollout did not set."""

    def words(sizes: tuple[int, int]) -> str:
        return counted(sizes[0], "node") + (f" and {counted(sizes[1], 'spot node')}" if mark.spot or sizes[1] else "")

    now = f"the rollout began at {words(mark.sizes)}, and the target is now {words(seen.pool.sizes)}"
    return _refuse(seen, f"another person or program resized the pool: {now}")


def marker_is_gone(seen: VmPoolView, mark: EmptyMarker) -> Refuse:
    """The refusal to continue without a marker that this run has seen."""
    size = "its formula" if mark.formula else counted(sum(mark.sizes), "node")
    shown = str(seen.pool.made_from) if mark.moves else seen.pool.pin_text
    now = f"{shown} and {counted(sum(seen.pool.sizes), 'node')}"
    return _refuse(seen, f"its marker in the metadata is gone: the pool had {way_back(mark)} and {size}, and now {now}")


def is_left_in_order(seen: VmPoolView, target: Target, mark: EmptyMarker) -> bool:
    """Whether another run on the same pool has finished and cleared the marker of both."""
    as_before = is_same_formula(seen.pool, mark) if mark.formula else seen.pool.sizes == mark.sizes
    return is_reached(seen, target) and as_before


def _refuse(seen: VmPoolView, reason: str) -> Refuse:
    return Refuse(
        f"{reason}; nothing more was changed", f"Decide what is right, then {by_hand(seen)}", property="pool_id"
    )


def by_hand(seen: VmPoolView) -> str:
    """The next step of a refusal that only a person can settle, as the end of a sentence."""
    url = seen.pool.base.ref.url
    return (
        f"put the pool back with `batch-os restore {url}`, or set it as you want and remove the metadata entry "
        "batch-os; then run `pulumi up` again"
    )


def _short(formula: str) -> str:
    text = " ".join(formula.split())
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}...")
