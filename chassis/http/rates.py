"""How often a caller, or an address, may ask (RateLimit header fields for HTTP, IETF draft).

A rate is a bucket that holds its requests and fills steadily (GCRA): the time at which a bucket is full
again is all that is kept of it. Each process counts for itself.
"""

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Final

from chassis import clock
from chassis.http.problems import Problem
from chassis.process.settings import RequestRate

PARTIES_MAX: Final = 50_000
"""Whoever has not asked for the longest is forgotten first."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Of one party: the requests that are left, and the seconds until the bucket is full."""

    policy: str
    rate: RequestRate
    left: int
    full_in_s: int

    @property
    def headers(self) -> dict[str, str]:
        """As a response has them."""
        rate = self.rate
        return {
            "RateLimit": f'"{self.policy}";r={self.left};t={self.full_in_s}',
            "RateLimit-Policy": f'"{self.policy}";q={rate.requests};w={rate.seconds}',
        }


@dataclass
class RateLimit:
    """Of one kind of party, `policy`."""

    policy: str
    rate: RequestRate
    full_at: OrderedDict[str, float] = field(default_factory=OrderedDict)

    def take(self, party: str) -> Standing:
        """Count a request. Raises Problem (429) where there is none left."""
        rate, now = self.rate, clock.monotonic()
        each = rate.seconds / rate.requests
        full_at = max(self.full_at.pop(party, now), now) + each
        over_s = full_at - now - rate.seconds
        if over_s > each * 1e-6:
            self.full_at[party] = full_at - each
            raise self._refused(
                Standing(self.policy, rate, 0, math.ceil(full_at - each - now)), over_s
            )
        self.full_at[party] = full_at
        if len(self.full_at) > PARTIES_MAX:
            self.full_at.popitem(last=False)
        left = int((rate.seconds - (full_at - now)) / each + 1e-6)
        return Standing(self.policy, rate, left, math.ceil(full_at - now))

    def _refused(self, standing: Standing, over_s: float) -> Problem:
        rate = self.rate
        why = f"at most {rate.requests} requests in {rate.seconds} s for one {self.policy}"
        headers = {**standing.headers, "Retry-After": str(max(1, math.ceil(over_s)))}
        return Problem(429, "rate_limited", why, headers, violated_policies=[self.policy])
