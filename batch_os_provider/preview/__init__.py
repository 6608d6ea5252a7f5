"""What a preview says about a pool that changes, and what it refuses.

``describe`` puts the line on the row. ``plan`` makes it from the tables that `up` follows, on a look that
``account_snapshot`` had at the whole account. ``message_tail`` is the same for programs.
"""
