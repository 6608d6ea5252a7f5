"""`batch-os watch`: follow the pools of an account that are being upgraded, renewed or resized. It only reads.

``moving`` finds these pools and says how far each is; ``command`` draws the table again and again.
"""
