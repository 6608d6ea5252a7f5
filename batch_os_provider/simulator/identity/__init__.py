"""Who may sign in, and the Entra and CI endpoints that issue tokens.

A rollout that lasts for hours renews its tokens, and only a service that issues and ends them can show that.
"""
