"""What has changed between Pulumi's state and a program: pure functions that every door to Pulumi asks.

They return names and reasons. A door translates the names into the words of its protocol and decides nothing.
"""
