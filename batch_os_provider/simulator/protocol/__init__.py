"""What Batch's protocol fixes: operations, API versions, and the shape of requests and answers.

It has no lifecycles and changes nothing: ``response_shapes`` shows a pool of the world as an API version would, and
``request_schemas`` says what a body may hold.
"""
