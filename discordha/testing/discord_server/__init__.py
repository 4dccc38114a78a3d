"""The server behind ``LocalDiscord``: Discord's REST API and gateway v10 over real sockets, in a process of
its own.

What the REST API does comes from simcord's backend and router; ours are the sockets, the sessions, RESUME,
the rules of IDENTIFY, nonces, faults, users and the record.

- ``world``: guilds, channels, users, and what users do.
- ``sessions``: gateway sessions, what each is sent, and the faults on the way.
- ``gateway``: the protocol of one WebSocket.
- ``rest``: requests, nonces, the record.
- ``interactions``: slash commands, buttons, modals.
- ``voice`` and ``voice_udp``: voice channels, the voice gateway, what is heard.
- ``loads``: users that act at a steady rate.
- ``control``: what the test process asks for.

Everything runs on one asyncio loop in one thread: no locks.
"""

__all__ = ()
