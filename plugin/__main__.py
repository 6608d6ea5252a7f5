"""The native provider as a folder, for `pulumi package add`: Pulumi runs it as `python FOLDER ADDRESS`."""

from batch_os_provider.plugin.main import main

main()
