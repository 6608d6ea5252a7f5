"""The application: control and token endpoints under ``/_simulator``, image versions under ``/subscriptions``, Batch.

This module shows how the parts are connected, and does nothing else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.routing import Mount

from batch_os_provider.simulator.control import Control, refused
from batch_os_provider.simulator.data_plane.data_plane import DataPlane
from batch_os_provider.simulator.faults.rules import Faults
from batch_os_provider.simulator.identity.endpoints import Identity
from batch_os_provider.simulator.resource_manager import ResourceManager
from batch_os_provider.simulator.state.load import load
from batch_os_provider.simulator.world.reader import RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from batch_os_provider.simulator.world.world import World


def build(world: World, initial: object, on_change: Callable[[], None]) -> Starlette:
    """The simulator over a world. ``initial`` is loaded now and at every reset; ``on_change`` runs after changes.

    Raises:
        StateError: the initial state is not valid.
    """
    load(world, initial)
    faults = Faults(world)
    return Starlette(
        routes=[
            Mount("/_simulator/identity", routes=Identity(world).routes()),
            Mount("/_simulator", routes=Control(world, faults, initial, on_change).routes()),
            Mount("/subscriptions", routes=ResourceManager(world).routes()),
            Mount("", app=DataPlane(world, faults, on_change)),
        ],
        exception_handlers={RefusedError: refused, HTTPException: refused},
    )
