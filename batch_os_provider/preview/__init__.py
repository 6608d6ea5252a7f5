"""What a preview says about a pool that changes, and what it refuses.

``describe`` writes the line on the row. ``plan`` makes the line from the tables that `up` follows, and
``account_snapshot`` reads the account for it. ``message_tail`` says the same to programs.
"""
