"""The standby journal: events without an identity of their own, which a shard's leader handles.

Nothing of elections (``election``) or of Discord belongs here; an entry's handlers are its owner's business.
``node``, ``leader`` and ``dispatch`` may import it; it imports ``election``, ``claims``, ``session`` and
``etcd``.
"""

__all__ = ()
