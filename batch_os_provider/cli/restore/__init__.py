"""`batch-os restore`: see ``command``."""
