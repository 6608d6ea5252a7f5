"""What goes wrong on purpose: rules for requests, damaged answers, and what other actors do.

``rules`` says which request is hit, ``effects`` is the grammar of what happens to it, ``corrupt`` changes an answer
(pure), and ``actors`` plays other people and the platform.
"""
