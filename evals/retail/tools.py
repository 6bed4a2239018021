"""The shop's operations as tools: ``cairn serve --tools evals/retail/tools.py``, with the back end at ``RETAIL_URL``.

``RETAIL_MODE`` says what the back end does about repetition (``evals.retail.backend.Mode``), so what the tools promise;
``RETAIL_SECONDS`` is what a call may take.
"""

import os
from typing import Any, Literal

from cairn import NOT_DONE, HttpApi, HttpLimits, ToolContext, tool

MODE = os.environ.get("RETAIL_MODE", "keyed")
SECONDS = float(os.environ.get("RETAIL_SECONDS", "10"))
# One request a call and no rest: repeating is the service's part, and what is tried here.
api = HttpApi(
    os.environ.get("RETAIL_URL", "http://127.0.0.1:8200"),
    limits=HttpLimits(attempts=1, failures=1_000_000, concurrency=64),
)
Record = dict[str, Any]
Reason = Literal["no longer needed", "ordered by mistake"]


async def _read(operation: str, context: ToolContext, **query: Any) -> Record:
    path = f"/operations/{operation}"
    return await api.get(path, Record, query=query, headers={"X-Session": context.session_id})


async def _write(operation: str, context: ToolContext, **body: Any) -> Record:
    path = f"/operations/{operation}"
    return await api.post(path, Record, json=body, headers={"X-Session": context.session_id}, context=context)


async def _was_done(context: ToolContext) -> Any:
    """Ask the back end what it did under the call's key."""
    found = await api.get("/calls/{key}", Record, fields={"key": context.idempotency_key})
    return found["answer"] if found["done"] else NOT_DONE


reading = tool(timeout=SECONDS)
writing = tool(
    effect="write",
    autonomy="auto",
    idempotent=MODE == "keyed",
    reconcile=_was_done if MODE == "reconciled" else None,
    timeout=SECONDS,
)
confirmed = tool(
    effect="irreversible",
    idempotent=MODE == "keyed",
    reconcile=_was_done if MODE == "reconciled" else None,
    timeout=SECONDS,
)


@reading
async def find_user_id_by_email(email: str, context: ToolContext) -> Record:
    """Find a user by e-mail address."""
    return await _read("find_user_id_by_email", context, email=email)


@reading
async def find_user_id_by_name_zip(first_name: str, last_name: str, zip: str, context: ToolContext) -> Record:  # noqa: A002
    """Find a user by name and postal code."""
    return await _read("find_user_id_by_name_zip", context, first_name=first_name, last_name=last_name, zip=zip)


@reading
async def get_user_details(user_id: str, context: ToolContext) -> Record:
    """Look up a user's profile and orders."""
    return await _read("get_user_details", context, user_id=user_id)


@reading
async def get_order_details(order_id: str, context: ToolContext) -> Record:
    """Look up an order: its status, items and payments."""
    return await _read("get_order_details", context, order_id=order_id)


@reading
async def get_product_details(product_id: str, context: ToolContext) -> Record:
    """Look up a product with all its variants."""
    return await _read("get_product_details", context, product_id=product_id)


@reading
async def get_item_details(item_id: str, context: ToolContext) -> Record:
    """Look up one variant of a product."""
    return await _read("get_item_details", context, item_id=item_id)


@reading
async def list_all_product_types(context: ToolContext) -> Record:
    """List all products by name."""
    return await _read("list_all_product_types", context)


@reading
async def calculate(expression: str, context: ToolContext) -> Record:
    """Work out a sum."""
    return await _read("calculate", context, expression=expression)


@writing
async def transfer_to_human_agents(summary: str, context: ToolContext) -> Record:
    """Hand the user over to a person."""
    return await _write("transfer_to_human_agents", context, summary=summary)


@confirmed
async def cancel_pending_order(order_id: str, reason: Reason, context: ToolContext) -> Record:
    """Cancel an order that is pending, and refund it."""
    return await _write("cancel_pending_order", context, order_id=order_id, reason=reason)


@writing
async def modify_pending_order_address(
    order_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,  # noqa: A002
    context: ToolContext,
) -> Record:
    """Send an order that is pending to another address."""
    return await _write(
        "modify_pending_order_address",
        context,
        order_id=order_id,
        address1=address1,
        address2=address2,
        city=city,
        state=state,
        country=country,
        zip=zip,
    )


@writing
async def modify_user_address(
    user_id: str,
    address1: str,
    address2: str,
    city: str,
    state: str,
    country: str,
    zip: str,  # noqa: A002
    context: ToolContext,
) -> Record:
    """Change a user's default address."""
    return await _write(
        "modify_user_address",
        context,
        user_id=user_id,
        address1=address1,
        address2=address2,
        city=city,
        state=state,
        country=country,
        zip=zip,
    )


@writing
async def modify_pending_order_payment(order_id: str, payment_method_id: str, context: ToolContext) -> Record:
    """Have an order that is pending paid in another way."""
    return await _write("modify_pending_order_payment", context, order_id=order_id, payment_method_id=payment_method_id)


@writing
async def modify_pending_order_items(
    order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str, context: ToolContext
) -> Record:
    """Change items of an order that is pending to other variants."""
    return await _write(
        "modify_pending_order_items",
        context,
        order_id=order_id,
        item_ids=item_ids,
        new_item_ids=new_item_ids,
        payment_method_id=payment_method_id,
    )


@writing
async def return_delivered_order_items(
    order_id: str, item_ids: list[str], payment_method_id: str, context: ToolContext
) -> Record:
    """Take back items of an order that was delivered."""
    return await _write(
        "return_delivered_order_items",
        context,
        order_id=order_id,
        item_ids=item_ids,
        payment_method_id=payment_method_id,
    )


@writing
async def exchange_delivered_order_items(
    order_id: str, item_ids: list[str], new_item_ids: list[str], payment_method_id: str, context: ToolContext
) -> Record:
    """Exchange items of an order that was delivered for other variants."""
    return await _write(
        "exchange_delivered_order_items",
        context,
        order_id=order_id,
        item_ids=item_ids,
        new_item_ids=new_item_ids,
        payment_method_id=payment_method_id,
    )
