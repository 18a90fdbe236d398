"""`python -m daemons.user_api [serve | create-user | grant-role | enrolment-code | reset-second-factor]`."""

import argparse
import sys

from daemons.contracts.permissions import Role
from daemons.user_api import shell


def main() -> int:
    """Serve, or run one verb of the server's shell; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m daemons.user_api", description=__doc__)
    parser.set_defaults(run=lambda _options: shell.serve_until_stopped())
    verbs = parser.add_subparsers(title="verbs")

    verbs.add_parser("serve", help="serve HTTP (the default)")

    create = verbs.add_parser("create-user", help="add a user; the password is one line on standard input")
    create.add_argument("--email", required=True)
    create.add_argument("--display-name", required=True)
    create.add_argument("--role", type=Role, choices=list(Role), default=Role.USER)
    create.add_argument(
        "--one-time", action="store_true", help="the password must be changed at the first sign-in"
    )
    create.set_defaults(run=shell.create_user)

    grant = verbs.add_parser("grant-role", help="give a user a role; ends their sessions")
    grant.add_argument("--email", required=True)
    grant.add_argument("--role", type=Role, choices=list(Role), required=True)
    grant.set_defaults(run=shell.grant_role)

    enrol = verbs.add_parser("enrolment-code", help="a code to enrol the first second factor with")
    enrol.add_argument("--email", required=True)
    enrol.add_argument("--reason", required=True, help="kept in the audit trail")
    enrol.set_defaults(run=shell.hand_out_enrolment_code)

    reset = verbs.add_parser("reset-second-factor", help="for a user who has lost it; ends their sessions")
    reset.add_argument("--email", required=True)
    reset.add_argument("--reason", required=True, help="kept in the audit trail")
    reset.set_defaults(run=shell.reset_second_factor)

    options = parser.parse_args()
    status: int = options.run(options)
    return status


if __name__ == "__main__":
    sys.exit(main())
