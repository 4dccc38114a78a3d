"""One replica's life: its parts put together, its start and stop, its status and readiness.

Work that a part can do alone belongs to the part's room, and the methods of ``DiscordHA`` to ``api`` and
``bot``. Only ``bot`` and the command line may import this package.
"""

__all__ = ()
