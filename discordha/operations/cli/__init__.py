"""The command line ``discordha``: reads a bot's keys in etcd, and writes requests to its replicas there.

Code belongs here if an operator runs it from outside, without the bot's code. Whatever runs inside of a
replica does not; health and metrics lie beside this folder. Only the entry points import it.
"""

__all__ = ()
