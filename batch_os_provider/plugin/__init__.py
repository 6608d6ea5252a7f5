"""The native provider, package ``batchos``: the same pools for programs in YAML and every other Pulumi language.

The engine gives a native provider what it denies a dynamic one: ``pulumi import``, a detailed diff, outputs in a
preview, credentials as provider configuration, and a failed create that stays in the state. This room only translates
between the engine's protocol and the rooms below it, which also serve the dynamic providers.
"""
