"""Elections: which replica leads a shard, and which one runs a periodic task.

Candidacies, terms and the recipe that moves leadership belong here; what a leader does with its term, and
when a replica should be a candidate, does not (see ``discordha.leader``). ``journal``, ``node`` and the rooms
above ``coordination`` may import this one.
"""

__all__ = ()
