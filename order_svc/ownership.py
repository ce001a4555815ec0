"""Whose orders a request is about: a customer's own, or those of whom a service acts for."""

from chassis.http import Granted, Problem
from shared_events.scopes import ORDERS


def customer_of(caller: Granted, named: str | None) -> str:
    """Who places an order. Raises Problem: 403 for another's name, 422 where nobody is named."""
    if caller.restricted:
        return own(caller, named)
    if named is not None:
        return named
    if caller.has(ORDERS):
        return caller.subject
    why = "name the customer: the token is not a customer's"
    errors = [{"field": "customer_id", "message": why}]
    raise Problem(422, "invalid_request", f"customer_id: {why}", errors=errors)


def listed_customer(caller: Granted, named: str | None) -> str | None:
    """Whose orders are listed, None for everybody's. Raises Problem (403) for another's."""
    return own(caller, named) if caller.restricted else named


def own(caller: Granted, named: str | None) -> str:
    """The customer that the token names. Raises Problem (403) where the request names another."""
    if not caller.covers(caller.subject if named is None else named):
        raise Problem(403, "other_customer", "the access token is another customer's")
    return caller.subject
