"""`batch-os catalogue`: show the catalogue of Guest OS versions that counts here, and take a newer one.

``releases`` reads Microsoft's page, for this command and for the script that refreshes the package's own tables.
"""
