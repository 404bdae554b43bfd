"""Choose the key that is sent to an address, for every service: one rule, by the address's host.

A service's own key goes to that service alone, encrypted; whoever names any other address gives the
key for it in a variable of its own. So no key reaches a host that it was not meant for.
"""

from __future__ import annotations

import os
from contextlib import suppress
from urllib.parse import urlsplit

from duo.errors import BadInput

#: Has the key for all addresses but those of `_SERVICES`, and that of our own server.
KEY = "DUO_KEY"
#: The address that `OPENAI_API_KEY` is for, as OpenAI's own client has it; else OpenAI's.
OPENAI_URL, OPENAI_KEY = "OPENAI_BASE_URL", "OPENAI_API_KEY"
#: Domains of services, and the variables that have their keys: the first one that is set.
_SERVICES = {"openai.com": (OPENAI_KEY,), "googleapis.com": ("GOOGLE_API_KEY", "GEMINI_API_KEY")}


def key_variables(address: str) -> tuple[str, ...]:
    """Return the names of the environment variables that may have the key for an address."""
    try:
        parts = urlsplit(address)
        host = (parts.hostname or "").rstrip(".")
    except ValueError:  # no address at all
        return (KEY,)
    if parts.scheme in ("https", "wss"):
        for domain, names in _SERVICES.items():
            if host == domain or host.endswith(f".{domain}"):
                return names
    own = os.environ.get(OPENAI_URL)
    if own and _origin(own) == _origin(address):
        return (OPENAI_KEY,)
    return (KEY,)


def key_for(address: str) -> str | None:
    """Return the key for an address; None if no key is set.

    Raises:
        BadInput: the address is that of a service that wants one.
    """
    names = key_variables(address)
    key = next(filter(None, map(os.environ.get, names)), None)
    if key is None and names != (KEY,):
        raise BadInput(f"{' or '.join(names)} is not set, which {urlsplit(address).hostname} wants")
    return key


def _origin(address: str) -> tuple[str, str]:
    with suppress(ValueError):
        parts = urlsplit(address)
        return parts.scheme, parts.netloc.casefold()
    return "", address
