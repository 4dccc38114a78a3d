"""The command line ``discordha``: reads a bot's keys in etcd, and writes requests to its replicas there.

Code belongs here if an operator runs it from outside, without the bot's code. Whatever runs inside of a
replica does not; health and metrics lie beside this folder. Only the entry points import it.

``main`` is the entry, ``fleet_commands`` and ``event_commands`` are the commands with the ``options`` that
they share, ``fleet`` reads and writes the keys, ``checks`` are those of ``discordha check``.
"""

__all__ = ()
