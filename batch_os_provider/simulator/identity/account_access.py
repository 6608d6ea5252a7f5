"""The access settings of an account: which kinds of sign-in it allows, and whether public network access is on.

Both the reader of a state and the data plane use them.
"""

from __future__ import annotations

from typing import Any, Final

from batch_os_provider.simulator.world.reader import Reader, StateError

AUTHENTICATION_MODES: Final = ("SharedKey", "AAD")
NETWORK_ACCESS: Final = ("Enabled", "Disabled")


def read_access(account: Reader) -> dict[str, Any]:
    """Take the access settings of an account, without those that have their default.

    Raises:
        StateError: a setting is invalid.
    """
    modes, network = (
        account.take("allowedAuthenticationModes", list, None),
        account.take("publicNetworkAccess", str, None),
    )
    if modes is not None and (not modes or not all(mode in AUTHENTICATION_MODES for mode in modes)):
        raise StateError(
            f"account: allowedAuthenticationModes is a list of {' and '.join(AUTHENTICATION_MODES)}: at least one"
        )
    if network is not None and network not in NETWORK_ACCESS:
        raise StateError(f"account: publicNetworkAccess is {' or '.join(NETWORK_ACCESS)}")
    access = {"allowedAuthenticationModes": modes, "publicNetworkAccess": network}
    return {name: value for name, value in access.items() if value is not None}
