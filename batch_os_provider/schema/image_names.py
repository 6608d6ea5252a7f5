"""What is wrong with the name of an image or of a node agent SKU, in words, and what was probably meant.

People copy these names from the portal, the Azure CLI or a resource id, where the name also has a version. So the most
common wrong value is a right one with too much, and the words say where the rest belongs.
"""

from __future__ import annotations

import re

from batch_os_provider.batch.image_reference import NAME_FORM, is_image_name, nearest_name, pin_of
from batch_os_provider.batch.vm_target import ImageVersion
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.schema.units import did_you_mean

__all__ = ["AGENT_FORM", "check_agent", "check_image"]

AGENT_FORM = "a node agent SKU of `az batch pool supported-images list`, such as batch.node.ubuntu 24.04"
"""The allowed node agent SKUs, in words."""
_AGENT = re.compile(r"batch\.node\.[a-z0-9]+( [a-z0-9.]+)*")


def check_image(value: object) -> str:
    """Why a value does not name an image, with the nearest name; empty if it does."""
    if is_image_name(value):
        return ""
    wrong = "is not a string" if not isinstance(value, str) else "does not name an image"
    if not isinstance(value, str):
        return f"{wrong}; allowed: {NAME_FORM}"
    guess, parts = nearest_name(value), value.split(":")
    # The Azure CLI's URN of an image ends with the version, and so does the id of an image version.
    version = parts[-1] if len(parts) == 4 else ""  # noqa: PLR2004
    version = pin_of({"virtualMachineImageId": value}) if "/versions/" in value.lower() else version
    hint = did_you_mean(
        f'{WantedImage.input_name}="{guess}" with {ImageVersion.property}="{version}"' if version and guess else guess
    )
    return f"{wrong}; allowed: {NAME_FORM}{hint}"


def check_agent(value: object) -> str:
    """Why a value is not a node agent SKU, with the nearest one; empty if it is."""
    if isinstance(value, str) and _AGENT.fullmatch(value):
        return ""
    wrong = "is not a string" if not isinstance(value, str) else "is not a node agent SKU"
    guess = str(value).strip().lower() if isinstance(value, str) else ""
    guess = guess if guess.startswith("batch.node.") else f"batch.node.{guess}"
    hint = did_you_mean(guess) if isinstance(value, str) and _AGENT.fullmatch(guess) else ""
    return f"{wrong}; allowed: {AGENT_FORM}{hint}"
