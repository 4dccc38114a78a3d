"""Membership: which replicas live, what each says of itself, and which of them is responsible for what.

Member records, the order of preference, the shard plan and operators' commands to a replica belong here; who
leads a shard, and how a replica opens and closes shards, does not. ``election``, ``journal``, ``gaps``,
``voice``, ``node`` and the rooms above ``coordination`` may import this one.
"""

__all__ = ()
