"""The subcommand `outdated`: the pools for which a newer version is known, and where it was seen."""
