"""The subcommand `bump`: writes newer versions into a program and the config of its stacks."""
