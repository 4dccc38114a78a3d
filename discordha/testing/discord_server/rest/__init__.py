"""The REST API of the local Discord: simcord's router, and what Discord does otherwise.

Nonces, faults, limits, listings and the record of all calls belong here; what the calls change belongs to
``world``. ``discord_server`` alone imports it.
"""

__all__ = ()
