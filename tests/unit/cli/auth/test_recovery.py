"""What is confirmed by codes from a mail: they are typed or piped, never in an option."""

from tests.unit.cli.conftest import Cli
from tests.unit.cli.played_bank import Bank

CODE = "ABCD-EFGH-IJKL-MNOP"


def test_a_registration_says_what_comes_next(cli: Cli, bank: Bank) -> None:
    command = ("register", "--email", "ann@example.com", "--name", "Ann", "--password-stdin")
    at_once = cli(*command, stdin="correct horse\n")
    assert (at_once.status, "bankctl login" in at_once.err) == (0, True)
    bank.confirmation_required = True
    by_mail = cli(*command, stdin="correct horse\n")
    assert by_mail.status == 0
    assert "bankctl auth confirm-email --email ann@example.com" in by_mail.err
    assert "bankctl login" not in by_mail.err


def test_an_address_is_confirmed_by_code_and_password(cli: Cli, bank: Bank) -> None:
    outcome = cli(
        *("auth", "confirm-email", "--email", "ann@example.com", "--password-stdin"),
        stdin=f"{CODE}\ncorrect horse\n",
    )
    assert outcome.status == 0
    [request] = bank.requests
    assert (request.path, request.body) == (
        "/users/confirm",
        {"email": "ann@example.com", "code": CODE, "password": "correct horse"},
    )
    assert "bankctl login" in outcome.err


def test_a_code_is_mailed_again_to_who_is_logged_in(ann: Cli, bank: Bank) -> None:
    assert ann("auth", "confirm-email", "--send").status == 0
    assert bank.paths() == ["/users/me/confirmation"]


def test_a_password_is_reset_with_the_mailed_code(cli: Cli, bank: Bank) -> None:
    asked = cli("auth", "reset", "--email", "ann@example.com", "--send")
    assert asked.status == 0
    assert bank.paths() == ["/auth/reset"]
    done = cli(
        *("auth", "reset", "--email", "ann@example.com", "--have-code", "--password-stdin"),
        stdin=f"{CODE}\nseven loud geese\n",
    )
    assert done.status == 0
    assert bank.requests[-1].body == {
        "email": "ann@example.com",
        "code": CODE,
        "new_password": "seven loud geese",
    }
    assert CODE not in done.out + done.err
    assert "seven loud geese" not in done.out + done.err


def test_the_second_factor_is_asked_for_when_the_bank_wants_it(cli: Cli, bank: Bank) -> None:
    bank.totp = "123456"
    command = ("auth", "reset", "--email", "ann@example.com", "--have-code", "--password-stdin")
    assert cli(*command, stdin=f"{CODE}\nseven loud geese\n123456\n").status == 0
    assert [("totp" in request.body) for request in bank.requests] == [False, True]
    missing = cli(*command, "-o", "json", stdin=f"{CODE}\nseven loud geese\n")
    assert (missing.status, missing.problem["code"]) == (2, "totp_required")


def test_a_wrong_code_says_how_to_get_another(cli: Cli, bank: Bank) -> None:
    outcome = cli(
        *("auth", "reset", "--email", "ann@example.com", "--have-code", "--password-stdin", "-o", "json"),
        stdin="AAAA-AAAA\nseven loud geese\n",
    )
    assert (outcome.status, outcome.problem["code"]) == (4, "invalid_code")
    assert "bankctl auth reset" in outcome.problem["hint"]
    assert bank.paths() == ["/auth/reset/confirm"]


def test_without_a_code_nothing_is_sent(cli: Cli, bank: Bank) -> None:
    outcome = cli(
        *("auth", "reset", "--email", "ann@example.com", "--have-code", "--password-stdin", "-o", "json"),
        stdin="",
    )
    assert (outcome.status, outcome.problem["code"]) == (2, "no_mailed_code")
    assert bank.requests == []
    both = cli("auth", "reset", "--email", "a@b.c", "--have-code", "--send")
    assert both.status == 2


def test_an_address_is_changed_in_two_steps(ann: Cli, bank: Bank) -> None:
    bank.totp = "123456"
    command = ("auth", "change-email", "ann.lee@example.com", "--password-stdin")
    assert ann(*command, stdin="correct horse\n123456\n").status == 0
    assert bank.paths() == ["/auth/email", "/auth/email"]
    assert bank.requests[-1].body == {
        "new_email": "ann.lee@example.com",
        "password": "correct horse",
        "totp": "123456",
    }
    done = ann(*command, "--have-code", stdin=f"{CODE}\n")
    assert (done.status, "ann.lee@example.com" in done.err) == (0, True)
    assert bank.requests[-1].body == {"code": CODE}


def test_a_name_is_changed_with_the_password(ann: Cli, bank: Bank) -> None:
    outcome = ann("auth", "change-name", "Ann Lee", "--password-stdin", stdin="correct horse\n")
    assert (outcome.status, "Ann Lee" in outcome.err) == (0, True)
    assert bank.requests[-1].body == {"display_name": "Ann Lee", "password": "correct horse"}


def test_a_change_is_undone_and_the_next_step_told(cli: Cli, bank: Bank) -> None:
    outcome = cli("auth", "undo", "--email", "ann@example.com", "--code-stdin", stdin=f"{CODE}\n")
    assert outcome.status == 0
    assert bank.requests[-1].body == {"email": "ann@example.com", "code": CODE}
    assert "bankctl auth reset --email ann@example.com" in outcome.err


def test_a_lost_second_factor_is_told_and_kept(cli: Cli, bank: Bank) -> None:
    command = ("auth", "totp", "lost", "--email", "ann@example.com", "--password-stdin", "-o", "json")
    begun = cli(*command, stdin="correct horse\n")
    assert (begun.status, begun.json["removed"]) == (0, False)
    assert "run the same command again after" in begun.err
    bank.factor_removed = True
    assert "log in with your password" in cli(*command, stdin="correct horse\n").err
    kept = cli("auth", "totp", "keep", "--email", "ann@example.com", "--code-stdin", stdin=f"{CODE}\n")
    assert (kept.status, "change-password" in kept.err) == (0, True)
    assert bank.requests[-1].body == {"email": "ann@example.com", "code": CODE}
