"""Certificates to trust: TLS is always verified, and no option turns that off."""

import os
import ssl
from pathlib import Path

from bankctl.config import Profile
from bankctl.errors import CliError, ExitStatus, usage_error

_KEY_LOG = "SSLKEYLOGFILE"
_CERTIFICATES, _FOLDERS = "SSL_CERT_FILE", "SSL_CERT_DIR"
# X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which Python gives no name.
_WITHOUT_TIMES = 0x200000


def tls_context(profile: Profile) -> ssl.SSLContext:
    """The trust of a profile: its own certificate alone if it names one, else the system's.

    Raises:
        CliError: the certificate file, or what the environment says about TLS, cannot be used.
    """
    _check_key_log()
    if profile.ca_file is None:
        _check_environment()
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=str(profile.ca_file))
    except (OSError, ValueError) as error:
        raise CliError(
            f"the certificate {profile.ca_file} of profile {profile.name!r} cannot be used: {error}",
            exit_status=ExitStatus.UNREACHABLE,
            hint="`bankctl dev up` writes the local bank's; `bankctl config set ca_file PATH`",
            code="tls_certificate_missing",
        ) from error


def timeless_context(profile: Profile) -> ssl.SSLContext:
    """The same trust whatever the date: to ask a bank for the time when certificates seem to be out of date.

    Nothing but that question is ever sent over it.
    """
    context = tls_context(profile)
    context.verify_flags = ssl.VerifyFlags(context.verify_flags | _WITHOUT_TIMES)
    return context


def _check_key_log() -> None:
    """Python has OpenSSL write the keys of each connection to this file, to look into the traffic."""
    path = os.environ.get(_KEY_LOG)
    if path:
        try:
            with Path(path).open("ab"):
                pass
        except OSError as error:
            raise _unusable(_KEY_LOG, f"names {path}, which cannot be written: {error.strerror}") from error


def _check_environment() -> None:
    """OpenSSL takes no notice of a file or folder that is not there, and then trusts nobody."""
    path = os.environ.get(_CERTIFICATES)
    if path:
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cafile=path)
        except OSError as error:
            fault = error.strerror if not isinstance(error, ssl.SSLError) else "it holds no certificate"
            raise _unusable(_CERTIFICATES, f"names {path}, which cannot be used: {fault}") from error
    for folder in filter(None, os.environ.get(_FOLDERS, "").split(os.pathsep)):
        if not Path(folder).is_dir():
            raise _unusable(_FOLDERS, f"names {folder}, which is not a folder")


def _unusable(variable: str, fault: str) -> CliError:
    return usage_error(f"{variable} {fault}", hint=f"correct or unset {variable}", code="invalid_environment")
