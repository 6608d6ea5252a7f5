"""The writes of a renewal: which call each step is, and what its line says.

A step is a value of the tables. Only this module knows which method of the service carries it out.
"""

from __future__ import annotations

from batch_os_provider.batch.service import VmService
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.vm_target import Target
from batch_os_provider.batch.vm_view import VmPoolView
from batch_os_provider.rollout.image_renewal import empty_words, steps, surge_view
from batch_os_provider.schema.declared import ImagePolicy
from batch_os_provider.wording import counted, plural

__all__ = ["send", "words"]


def send(service: VmService, action: steps.ImageAction, pool: VmPool, leaving: float) -> None:
    """Carry out one step.

    Args:
        service: sends the call.
        action: the step; one that writes nothing does nothing.
        pool: as it was read, with its ETag.
        leaving: seconds that nodes may take to finish their tasks and leave.

    Raises:
        ConflictError, PermanentError, TransientError, PoolGoneError, CredentialError: as the service.
    """
    if isinstance(action, steps.SetMarker):
        service.set_marker(pool, action.marker)
    elif isinstance(action, steps.Resize) and action.spot is not None:
        service.resize_all(pool, action.size, action.spot)
    elif isinstance(action, steps.Resize):
        service.resize(pool, action.size)
    elif isinstance(action, steps.RemoveNodes):
        service.remove_nodes(pool, action.nodes, leaving)
    elif isinstance(action, steps.Repin):
        service.repin(pool, action.version, action.onto)
    elif isinstance(action, steps.Drain):
        service.resize_all(pool, 0, 0, leaving)
    elif isinstance(action, steps.ResizeAll):
        service.resize_all(pool, action.size, action.spot)
    elif isinstance(action, steps.HoldAutoscale):
        service.disable_autoscale(pool)
    elif isinstance(action, steps.EnableAutoscale):
        service.enable_autoscale(pool, action.formula, action.interval)


def words(action: steps.ImageAction, seen: VmPoolView, target: Target, policy: ImagePolicy) -> tuple[str, str]:
    """Phase and reason of a step, for its line. The number of nodes behind is part of the phase."""
    left = len(surge_view.behind(seen, target, policy))
    if isinstance(action, steps.Resize):
        return f"resize at {left}", action.why
    if isinstance(action, steps.RemoveNodes):
        count = len(action.nodes)
        does = plural(count, "finishes its tasks and leaves", "finish their tasks and leave")
        leaves = f"{counted(count, 'node')} {does}"
        return f"remove at {left}", "removing the added nodes" if action.ours else leaves
    if isinstance(action, steps.Repin):
        if action.onto is None:
            return "repin", f"the pool is empty; pinning its image to {action.version}"
        agent = action.onto.agent or seen.pool.agent
        return "repin", f"the pool is empty; changing its image to {action.onto} ({agent})"
    if isinstance(action, steps.Drain | steps.ResizeAll | steps.HoldAutoscale | steps.EnableAutoscale):
        return empty_words.words(action, seen)
    clears = isinstance(action, steps.SetMarker) and action.marker is None
    return "marker", "clearing the marker" if clears else "writing the marker"
