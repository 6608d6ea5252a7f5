"""The examples in the schema of the native provider: title, YAML, TypeScript. Tests check both.

They are in a module of their own, because a schema is one long file of JSON, in which a program is hard to edit.
"""

from __future__ import annotations

EXAMPLES = {
    "PoolOsVersion": (
        (
            "A pool, with the account in the provider",
            """
resources:
  account:
    type: pulumi:providers:batchos
    properties:
      accountEndpoint: https://myaccount.westeurope.batch.azure.com
      accountKey: ${batchKey}
  render:
    type: batchos:PoolOsVersion
    properties:
      poolId: render
      targetOsVersion: WA-GUEST-OS-6.70_202411-01
    options:
      provider: ${account}
      retainOnDelete: true
""",
            """
import * as pulumi from "@pulumi/pulumi";
import * as batchos from "@batchos/batchos";

const account = new batchos.Provider("account", {
    accountEndpoint: "https://myaccount.westeurope.batch.azure.com",
    accountKey: new pulumi.Config().requireSecret("batchKey"),
});
const render = new batchos.PoolOsVersion("render", {
    poolId: "render",
    targetOsVersion: "WA-GUEST-OS-6.70_202411-01",
}, { provider: account, retainOnDelete: true });
""",
        ),
        (
            "Healthy nodes as a condition",
            """
resources:
  render:
    type: batchos:PoolOsVersion
    properties:
      accountEndpoint: https://myaccount.westeurope.batch.azure.com
      poolId: render
      targetOsVersion: WA-GUEST-OS-6.70_202411-01
      maxUnhealthy: 5%
      soak: 30m
      onTimeout: defer
""",
            """
import * as batchos from "@batchos/batchos";

const render = new batchos.PoolOsVersion("render", {
    accountEndpoint: "https://myaccount.westeurope.batch.azure.com",
    poolId: "render",
    targetOsVersion: "WA-GUEST-OS-6.70_202411-01",
    maxUnhealthy: "5%",
    soak: "30m",
    onTimeout: "defer",
});
""",
        ),
    ),
    "PoolImageVersion": (
        (
            "A pool on latest",
            """
resources:
  fleet:
    type: batchos:PoolImageVersion
    properties:
      accountEndpoint: https://myaccount.westeurope.batch.azure.com
      poolId: ubuntu-jobs
      nodesSince: "2026-11-24"
      strategy: surge
      surge: 25%
""",
            """
import * as batchos from "@batchos/batchos";

const fleet = new batchos.PoolImageVersion("fleet", {
    accountEndpoint: "https://myaccount.westeurope.batch.azure.com",
    poolId: "ubuntu-jobs",
    nodesSince: "2026-11-24",
    strategy: "surge",
    surge: "25%",
});
""",
        ),
        (
            "A pool that is pinned to a version",
            """
resources:
  hpc:
    type: batchos:PoolImageVersion
    properties:
      accountEndpoint: https://myaccount.westeurope.batch.azure.com
      poolId: hpc
      targetImageVersion: 22.04.202405140
      strategy: empty
      canary: 2
      drainTimeout: 4h
      timeout: 8h
""",
            """
import * as batchos from "@batchos/batchos";

const hpc = new batchos.PoolImageVersion("hpc", {
    accountEndpoint: "https://myaccount.westeurope.batch.azure.com",
    poolId: "hpc",
    targetImageVersion: "22.04.202405140",
    strategy: "empty",
    canary: 2,
    drainTimeout: "4h",
    timeout: "8h",
});
""",
        ),
    ),
    "PoolFleet": (
        (
            "A canary, then half of the pools, then the others",
            """
resources:
  account:
    type: pulumi:providers:batchos
    properties:
      accountEndpoint: https://myaccount.westeurope.batch.azure.com
      accountKey: ${batchKey}
  farm:
    type: batchos:PoolFleet
    properties:
      pools: [render, encode, shade, composite]
      targetOsVersion: WA-GUEST-OS-7.58_202511-01
      waves: ["50%"]
      maxUnhealthy: 0
      soak: 10m
    options:
      provider: ${account}
      retainOnDelete: true
outputs:
  waves: ${farm.waves}
  render: ${farm.pools["render"].currentOsVersion}
""",
            """
import * as pulumi from "@pulumi/pulumi";
import * as batchos from "@batchos/batchos";

const account = new batchos.Provider("account", {
    accountEndpoint: "https://myaccount.westeurope.batch.azure.com",
    accountKey: new pulumi.Config().requireSecret("batchKey"),
});
const farm = new batchos.PoolFleet("farm", {
    pools: ["render", "encode", "shade", "composite"],
    targetOsVersion: "WA-GUEST-OS-7.58_202511-01",
    waves: ["50%"],
    maxUnhealthy: 0,
    soak: "10m",
}, { provider: account, retainOnDelete: true });
export const waves = farm.waves;
export const render = farm.pools.apply((pools) => pools["render"].currentOsVersion);
""",
        ),
        (
            "VM pools, two named pools first",
            """
resources:
  jobs:
    type: batchos:PoolFleet
    properties:
      accountEndpoint: https://myaccount.westeurope.batch.azure.com
      pools: [jobs-a, jobs-b, jobs-c, jobs-d, jobs-e]
      canary: [jobs-a, jobs-d]
      nodesSince: "2026-11-24"
      strategy: surge
""",
            """
import * as batchos from "@batchos/batchos";

const jobs = new batchos.PoolFleet("jobs", {
    accountEndpoint: "https://myaccount.westeurope.batch.azure.com",
    pools: ["jobs-a", "jobs-b", "jobs-c", "jobs-d", "jobs-e"],
    canary: ["jobs-a", "jobs-d"],
    nodesSince: "2026-11-24",
    strategy: "surge",
});
""",
        ),
    ),
}
