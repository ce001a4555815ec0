"""A state as clients see it: its fields under its own name, without the order that it carries."""

from dataclasses import fields
from typing import Annotated, Any, Final, Literal, Union, get_args, get_type_hints

from pydantic import BaseModel, Field, create_model

from chassis.decide import adapter_of

HIDDEN: Final = frozenset({"order"})


def shown(order_id: str, state: Any) -> dict[str, Any]:
    """The resource of an order's state."""
    detail = adapter_of(type(state)).dump_python(state, mode="json")
    own = {name: value for name, value in detail.items() if name not in HIDDEN}
    return {"order_id": order_id, "state": type(state).__name__.upper(), **own}


def model_of(name: str, union: Any) -> Any:
    """What `shown` makes of each state of a union but the first, which is the absence of any."""
    models = tuple(_model(name, state) for state in get_args(union)[1:])
    return Annotated[Union[models], Field(discriminator="state")]  # noqa: UP007 - made here


def _model(name: str, state: type[Any]) -> type[BaseModel]:
    hints = get_type_hints(state)
    own: dict[str, Any] = {f.name: (hints[f.name], ...) for f in fields(state)}
    label: Any = Literal[state.__name__.upper()]
    common: dict[str, Any] = {"order_id": (str, ...), "state": (label, ...)}
    shown_fields = {key: kind for key, kind in own.items() if key not in HIDDEN}
    return create_model(f"{name}{state.__name__}", __doc__=state.__doc__, **common, **shown_fields)
