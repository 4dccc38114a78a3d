"""What replicas tell each other: broadcasts, a bot's own events, questions to all.

The way of a post from the store to its handlers belongs here; the store's keys do not, and lie in
``coordination.shared``. ``replica`` may import it.
"""

__all__ = ()
