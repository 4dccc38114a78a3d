"""What the replicas of a bot agree on through etcd: who lives, who handles an event, who leads, what they
share.

Protocols over keys and leases belong here; discord.py does not, nor does the handling of events. The rooms of
the package above may import this one, which imports only ``config``, ``errors``, ``process`` and
``supervisor.link``.
"""

__all__ = ()
