"""Batch's protocol: operations, API versions, and the shape of requests and answers.

It has no lifecycles and no state: ``response_shapes`` renders a pool in the shape of an API version, and
``request_schemas`` checks a request body.
"""
