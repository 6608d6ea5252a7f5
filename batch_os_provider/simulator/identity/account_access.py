"""Who an account lets in: the kinds of sign-in that it allows, and whether its public network access is on."""

from __future__ import annotations

from typing import Any, Final

from batch_os_provider.simulator.world.reader import Reader, StateError

AUTHENTICATION_MODES: Final = ("SharedKey", "AAD")
NETWORK_ACCESS: Final = ("Enabled", "Disabled")


def read_access(account: Reader) -> dict[str, Any]:
    """Take the account's settings that say who may ask, without those that have their default.

    Raises:
        StateError: they are none.
    """
    modes, network = (
        account.take("allowedAuthenticationModes", list, None),
        account.take("publicNetworkAccess", str, None),
    )
    if modes is not None and (not modes or not all(mode in AUTHENTICATION_MODES for mode in modes)):
        raise StateError(
            f"account: allowedAuthenticationModes is a list of {' and '.join(AUTHENTICATION_MODES)}, not empty"
        )
    if network is not None and network not in NETWORK_ACCESS:
        raise StateError(f"account: publicNetworkAccess is {' or '.join(NETWORK_ACCESS)}")
    access = {"allowedAuthenticationModes": modes, "publicNetworkAccess": network}
    return {name: value for name, value in access.items() if value is not None}
