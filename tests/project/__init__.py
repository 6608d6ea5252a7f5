"""The project itself: its releases, its package's description, and its own workflows on GitHub."""
