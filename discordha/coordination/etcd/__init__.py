"""The floor of coordination: etcd as a ``Store``, its watches, and what makes many small writes cheap.

Whatever knows the etcd client, and what only ``Store`` is needed for, belongs here; keys of the bot and their
meaning do not. Everything in ``coordination``, and the rooms above it, may import this room.
"""

__all__ = ()
