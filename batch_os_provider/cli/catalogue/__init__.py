"""`batch-os catalogue`: show the catalogue of Guest OS versions in use, and update it.

``releases`` reads Microsoft's page, for this command and for the script that refreshes the package's own tables.
"""
