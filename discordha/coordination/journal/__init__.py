"""The standby journal: events without an identity of their own, which a shard's leader handles. Nothing of
elections or of Discord belongs here. ``node``, ``leader`` and ``dispatch`` may import it. docs/design.md has
a mark's life, and the three invariants that the modules keep.
"""

__all__ = ()
