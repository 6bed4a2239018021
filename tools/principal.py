"""Arguments that the service fills from who asks: a model can neither see nor choose on whose behalf a tool acts."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, get_args, get_origin

from pydantic import PydanticUserError, TypeAdapter

from records.principal import Principal
from tools.errors import ToolDefinitionError

_WITHIN = "FromPrincipal marks a parameter of a tool as a whole, as in Annotated[str, FromPrincipal('id')]"


class NotFilled(Exception):
    """Whoever asks lacks what an argument is filled from, so the call must not be made."""


@dataclass(frozen=True, slots=True)
class FromPrincipal:
    """Marks a parameter that is filled from who asks, and that no model sees.

    Attributes:
        attribute: ``id``, ``tenant``, or the name of an attribute of the key.
        admin: What an administrator without the attribute acts as; without it one is refused, as everybody is.
    """

    attribute: str
    admin: str | None = None

    def of(self, principal: Principal) -> str:
        """The value for this principal.

        Raises:
            NotFilled: It has none, or a blank one: that would be no filter at all.
        """
        value = principal.attribute(self.attribute)
        if value is None and principal.may("admin"):
            value = self.admin
        if value is None or not value.strip():
            raise NotFilled(f"whoever asks has no attribute {self.attribute!r}, and it acts for nobody else")
        return value

    def __get_pydantic_core_schema__(self, _source: Any, _handler: Any) -> Any:
        # Pydantic comes here when the mark stands anywhere but on a parameter, where a model would fill it.
        raise PydanticUserError(_WITHIN, code=None)


@dataclass(frozen=True, slots=True)
class Filling:
    """How one parameter is filled."""

    mark: FromPrincipal
    type: TypeAdapter[Any] = field(repr=False)

    def value(self, principal: Principal) -> Any:
        """The argument for this principal, as the parameter's type.

        Raises:
            NotFilled: The principal has none, or it does not fit the type.
        """
        text = self.mark.of(principal)
        try:
            return self.type.validate_python(text)
        except Exception as error:  # a validator of the type's own may raise anything
            raise NotFilled(f"the attribute {self.mark.attribute!r} of whoever asks does not fit") from error


def mark_of(hint: Any) -> FromPrincipal | None:
    """The mark on a parameter's annotation, if there is one."""
    extras = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((extra for extra in extras if isinstance(extra, FromPrincipal)), None)


def filling(hint: Any, where: str) -> Filling:
    """How a marked parameter is filled.

    Raises:
        ToolDefinitionError: It is marked twice, or its type cannot be checked.
    """
    plain, *extras = get_args(hint)
    marks = [extra for extra in extras if isinstance(extra, FromPrincipal)]
    if len(marks) > 1:
        raise ToolDefinitionError(f"{where} is marked FromPrincipal twice")
    others = [extra for extra in extras if extra is not marks[0]]
    try:
        return Filling(marks[0], TypeAdapter(Annotated[plain, *others] if others else plain))
    except (PydanticUserError, TypeError) as error:
        raise ToolDefinitionError(f"{where} cannot be filled: {str(error).splitlines()[0]}") from error


def filled(arguments: Mapping[str, Any], fillings: Mapping[str, Filling], principal: Principal) -> dict[str, Any]:
    """The arguments with those that are the principal's; what stood in their place is gone.

    Raises:
        NotFilled: The principal lacks one.
    """
    return {**arguments, **{name: each.value(principal) for name, each in fillings.items()}}
