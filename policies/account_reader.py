# ruff: noqa: INP001 - a policy pack is a program that the engine starts in its own folder, not a package
"""Reads from Batch what `image-supported` judges: the image of a pool, and the images that Batch supports.

A policy gets the declared inputs, which do not name the image. So this one policy asks Batch, with the identity of the
preview: one list of pools and one of images for each account, only if it is switched on and a pool of the kind is
declared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any

from batch_os_provider.errors import BatchOsError
from batch_os_provider.runtime.per_account import PerAccount
from batch_os_provider.runtime.threads import beside

if TYPE_CHECKING:
    from batch_os_provider.batch.client import BatchClient
    from batch_os_provider.batch.supported_images import SupportedImage
    from batch_os_provider.batch.vm_pool import VmPool

__all__ = ["TIMEOUT", "AccountReader", "NotReadError"]

TIMEOUT = 10.0
"""Seconds that the pack waits for both lists of one account."""

_Lists = tuple[tuple["VmPool", ...], tuple["SupportedImage", ...]]


class NotReadError(Exception):
    """The account could not be read; the text says why."""


def _shared_client(endpoint: str) -> BatchClient:
    from batch_os_provider.batch.client import shared_client  # noqa: PLC0415 - imports azure, which other rules spare

    return shared_client(endpoint)


class AccountReader:
    """The lists of each account, read once for all its pools; a failure is remembered too.

    Args:
        connect: returns the client of an account.
        timeout: seconds to wait for one account.
    """

    def __init__(self, connect: Callable[[str], BatchClient] = _shared_client, timeout: float = TIMEOUT) -> None:
        self._timeout = timeout
        self._lists = PerAccount(lambda endpoint: beside(lambda: _read(connect(endpoint)), "batch-os-policy"))

    def __call__(self, endpoint: str, pool_id: str) -> tuple[Mapping[str, Any] | None, Sequence[SupportedImage]]:
        """The ``virtualMachineConfiguration`` of a VM pool, and the whole list of images.

        The configuration is None if the account has no such VM pool yet.

        Raises:
            NotReadError: Batch refuses, fails, or does not answer in time.
        """
        reading = self._lists(endpoint)
        if not futures.wait([reading], self._timeout).done:
            raise NotReadError(f"account {endpoint}: Batch did not answer within {self._timeout:g} s")
        try:
            pools, images = reading.result()
        except BatchOsError as error:
            raise NotReadError(f"account {endpoint}: {error.reason}") from error
        found = (each for each in pools if each.is_vm and each.base.ref.pool_id.lower() == pool_id.lower())
        pool = next(found, None)
        return None if pool is None else pool.configuration, images


def _read(client: BatchClient) -> _Lists:
    return client.list_vm_pools(), client.list_supported_images()
