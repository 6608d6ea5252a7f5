"""The errors of Batch: codes, statuses and messages.

Clients decide by status and code, and people read the message. Source: "Batch Status and Error Codes" (edition of
2017-02-01). Codes and statuses are exact. Messages are recorded for PoolVersionEqualsUpgradeVersion and
PoolBeingDeleted; the others follow the documentation.
"""

from __future__ import annotations

from typing import Final

_AUTHENTICATION_FAILED: Final = (
    "Server failed to authenticate the request. Make sure the value of Authorization header is formed correctly "
    "including the signature."
)

CODES: Final[dict[str, tuple[int, str]]] = {
    # --- the request itself ---
    "InvalidPropertyValue": (400, "The value provided for one of the properties in the request body is invalid."),
    "MissingRequiredProperty": (400, "A required property was not specified in the request body."),
    "UnsupportedProperty": (400, "One of the properties specified in the request body is not supported."),
    "InvalidRequestBody": (400, "The specified request body is not syntactically valid."),
    "InvalidInput": (400, "One of the request inputs is not valid."),
    "InvalidQueryParameterValue": (
        400,
        "Value for one of the query parameters specified in the request URI is invalid.",
    ),
    "OutOfRangeQueryParameterValue": (
        400,
        "A query parameter specified in the request URI is outside the permissible range.",
    ),
    "MissingRequiredQueryParameter": (400, "A query parameter that is mandatory for this request is not specified."),
    "UnsupportedQueryParameter": (
        400,
        "One of the query parameters specified in the request URI is not supported.",
    ),
    "MissingRequiredHeader": (400, "An HTTP header that's mandatory for this request is not specified."),
    "InvalidHeaderValue": (400, "The value for one of the HTTP headers is not in the correct format."),
    "MultipleConditionHeadersNotSupported": (400, "Multiple condition headers are not supported."),
    "InvalidUri": (400, "The requested URI does not represent any resource on the server."),
    "UnsupportedRequestVersion": (400, "The specified request version is not supported."),
    "AuthenticationFailed": (403, _AUTHENTICATION_FAILED),
    "AuthorizationFailure": (403, "This request is not authorized to perform this operation."),
    "AccountIsDisabled": (403, "The specified account is disabled."),
    "InsufficientAccountPermissions": (
        403,
        "The account being accessed does not have sufficient permissions to execute this operation.",
    ),
    "ResourceNotFound": (404, "The specified resource does not exist."),
    "UnsupportedHttpVerb": (405, "The resource does not support the specified HTTP verb."),
    "MissingContentLengthHeader": (411, "The Content-Length header was not specified."),
    "ConditionNotMet": (412, "The condition specified using HTTP conditional header(s) is not met."),
    "RequestBodyTooLarge": (413, "The size of the request body exceeds the maximum size permitted."),
    "InternalError": (500, "Server encountered an internal error. Please try again after some time."),
    "OperationTimedOut": (500, "The operation could not be completed within the permitted time."),
    "NotImplemented": (501, "This simulator does not implement the requested operation."),
    "ServerBusy": (503, "Server is busy. Please try again after some time."),
    # --- pools and nodes ---
    "PoolNotFound": (404, "The specified pool does not exist."),
    "PoolExists": (409, "The specified pool already exists."),
    "PoolBeingDeleted": (409, "The specified pool has been marked for deletion and is being reclaimed."),
    "PoolBeingResized": (409, "The specified pool is being resized."),
    "OperationNotValidOnPool": (409, "The specified operation is not valid on the pool."),
    "OperationInvalidForCurrentState": (409, "The operation is not valid for the current state of the resource."),
    "PropertyCannotBeUpdated": (400, "A property that was specified cannot be updated."),
    "TooManyEnableAutoScaleRequests": (503, "Too many enableautoscale requests. Please wait 30 seconds between them."),
    "NodeNotFound": (404, "The specified node does not exist."),
    # --- the OS upgrade ---
    "PoolVersionEqualsUpgradeVersion": (400, "The pool is already with the given version."),
    "PoolNotEligibleForOSVersionUpgrade": (400, "The specified pool is not eligible for OS Version upgrade."),
    "UpgradePoolVersionConflict": (409, "The pool is already upgrading to a different version."),
    "OSVersionNotFound": (400, "The specified OS version does not exist."),
    "OSVersionDisabled": (400, "The specified OS version is disabled."),
    "OSVersionExpired": (400, "The specified OS version has expired."),
    # --- jobs and tasks ---
    "JobNotFound": (404, "The specified job does not exist."),
    "JobExists": (409, "The specified job already exists."),
    "JobBeingDeleted": (409, "The specified job has been marked for deletion and is being garbage collected."),
    "TaskNotFound": (404, "The specified task does not exist."),
    "TaskDependenciesNotSpecifiedOnJob": (409, "The specified task has dependencies, but its job does not use them."),
    "TaskExists": (409, "The specified task already exists."),
}
"""code -> (status, message)."""


class BatchError(Exception):
    """An error that Batch returns. ``values`` are the key and value pairs of the envelope, absent when empty."""

    def __init__(
        self,
        code: str,
        *values: tuple[str, str],
        message: str | None = None,
        status: int | None = None,
        retry_after: str | None = None,
    ) -> None:
        usual_status, usual_message = CODES.get(code, (500, code))
        self.code = code
        self.status = usual_status if status is None else status
        self.message = message or usual_message
        self.values = values
        self.retry_after = retry_after
        super().__init__(f"{self.status} {code}: {self.message}")
