"""Bugs in how sentinels are asked for the primary of a Redis."""

from functools import partial
from typing import Final

from simulation.edits.edit import Edit

ASKED: Final = "tests/chassis/test_sentinels.py::test_"
OWN_LOGIN: Final = (
    f"{ASKED}sentinels_have_a_login_of_their_own_whose_file_is_read_for_each_connection"
)
SERVED: Final = "tests/integration/test_sentinel_access.py::test_"

_sentinels = partial(Edit, "chassis/redis/sentinels.py")

SENTINEL_EDITS: Final = (
    Edit(
        "chassis/redis/database.py",
        "sentinels-asked-in-clear",
        "tls if is_tls else None",
        "None if is_tls else tls",
        (f"{SERVED}a_service_does_its_work_where_its_sentinels_ask_for_a_login_over_tls",),
    ),
    _sentinels(
        "sentinel-password-read-once",
        "Login(access.login)",
        "Login(lambda login=access.login(): login)",
        (OWN_LOGIN,),
    ),
    _sentinels(
        "sentinel-refusal-taken-for-an-outage",
        "if fault := answer.fault:",
        "if (fault := answer.fault) and False:",
        (f"{SERVED}a_wrong_setting_ends_the_start_with_2_and_one_line_that_names_it",),
    ),
    _sentinels(
        "failover-taken-for-a-wrong-setting",
        "if name in answer.primaries:",
        "if name in ():",
        (f"{ASKED}a_failover_that_is_under_way_is_no_wrong_setting_whatever_the_others_say",),
    ),
    _sentinels(
        "primary-that-is-down-believed",
        'or found["is_sdown"] or found["is_odown"]',
        "",
        (f"{ASKED}one_that_has_it_as_down_is_passed_over",),
    ),
    Edit(
        "chassis/redis/connections.py",
        "connection-without-its-login",
        "raise AuthenticationError(str(error)) from error",
        "raise",
        (OWN_LOGIN,),
    ),
)
