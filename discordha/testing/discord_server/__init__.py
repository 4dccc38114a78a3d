"""The server behind ``LocalDiscord``: Discord's REST API and gateway v10 over real sockets, in its own
process.

simcord's backend and router decide what the REST API does. Code belongs here if it concerns sockets,
sessions, RESUME, limits, nonces, faults, users or the record. ``discord`` alone imports it, and only its
options.

Everything runs on one asyncio loop in one thread, without locks.
"""

__all__ = ()
