"""Whom to trust: TLS is always verified, there is no switch to turn it off."""

import ssl

from bankctl.config import Profile
from bankctl.errors import CliError, ExitStatus


def tls_context(profile: Profile) -> ssl.SSLContext:
    """The trust of a profile: its own certificate alone if it names one, else the system's.

    Raises:
        CliError: the certificate file cannot be used.
    """
    if profile.ca_file is None:
        return ssl.create_default_context()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_verify_locations(cafile=str(profile.ca_file))
    except OSError as error:
        raise CliError(
            f"the certificate {profile.ca_file} of profile {profile.name!r} cannot be used: {error}",
            exit_status=ExitStatus.UNREACHABLE,
            hint="`bankctl dev up` writes that of the local bank; `bankctl config set ca_file PATH`",
            code="tls_certificate_missing",
        ) from error
    return context
