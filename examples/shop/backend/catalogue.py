"""The shop's products and how many of each there are."""

import re
from collections.abc import Iterable
from decimal import Decimal

from examples.shop.backend.errors import NotFoundError
from examples.shop.backend.models import Product, ProductPage, StockLevel


class Catalogue:
    """Products by SKU."""

    def __init__(self, products: Iterable[Product]) -> None:
        self._products = {product.sku: product for product in products}

    def product(self, sku_or_name: str) -> Product:
        """A product by its SKU or its name, in any case.

        Raises:
            NotFoundError: There is no such product.
        """
        wanted = sku_or_name.strip().casefold()
        for product in self._products.values():
            if wanted in (product.sku.casefold(), product.name.casefold()):
                return product
        raise NotFoundError(f"There is no product {sku_or_name}.")

    def search(
        self, *, query: str, category: str | None, max_price: Decimal | None, in_stock: bool, cursor: str, limit: int
    ) -> ProductPage:
        """Products that contain every word of `query`, ordered by SKU, from the first SKU after `cursor`."""
        words = [_stem(word) for word in re.findall(r"\w+", query.casefold())]

        def fits(product: Product) -> bool:
            text = _searchable(product)
            return (
                all(word in text for word in words)
                and (category is None or product.category == category)
                and (max_price is None or product.price.amount <= max_price)
                and (not in_stock or sum(product.stock.values()) > 0)
            )

        found = sorted(filter(fits, self._products.values()), key=lambda product: product.sku)
        rest = [product for product in found if product.sku > cursor]
        page = tuple(rest[:limit])
        return ProductPage(items=page, total=len(found), next_cursor=page[-1].sku if len(rest) > limit else None)

    def stock(self, sku_or_name: str) -> StockLevel:
        """What the warehouse and the stores have of a product.

        Raises:
            NotFoundError: There is no such product.
        """
        product = self.product(sku_or_name)
        stock = dict(product.stock)
        warehouse = stock.pop("warehouse")
        return StockLevel.model_validate(
            {
                "sku": product.sku,
                "name": product.name,
                "warehouse": warehouse,
                "stores": stock,
                "restock_on": product.restock_on,
            }
        )

    def restock(self, sku: str, quantity: int) -> None:
        """Give the warehouse back what an order had taken."""
        product = self._products[sku]
        stock = {**product.stock, "warehouse": product.stock["warehouse"] + quantity}
        self._products[sku] = product.model_copy(update={"stock": stock})


def _searchable(product: Product) -> str:
    words = (product.sku, product.name, product.kind, product.category, *product.colours)
    return re.sub(r"\W+", " ", " ".join((*words, *product.specification.values())).casefold())


def _stem(word: str) -> str:
    return word.removesuffix("s") if len(word) > 3 else word
