"""What the shop refuses, as exceptions that carry their HTTP status and stable code."""


class ShopError(Exception):
    """A request that the shop cannot fulfil; the message is written for the customer."""

    status = 400
    code = "bad_request"
    title = "Bad request"


class NotFoundError(ShopError):
    """There is nothing of that number."""

    status = 404
    code = "not_found"
    title = "Not found"


class NotAllowedError(ShopError):
    """The thing exists, but its state or the shop's rules forbid the action."""

    status = 409
    code = "not_allowed"
    title = "Not allowed"


class KeyReusedError(ShopError):
    """An Idempotency-Key came back with another body."""

    status = 422
    code = "idempotency_key_reused"
    title = "Idempotency key reused"
