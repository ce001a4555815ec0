"""What a call to the outside needs and no kept event holds: looked up when the call is made."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from chassis.errors import ProviderError, RefusedError
from chassis.service import Attempt, Details, EffectRunner, LookUp

AGAIN_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class WithDetails:
    """Runs an effect with the details of its key, in the place of what it was decided with.

    `look_up` gives those of the saga, None where they have not come yet: then the effect is asked for
    again, which says nothing of the provider. `fill` puts them in, where the effect has not its own
    already (`needs`). `erased` is the outcome where nobody was asked, and nothing is left to ask with.
    """

    run: EffectRunner
    look_up: LookUp
    needs: Callable[[Any], bool]
    fill: Callable[[Any, Details], Any]
    erased: Callable[[Any], Any]

    async def __call__(self, effect: Any, attempt: Attempt) -> Any:
        """The provider's outcome, or `erased`.

        Raises ProviderError while the details are on their way, and RefusedError where they are erased
        and the provider may have been asked before: then a person has to look there.
        """
        if not self.needs(effect):
            return await self.run(effect, attempt)
        details = await self.look_up(attempt.key.rsplit(":", 2)[0])
        if details is None:
            raise ProviderError("its details have not come yet", AGAIN_S)
        if any(details.values()):
            return await self.run(self.fill(effect, details), attempt)
        if attempt.number > 1:
            raise RefusedError("its details are erased, and an earlier call may have counted")
        return self.erased(effect)
