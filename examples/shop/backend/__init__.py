"""The shop's back end: orders, customers, products, stock, returns and refunds over HTTP."""

from examples.shop.backend.app import create_app

__all__ = ["create_app"]
