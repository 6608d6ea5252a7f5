"""`batch-os status`: every pool of some accounts, what it runs, and which resource fits it. It only reads."""
