"""The move of a pool to another image: whether it can work, which write it is, and its words.

A move changes the image and the node agent SKU together, and only an empty pool takes it. What cannot work must be
known before the pool is emptied. Both strategies that change an image, ``empty`` and ``when_empty``, ask this module.
"""

from __future__ import annotations

from batch_os_provider.batch.empty_marker import PoolImage
from batch_os_provider.batch.image_version import parse_image_version
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.vm_target import Target
from batch_os_provider.batch.wanted_image import WantedImage, is_windows
from batch_os_provider.rollout.actions import Refuse
from batch_os_provider.rollout.image_renewal.steps import Repin

__all__ = ["change_text", "is_made_from", "moves", "refuse_move", "repin", "same_image"]


def _same_version(one: str, other: str) -> bool:
    """Whether two texts of an image version mean the same; ``latest`` has no case."""
    numbers = parse_image_version(one)
    return one.casefold() == other.casefold() or (numbers is not None and numbers == parse_image_version(other))


def same_image(one: PoolImage, other: PoolImage) -> bool:
    """Whether two images mean the same; an unknown node agent SKU is that of the other."""
    agents = {one.agent.casefold(), other.agent.casefold()} - {""}
    is_same = one.name.casefold() == other.name.casefold() and _same_version(one.version, other.version)
    return is_same and len(agents) <= 1


def is_made_from(pool: VmPool, image: PoolImage) -> bool:
    """Whether new nodes of the pool are made from this image."""
    return same_image(pool.made_from, image)


def moves(pool: VmPool, target: Target) -> bool:
    """Whether the program declares another image than the pool has, or another node agent SKU."""
    return target.image is not None and not target.image.is_image_of(pool)


def repin(pool: VmPool, goal: PoolImage) -> Repin:
    """The write that brings an empty pool to an image."""
    same = WantedImage(goal.name, goal.agent).is_image_of(pool)
    return Repin(goal.version) if same else Repin(goal.version, goal)


def change_text(before: PoolImage, goal: PoolImage) -> str:
    """From which image to which one, in words; the node agent SKUs where only they differ."""
    if before.name.casefold() != goal.name.casefold() or not goal.agent:
        return f"{before} -> {goal}"
    return f"{before} ({before.agent}) -> {goal.version} ({goal.agent})"


def refuse_move(pool: VmPool, target: Target) -> Refuse | None:
    """Why the pool cannot take the declared image, as far as the list of Batch shows it; None if it can, or needs not.

    Without a lookup (a preview that could not read the list) nothing is refused: `up` looks the agent up again.
    """
    image = target.image
    if image is None or image.is_image_of(pool):
        return None
    if not image.agent:
        return _without_agent(pool, image)
    if is_windows(image.agent) != is_windows(pool.agent):
        return Refuse(
            f"the pool has node agent {pool.agent} and the image takes {image.agent}: a move between Windows and Linux "
            "would leave the command lines of its start task and of its tasks without their shell",
            "Create a new pool from the image, and move the jobs to it",
            property=WantedImage.input_name,
        )
    return None


def _without_agent(pool: VmPool, image: WantedImage) -> Refuse | None:
    own = f'{WantedImage.agent_input}="{pool.agent}"'
    if not image.is_listed_kind:
        return Refuse(
            f"Batch lists no gallery images, so the node agent SKU of {image.name} cannot be looked up; the pool has "
            f"{pool.agent} now",
            f"Declare {own} if the image is made of the same operating system, else the SKU of its operating system "
            "from `az batch pool supported-images list`",
            property=WantedImage.input_name,
        )
    if image.listed is None:
        return None
    if not image.listed:
        like = f"; a listed image with a similar name is {image.near}" if image.near else ""
        return Refuse(
            f"Batch does not list the image {image.name}{like}",
            f"Declare an image of `az batch pool supported-images list`, or {WantedImage.agent_input} if Batch "
            "accepts the image without listing it",
            property=WantedImage.input_name,
        )
    ways = " or ".join(f'{WantedImage.agent_input}="{each}"' for each in image.listed)
    return Refuse(
        f"Batch lists several node agent SKUs for {image.name}, and the pool's own ({pool.agent}) is not one of them",
        f"Declare {ways}",
        property=WantedImage.input_name,
    )
