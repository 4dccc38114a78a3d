"""Catch-up: what happened while no replica was connected, fetched from Discord and handed on as the gateway
would have sent it.

Asking Discord for the past belongs here; up to where everything is known does not, and lies in
``coordination``. ``outage`` may import it.
"""

__all__ = ()
