"""HTTP for every service: application, errors, text types, operator API and a server with limits."""

from chassis.http.access import PUBLIC, Access, Granted, GuardedRoute, granted, open_to
from chassis.http.app import Conditions, execute, make_app
from chassis.http.bodies import Body, example
from chassis.http.event_streams import EventStreams, LastEventIdHeader, ServerEvent, StreamStep
from chassis.http.fast_path import add_fast_path
from chassis.http.gate import Gate, allow_origins, rate_limits
from chassis.http.header_fields import IdempotencyKeyHeader, preferences
from chassis.http.openapi import header, links, refusals
from chassis.http.operator_api import app_of
from chassis.http.problems import Problem, problem
from chassis.http.resources import Resource
from chassis.http.server import ACCEPTED_LATER, HttpServer
from chassis.http.sockets import bound, listen
from chassis.http.texts import Code, LineText, Note, ParkedKey, SagaKey, key_in_path, text
from chassis.http.waiting import LocalWaiters, read_or_none

__all__ = [
    "ACCEPTED_LATER",
    "PUBLIC",
    "Access",
    "Body",
    "Code",
    "Conditions",
    "EventStreams",
    "Gate",
    "Granted",
    "GuardedRoute",
    "HttpServer",
    "IdempotencyKeyHeader",
    "LastEventIdHeader",
    "LineText",
    "LocalWaiters",
    "Note",
    "ParkedKey",
    "Problem",
    "Resource",
    "SagaKey",
    "ServerEvent",
    "StreamStep",
    "add_fast_path",
    "allow_origins",
    "app_of",
    "bound",
    "example",
    "execute",
    "granted",
    "header",
    "key_in_path",
    "links",
    "listen",
    "make_app",
    "open_to",
    "preferences",
    "problem",
    "rate_limits",
    "read_or_none",
    "refusals",
    "text",
]
