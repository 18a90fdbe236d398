"""What the daemons of the tests prove themselves with: key pairs that are made anew for each run."""

from bankctl.local.service_keys import CALLING_DAEMONS, make_key, public_key_of
from daemons.shared.auth.keys import read_private_key
from daemons.shared.auth.service_tokens import ServiceTokenSigner
from daemons.shared.clock import Clock, utc_now

PRIVATE_KEYS = {name: make_key() for name in CALLING_DAEMONS}
CHECKPOINT_KEY = make_key()
"""Signs the checkpoints of banking_api."""
PUBLIC_KEYS = {f"{name}_public_keys": public_key_of(key) for name, key in PRIVATE_KEYS.items()}
"""The settings by which the daemons that they call know them; each daemon reads those of its callers."""


def secret_settings(daemon: str, jwt_secret: str) -> dict[str, str]:
    """Return the settings that hold a daemon's secrets, the keys it verifies with, and what needs no mail."""
    own = {"service_key": PRIVATE_KEYS[daemon], **PUBLIC_KEYS}
    if daemon == "user_api":
        # Most tests sign in whom they have just registered.
        own |= {"jwt_secret": jwt_secret, "registration_confirmed": "optional"}
    if daemon == "banking_api":
        own["checkpoint_key"] = CHECKPOINT_KEY
    return own


def secret_variables(daemon: str, jwt_secret: str) -> dict[str, str]:
    """Return the same as environment variables."""
    return {name.upper(): value for name, value in secret_settings(daemon, jwt_secret).items()}


def calls_of(daemon: str, *, key: str | None = None, clock: Clock = utc_now) -> ServiceTokenSigner:
    """Return what signs the calls of a daemon, with its own key unless another is given."""
    return ServiceTokenSigner(daemon, read_private_key(key or PRIVATE_KEYS[daemon]), clock=clock)
