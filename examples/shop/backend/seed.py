"""The state that the shop starts from."""

from importlib.resources import files

from pydantic import BaseModel

from examples.shop.backend.models import Customer, Order, Product, Refund, Return


class Seed(BaseModel):
    """The content of `data.json`."""

    products: tuple[Product, ...]
    customers: tuple[Customer, ...]
    orders: tuple[Order, ...]
    returns: tuple[Return, ...]
    refunds: tuple[Refund, ...]

    @classmethod
    def load(cls) -> "Seed":
        """Read the seed that lies beside this module."""
        return cls.model_validate_json(files(__package__).joinpath("data.json").read_bytes())
