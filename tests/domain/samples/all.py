"""The samples of all five services."""

from types import MappingProxyType
from typing import Final

from tests.domain.samples import inventory, loyalty, order, payment, shipping

BY_SERVICE: Final = MappingProxyType(
    {
        samples.service.name: samples
        for samples in (
            order.SAMPLES,
            inventory.SAMPLES,
            payment.SAMPLES,
            shipping.SAMPLES,
            loyalty.SAMPLES,
        )
    }
)
