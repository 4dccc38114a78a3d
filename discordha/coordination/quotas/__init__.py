"""Quotas: what Discord allows a bot as a whole, divided among its replicas through etcd.

Shares of REST requests, the budget and the queue for IDENTIFYs, and the records of registered commands belong
here; waiting for a turn and counting requests do not (see ``discordha.limits``). ``node`` and the rooms above
``coordination`` may import this one.
"""

__all__ = ()
