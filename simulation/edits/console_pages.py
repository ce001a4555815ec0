"""Bugs in what the console's pages show, and to whom."""

from typing import Final

from simulation.edits.edit import Edit

MASKING: Final = "console/web/masking.py"
SESSION: Final = "console/web/session.py"
ORDER: Final = "console/web/order_pages.py"
REPAIRS: Final = "console/web/repairs.py"
ORDERS: Final = "console/web/orders_pages.py"
FAILURE_PAGES: Final = "console/web/failure_pages.py"
LIVE: Final = "console/web/live.py"
LOGIN: Final = "console/web/login_pages.py"
OIDC: Final = "console/web/oidc.py"
OF_SIGN_IN: Final = "tests/console/test_sign_in.py::test_"
OF_MASKING: Final = "tests/console/test_masking.py::test_"
OF_PAGES: Final = "tests/console/test_pages.py::test_"
OF_LIVE: Final = "tests/console/test_live.py::test_"
OF_ACCESS: Final = "tests/console/test_page_access.py::test_"
OF_FAILURES: Final = "tests/console/test_failures.py::test_"

CONSOLE_PAGE_EDITS: Final = (
    Edit(
        MASKING,
        "field-that-nobody-classified-is-shown",
        'schema.get(CLASSIFICATION, "unknown")',
        "schema.get(CLASSIFICATION, PUBLIC)",
        (f"{OF_MASKING}what_no_schema_classifies_is_hidden",),
    ),
    Edit(
        MASKING,
        "auditor-sees-card-data",
        '(personal and kind == "personal")',
        "(personal and kind in PRIVATE)",
        (f"{OF_MASKING}who_may_see_personal_data_sees_no_card_data",),
    ),
    Edit(
        ORDER,
        "look-at-personal-data-is-not-recorded",
        '        await console.record(viewer.name, "reveal", order_id, body.reason)\n',
        "",
        (f"{OF_PAGES}an_auditor_sees_personal_data_with_a_reason_that_is_recorded_first",),
    ),
    Edit(
        SESSION,
        "another-site-may-ask-for-changes",
        'headers.get("hx-request") != "true"',
        'headers.get("hx-request") == "false"',
        (f"{OF_ACCESS}another_site_can_change_nothing",),
    ),
    Edit(
        OIDC,
        "id-token-of-another-sign-in-counts",
        'if not _is_same(claims.get("nonce"), attempt.nonce):',
        'if not _is_same(claims.get("nonce"), claims.get("nonce", "")):',
        (f"{OF_SIGN_IN}an_id_token_that_is_not_of_this_sign_in_counts_for_nothing",),
    ),
    Edit(
        OIDC,
        "code-needs-no-verifier",
        "            code_verifier=attempt.verifier,\n",
        '            code_verifier="",\n',
        (f"{OF_SIGN_IN}one_signs_in_at_the_issuer_and_comes_back_to_the_page",),
    ),
    Edit(
        LOGIN,
        "sign-in-of-another-browser-is-ended",
        "if attempt is None or brought.state != attempt.state:",
        "if attempt is None:",
        (f"{OF_SIGN_IN}another_browser_can_not_end_what_this_one_began",),
    ),
    Edit(
        SESSION,
        "session-outlasts-the-issuers",
        "            forget(answer)\n            return IssuedTokens",
        "            return kept, send\n            return IssuedTokens",
        (f"{OF_SIGN_IN}a_session_that_the_issuer_has_ended_ends_with_its_token",),
    ),
    Edit(
        SESSION,
        "viewer-may-repair",
        "CHANGE: Final = Access(every={OPERATE}, needs_caller=True)",
        "CHANGE: Final = Access(every={OPERATE, VIEW}, needs_caller=True)",
        (f"{OF_ACCESS}each_route_says_who_may_use_it",),
    ),
    Edit(
        REPAIRS,
        "plan-can-be-begun-twice",
        "plan = self.plans.pop(plan_id, None)",
        "plan = self.plans.get(plan_id)",
        (f"{OF_FAILURES}a_plan_is_begun_once",),
    ),
    Edit(
        REPAIRS,
        "message-that-is-parked-again-counts-as-acted-on",
        'is_parked = last["outcome"] == "parked"',
        'is_parked = last["outcome"] == ""',
        (f"{OF_FAILURES}a_repair_acts_on_each_once_and_counts_what_became_of_it",),
    ),
    Edit(
        REPAIRS,
        "reference-of-one-call-is-recorded-for-all",
        "            and not (others and outcome in first.with_reference)\n",
        "",
        (f"{OF_FAILURES}an_outcome_counts_for_all_calls_and_a_reference_for_one[many]",),
    ),
    Edit(
        REPAIRS,
        "outcome-that-the-rules-refuse-counts-as-nothing-left",
        " and error.code != REFUSED",
        "",
        (f"{OF_FAILURES}calls_are_resolved_with_the_outcome_that_was_confirmed",),
    ),
    Edit(
        FAILURE_PAGES,
        "note-on-a-group-is-not-recorded",
        '        await console.record(viewer.name, "note", described(found), body.text)\n',
        "",
        (f"{OF_PAGES}a_note_on_a_group_is_recorded_and_shown_with_who_wrote_it",),
    ),
    Edit(
        ORDERS,
        "cell-of-the-csv-is-a-formula",
        'yield f"\'{cell}" if cell.startswith(RISKY) else cell',
        "yield cell",
        (f"{OF_PAGES}the_list_as_csv_is_of_all_pages_and_holds_no_formula",),
    ),
    Edit(
        LIVE,
        "browser-of-before-a-rebuild-waits-for-positions-that-never-come",
        "                if found.position != position:\n",
        "                if found.position > position:\n",
        (f"{OF_LIVE}who_looked_before_a_rebuild_is_sent_back_and_asks_no_more_often_than_others",),
    ),
    Edit(
        LIVE,
        "browser-that-comes-back-misses-what-was-between",
        "        if position < 0:\n",
        "        if position >= -1:\n",
        (f"{OF_LIVE}changes_are_sent_from_where_the_browser_was",),
    ),
    Edit(
        "console/web/process_pages.py",
        "undeclared-edges-come-last",
        "(EdgeStatus.UNDECLARED, EdgeStatus.DECLARED, EdgeStatus.UNSEEN)",
        "(EdgeStatus.DECLARED, EdgeStatus.UNSEEN, EdgeStatus.UNDECLARED)",
        (f"{OF_PAGES}the_process_shows_variants_and_what_nobody_declared",),
    ),
)
