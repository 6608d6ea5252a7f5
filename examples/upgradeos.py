"""Change a pool's OS version outside Pulumi, as a colleague's script might.

    python examples/upgradeos.py ENDPOINT POOL VERSION

It sends Batch's upgrade request, signed with AZURE_BATCH_ACCOUNT and AZURE_BATCH_ACCESS_KEY, and waits until the pool
is active again. `make demo` uses it to cause a drift.
"""

import os
import sys
import time

from azure.batch import BatchClient
from azure.core.credentials import AzureNamedKeyCredential
from azure.core.rest import HttpRequest

API = "2018-08-01.7.0"  # the last version of the Batch API with upgradeos


def main() -> None:
    """Start the upgrade and wait for its end."""
    try:
        endpoint, pool, version = sys.argv[1:]
    except ValueError:
        sys.exit(__doc__)
    credential = AzureNamedKeyCredential(os.environ["AZURE_BATCH_ACCOUNT"], os.environ["AZURE_BATCH_ACCESS_KEY"])
    upgrade = HttpRequest("POST", f"/pools/{pool}/upgradeos?api-version={API}", json={"targetOSVersion": version})
    look = HttpRequest("GET", f"/pools/{pool}?api-version={API}")

    with BatchClient(endpoint, credential) as client:
        client.send_request(upgrade).raise_for_status()
        print(f"{pool}: upgrade to {version} accepted", flush=True)
        while True:
            time.sleep(0.5)
            answer = client.send_request(look)
            answer.raise_for_status()
            seen = answer.json()
            if seen["state"] == "active":
                break
    print(f"{pool}: {seen['state']} at {seen['cloudServiceConfiguration']['currentOSVersion']}")


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit("interrupted; an accepted upgrade continues in Batch")
