"""Claims: which replica handles an event, and the mark that it is done.

The protocol on one event's key, hints from the watch, and the order of last attempts belong here; when to
claim an event, and running its handlers, does not (see ``discordha.dispatch``). ``memory``, ``journal``,
``node`` and the rooms above ``coordination`` may import this one.
"""

__all__ = ()
