"""The command line without a server: its commands, usage errors, messages. Their help is in tests/tidy."""

from typing import Any

import orjson
import pytest
import yaml
from cyclopts import App

from milo_billing.cli.commands import app
from milo_billing.cli.examples import COLUMNS_MAX, fold, unwrap
from milo_billing.cli.invoices import write_lines
from milo_billing.cli.output import format_error, write_server_table, write_table, write_whole
from milo_billing.client.errors import ApiError, Cause, ClientError, UnableToImport

COMMANDS = [
    ["apply"],
    ["get"],
    ["delete"],
    ["catalog", "import"],
    ["usage", "send"],
    ["usage", "import"],
    ["usage", "show"],
    ["usage", "statistics"],
    ["usage", "void"],
    ["usage", "changes"],
    ["usage", "archive", "verify"],
    ["usage", "events"],
    ["usage", "quarantine", "list"],
    ["usage", "quarantine", "show"],
    ["usage", "quarantine", "discard"],
    ["usage", "quarantine", "replay"],
    ["commitment", "list"],
    ["commitment", "show"],
    ["commitment", "accept"],
    ["invoices", "run"],
    ["invoices", "runs"],
    ["invoices", "final"],
    ["invoices", "list"],
    ["invoices", "show"],
    ["invoices", "pdf"],
    ["invoices", "print"],
    ["invoices", "details"],
    ["invoices", "events"],
    ["invoices", "explain"],
    ["invoices", "preview"],
    ["invoices", "adjustments"],
    ["invoices", "adjust"],
    ["invoices", "interest", "list"],
    ["invoices", "interest", "charge"],
    ["credits", "grant"],
    ["credits", "list"],
    ["credits", "history"],
    ["credits", "revoke"],
    ["invoices", "credit"],
    ["invoices", "save"],
    ["invoices", "settlements"],
    ["invoices", "validate"],
    ["invoices", "void"],
    ["invoices", "write-off"],
    ["ledger", "aged"],
    ["ledger", "chart"],
    ["ledger", "close"],
    ["ledger", "closings"],
    ["ledger", "entries"],
    ["ledger", "export"],
    ["ledger", "statement"],
    ["ledger", "trial-balance"],
    ["ledger", "verify"],
    ["payments", "collect"],
    ["payments", "list"],
    ["payments", "payouts", "accept"],
    ["payments", "payouts", "fetch"],
    ["payments", "payouts", "list"],
    ["payments", "refund"],
    ["payments", "secrets"],
    ["payments", "statements", "import"],
    ["payments", "statements", "list"],
    ["payments", "transfers", "request"],
    ["payments", "transfers", "list"],
    ["payments", "transfers", "cancel"],
    ["payments", "transfers", "not-executed"],
    ["payments", "transfers", "file"],
    ["payments", "transfers", "files"],
    ["payments", "worklist"],
    ["payments", "assign"],
    ["payments", "ignore"],
    ["payments", "mandates", "add"],
    ["payments", "mandates", "list"],
    ["payments", "mandates", "revoke"],
    ["payments", "debit-file"],
    ["payments", "debit-answer"],
    ["price", "explain"],
    ["tax", "check"],
    ["tax", "import"],
    ["notices", "events"],
    ["notices", "deliveries"],
    ["notices", "show"],
    ["notices", "replay"],
    ["notices", "secret"],
    ["notices", "test"],
    ["rates", "import"],
    ["rates", "show"],
    ["audit", "verify"],
    ["token", "create"],
    ["simulate"],
    ["who-pays"],
    ["may-use"],
    ["kubeconfig"],
]


def leaves(command: App, path: list[str]) -> list[list[str]]:
    """The commands below, or the command itself where there are none."""
    below = [leaves(command[sub], [*path, sub]) for sub in command if not sub.startswith("-")]
    return [leaf for found in below for leaf in found] or [path]


def test_the_list_above_names_every_command():
    found: list[list[str]] = []
    for name in app:
        command = app[name].default_command
        if name.startswith("-") or (command is not None and command.__module__ == "milo_billing.app.main"):
            continue  # the entry point mounts its own, which speak no HTTP
        found += leaves(app[name], [name])
    assert sorted(found) == sorted(COMMANDS)


@pytest.mark.parametrize(
    "tokens",
    [
        ["get"],
        ["frobnicate"],
        ["commitment", "show"],
        ["invoices", "run"],
        ["usage", "import", "x.csv"],
        ["get", "ba", "--output", "xml"],
    ],
    ids=" ".join,
)
def test_wrong_usage_exits_2(tokens: list[str], capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught:
        app(tokens)
    assert caught.value.code == 2
    assert capsys.readouterr().err


@pytest.mark.parametrize(
    "command", [["get"], ["delete"], ["invoices", "run"], ["invoices", "list"]], ids=" ".join
)
def test_without_a_server_a_command_exits_1_and_says_what_to_do(
    command: list[str], capsys: pytest.CaptureFixture[str], tmp_path: object
):
    arguments = {"get": ["ba"], "delete": ["ba", "x"], "invoices run": ["--month", "2026-10"]}
    with pytest.raises(SystemExit) as caught:
        app([*command, *arguments.get(" ".join(command), []), "--kubeconfig", f"{tmp_path}/none"])
    captured = capsys.readouterr()
    assert caught.value.code == 1
    assert captured.out == ""
    assert captured.err.startswith("error: The kubeconfig file cannot be read")
    assert f"at: {tmp_path}/none" in captured.err


def test_an_error_of_the_server_shows_every_field():
    error = ApiError(
        'BillingAccount.billing.miloapis.com "main" is invalid',
        code=422,
        reason="Invalid",
        causes=(
            Cause("spec.currencyCode", "FieldValueRequired", "Required value"),
            Cause("spec.contactInfo.email", "FieldValueInvalid", "must be a valid email address"),
        ),
        where="BillingAccount main",
    )
    assert format_error(error).splitlines() == [
        'error: BillingAccount.billing.miloapis.com "main" is invalid',
        "  - spec.currencyCode: Required value",
        "  - spec.contactInfo.email: must be a valid email address",
        "  at: BillingAccount main",
        "  next: Correct the named fields and apply again; nothing was written.",
    ]


def test_an_error_without_place_or_step_is_one_line():
    assert format_error(ClientError("It did not work.")) == "error: It did not work.\n"


def test_a_defect_of_the_server_names_the_audit_id():
    error = ApiError("The server failed.", code=500, reason="InternalError", audit_id="6b1c")
    assert "audit id: 6b1c" in format_error(error)


def test_columns_are_as_wide_as_their_widest_cell(capsys: pytest.CaptureFixture[str]):
    write_table(
        ["Account", "Total"], [["main", "47.61"], ["research", "1,000.00"], ["x", None]], right=["Total"]
    )
    assert capsys.readouterr().out.splitlines() == [
        "ACCOUNT       TOTAL",
        "main          47.61",
        "research   1,000.00",
        "x            <none>",
    ]


def test_yaml_says_what_json_says(capsys: pytest.CaptureFixture[str]):
    answer: dict[str, object] = {
        "total": "1.10",
        "day": "2026-10-01",
        "country": "NO",
        "paid": False,
        "none": None,
        "lines": [],
        "note": "Müller – " + "a long text " * 20,
        "two": "a\nb",
    }
    values: list[object] = [answer, {"items": [answer, answer]}, [], "a text", None]
    for value in values:
        write_whole(value, output="json")
        as_json = capsys.readouterr().out
        write_whole(value, output="yaml")
        as_yaml = capsys.readouterr().out
        assert yaml.safe_load(as_yaml) == orjson.loads(as_json) == value
        assert as_yaml.endswith("\n") and not as_yaml.endswith(("\n\n", "...\n"))


def test_yaml_keeps_the_order_of_fields_and_folds_no_text(capsys: pytest.CaptureFixture[str]):
    write_whole({"b": "word " * 60 + "end", "a": "ü"}, output="yaml")
    assert capsys.readouterr().out.splitlines() == [f"b: {'word ' * 60}end", "a: ü"]


def test_a_price_in_another_currency_than_the_invoices_says_so(capsys: pytest.CaptureFixture[str]):
    line: dict[str, Any] = {
        "line": 1,
        "kind": "Usage",
        "sku": "cpu",
        "description": "CPU time",
        "quantity": "100",
        "pricingUnit": "h",
        "unitPrice": "0.0465",
        "amount": "4.65",
        "discounts": [],
        "conversion": None,
    }
    converted = {**line, "line": 2, "amount": "3.79", "conversion": {"currencyCode": "USD"}}
    write_lines([line, converted, {**converted, "line": 3, "unitPrice": None}])
    assert [row.split()[6:] for row in capsys.readouterr().out.splitlines()[1:]] == [
        ["0.0465", "4.65"],
        ["0.0465", "USD", "3.79"],
        ["tiers", "3.79"],
    ]


def test_a_server_table_leaves_wide_columns_out_and_can_show_namespaces(capsys: pytest.CaptureFixture[str]):
    table = {
        "columnDefinitions": [{"name": "Name"}, {"name": "Phase"}, {"name": "Uid", "priority": 1}],
        "rows": [
            {"cells": ["main", "Ready", "u"], "object": {"metadata": {"namespace": "organization-acme"}}}
        ],
    }
    write_server_table(table, namespaces=True)
    assert capsys.readouterr().out.splitlines() == [
        "NAMESPACE           NAME   PHASE",
        "organization-acme   main   Ready",
    ]


def test_an_empty_table_says_so_on_standard_error(capsys: pytest.CaptureFixture[str]):
    write_server_table({"columnDefinitions": [{"name": "Name"}], "rows": []}, namespaces=False)
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "No resources found.\n")


def test_a_refused_import_keeps_its_rows_on_their_own_lines():
    error = UnableToImport(
        "2 of 9 rows are no usage:\n  row 1 …\n  row 4 …", where="a.csv", next_step="Correct it."
    )
    assert format_error(error).count("\n") == 5


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_an_example_can_be_copied_from_a_terminal_of_80_columns(command: list[str]):
    found: App = app
    for name in command:
        found = found[name]
    epilogue = found.help_epilogue
    assert isinstance(epilogue, str)
    assert max(map(len, epilogue.split("\n"))) <= COLUMNS_MAX


def test_paragraphs_of_help_keep_no_line_break_of_the_source():
    text = """Line one
        of a test.

        It ends
        here.

        Parameters
        ----------
        name
            The thing, and
            its half.
        other
            Another.
        """
    assert unwrap(text).split("\n") == [
        "Line one of a test.",
        "",
        "It ends here.",
        "",
        "Parameters",
        "----------",
        "name",
        "    The thing, and its half.",
        "other",
        "    Another.",
    ]


def test_a_long_example_is_folded_between_words_an_option_with_its_value():
    line = (
        '  milo-billing credits grant organization-acme/main --amount 100 --reason "order 4711, by telephone"'
    )
    assert fold(line).split("\n") == [
        "  milo-billing credits grant organization-acme/main --amount 100 \\",
        '    --reason "order 4711, by telephone"',
    ]
    assert fold("  milo-billing get ba") == "  milo-billing get ba"


def test_what_is_invalid_is_said_once_a_field_a_line():
    causes = (Cause("spec.amount", "FieldValueInvalid", 'Invalid value: "x"'),)
    error = ApiError(
        'CreditGrant.billing.miloapis.com "" is invalid: spec.amount: Invalid value: "x"',
        code=422,
        reason="Invalid",
        causes=causes,
    )
    assert format_error(error).split("\n")[:2] == [
        'error: CreditGrant.billing.miloapis.com "" is invalid',
        '  - spec.amount: Invalid value: "x"',
    ]


def test_what_is_not_found_says_which_kind_to_list():
    error = ApiError(
        'billingaccounts.billing.miloapis.com "nain" not found', code=404, reason="NotFound", causes=()
    )
    assert "`milo-billing get billingaccounts`" in format_error(error)


def test_what_is_missing_is_not_always_a_name_to_look_up():
    said = "invoice KC-2026-000001 has no line 99"
    assert format_error(ApiError(said, code=404, reason="NotFound", causes=())) == f"error: {said}\n"


@pytest.mark.parametrize(
    "command",
    [
        ["invoices", "preview"],
        ["simulate"],
        ["price", "explain"],
        ["credits", "list"],
        ["ledger", "statement"],
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("named", [[], ["--account"]], ids=["by its place", "by its name"])
def test_an_account_is_named_in_the_same_way_everywhere(command: list[str], named: list[str]):
    more = ["--sku", "s", "--quantity", "1"] if command == ["price", "explain"] else []
    bound = app.parse_args([*command, *named, "organization-acme/main", *more])[1]
    assert bound.arguments["account"] == "organization-acme/main"
