"""The end of an image's support, as a preview says it: one call for each account and process, and a clause on the row.

The call is an extra: a preview without it is complete. So its failure never fails a preview or an `up`. People see one
line of information for the account, the debug log has the whole error, and the message tail of each pool has the code
``image not checked``, so that a gate on the end of images cannot pass unseen.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace
from datetime import datetime

from batch_os_provider.batch.service import ImageReader
from batch_os_provider.batch.supported_images import ImageSupport, SupportedImage, judge
from batch_os_provider.batch.vm_pool import VmPool
from batch_os_provider.batch.wanted_image import WantedImage
from batch_os_provider.errors import BatchOsError
from batch_os_provider.preview.plan import Plan
from batch_os_provider.runtime import request_log
from batch_os_provider.runtime.cancellation import Waiter
from batch_os_provider.runtime.threads import beside
from batch_os_provider.schema.units import duration
from batch_os_provider.wording import counted

__all__ = ["CODES", "NOT_CHECKED", "TIMEOUT", "ImageList", "ImageNote", "clause", "note_of"]

TIMEOUT = 5.0
"""Seconds by which the list of one account may delay one process."""
CODES = {"ending": "image ending", "ended": "image ended", "unlisted": "image unlisted"}
"""The code of a warning, by ``ImageSupport.standing``."""
NOT_CHECKED = "image not checked"


class ImageList:
    """The images that Batch supports in one account, read once for all that ask.

    Args:
        endpoint: the account, for the debug log.
        connect: returns the account's client; called within the read, so that its errors are remembered too.
        waiter: clock and caller; ends the wait on ^C.
        timeout: seconds from the start of the read after which no row waits for it any more.
    """

    def __init__(
        self, endpoint: str, connect: Callable[[], ImageReader], waiter: Waiter, *, timeout: float = TIMEOUT
    ) -> None:
        self._endpoint = endpoint
        self._connect = connect
        self._waiter = waiter
        self._timeout = timeout
        self._lock = threading.Lock()
        self._reading: Future[tuple[SupportedImage, ...]] | None = None
        self._deadline = 0.0
        self._failure = ""

    def images(self) -> tuple[SupportedImage, ...] | None:
        """The whole list; None if it cannot be read in time, for the reason in ``failure``.

        Raises:
            Canceled: ^C.
        """
        reading = self._started()
        left = max(0.0, self._deadline - self._waiter.now())
        try:
            return self._waiter.call(lambda: reading.result(left))
        except BatchOsError as error:
            self._remember(error.reason, str(error))
        except TimeoutError:
            why = f"Batch did not answer within {duration(self._timeout)}"
            self._remember(why, why)
        return None

    @property
    def failure(self) -> str:
        """Why the list could not be read; empty while no read has failed."""
        return self._failure

    def _started(self) -> Future[tuple[SupportedImage, ...]]:
        with self._lock:
            if self._reading is None:
                self._deadline = self._waiter.now() + self._timeout
                self._reading = beside(lambda: self._connect().list_supported_images(), "batch-os-images")
            return self._reading

    def _remember(self, why: str, whole: str) -> None:
        with self._lock:
            is_new, self._failure = not self._failure, why
        if is_new:
            request_log.note(f"{self._endpoint}: previews say nothing about the end of images: {whole}")


@dataclass(frozen=True)
class ImageNote:
    """What one row says about its pool's image.

    ``code`` and ``text`` are empty without a warning. A code without text is for programs only. ``ends``
    is the day of the end, or empty.
    """

    code: str = ""
    text: str = ""
    ends: str = ""

    def on(self, plan: Plan) -> Plan:
        """The plan with this note."""
        plan = replace(plan, image_ends=self.ends)
        if self.text:
            return plan.noting(self.code, self.text)
        return replace(plan, warnings=(*plan.warnings, self.code)) if self.code else plan


def note_of(
    pool: VmPool, images: tuple[SupportedImage, ...] | None, now: datetime, wanted: WantedImage | None = None
) -> ImageNote:
    """The note about a VM pool.

    Args:
        pool: the pool as read.
        images: the whole list; None if it could not be read.
        now: the time to judge for.
        wanted: the image that the program declares for it; None if it keeps its own.
    """
    if images is None:
        return ImageNote(NOT_CHECKED)
    moves = wanted is not None and not wanted.is_image_of(pool)
    becomes = wanted.looked_up(images, pool) if wanted is not None and wanted.needs_lookup(pool) else wanted
    # An image that Batch does not list is refused, or declared with its node agent SKU on purpose.
    configuration = becomes.configuration("latest") if becomes is not None and moves else pool.configuration
    support = judge(configuration, images, now)
    if moves and support is not None and support.standing == "unlisted":
        return ImageNote()
    if support is None:
        return ImageNote()
    return ImageNote(CODES.get(support.standing, ""), clause(support, pool.base.ref.pool_id), support.ends_on)


def clause(support: ImageSupport, pool_id: str) -> str:
    """What is wrong with the image of a pool, and what to do; empty for an image that stays."""
    if support.standing == "listed":
        return ""
    if not support.image:
        return f"{_agent(support, pool_id)}; build its image on a newer OS, and declare target_image and node_agent_sku"
    such_as = f'target_image="{support.instead}"' if support.instead else ""
    such_as = such_as or "a target_image of `az batch pool supported-images list`"
    if support.standing == "unlisted":
        agent = f" with node agent {support.agent}" if support.agent else ""
        seen = f"Batch does not list image {support.image} of pool {pool_id}{agent}, so its support may have ended"
    else:
        seen = f"Batch support for image {support.image} of pool {pool_id} {_when(support)}"
    return f"{seen}; declare another image, such as {such_as}"


def _agent(support: ImageSupport, pool_id: str) -> str:
    """What the list says about the node agent of a pool with a gallery image, which itself is not listed."""
    uses = f"which the gallery image of pool {pool_id} uses"
    if support.standing == "unlisted":
        return f"Batch lists no image with node agent {support.agent}, {uses}, so its support may have ended"
    images = "the only image" if support.agents == 1 else f"all {counted(support.agents, 'image')}"
    return f"Batch support for {images} with node agent {support.agent}, {uses}, {_when(support, 'by')}"


def _when(support: ImageSupport, preposition: str = "on") -> str:
    if support.standing == "ended":
        return f"ended {preposition} {support.ends_on}"
    left = f"in {counted(support.days, 'day')}" if support.days else "today"
    return f"ends {preposition} {support.ends_on}, {left}"
