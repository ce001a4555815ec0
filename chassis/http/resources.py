"""A state as clients see it: its fields under its own name, and the key of what it is the state of."""

from dataclasses import dataclass, fields
from typing import Annotated, Any, Literal, Union, get_args, get_type_hints

from pydantic import BaseModel, Field, create_model

from chassis.decide import adapter_of


@dataclass(frozen=True, slots=True)
class Resource:
    """The states of `union` but the first, which is the absence of any, as one resource named `name`.

    The field `key` has the key; `hidden` are fields of states that clients don't see.
    """

    name: str
    union: Any
    key: str
    hidden: frozenset[str] = frozenset()

    def shown(self, key: str, state: Any) -> dict[str, Any]:
        detail = adapter_of(type(state)).dump_python(state, mode="json")
        own = {name: value for name, value in detail.items() if name not in self.hidden}
        return {self.key: key, "state": type(state).__name__.upper(), **own}

    def model(self) -> Any:
        """What `shown` makes, for an API's document."""
        models = tuple(map(self._model, get_args(self.union)[1:]))
        return Annotated[Union[models], Field(discriminator="state")]  # noqa: UP007 - made here

    def _model(self, state: type[Any]) -> type[BaseModel]:
        hints = get_type_hints(state)
        own: dict[str, Any] = {f.name: (hints[f.name], ...) for f in fields(state)}
        label: Any = Literal[state.__name__.upper()]
        common: dict[str, Any] = {self.key: (str, ...), "state": (label, ...)}
        visible = {key: kind for key, kind in own.items() if key not in self.hidden}
        name = f"{self.name}{state.__name__}"
        return create_model(name, __doc__=state.__doc__, **common, **visible)
