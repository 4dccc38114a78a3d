"""Handlers: the functions of the bot, by event, and what makes a function one.

Registering, choosing and naming functions belongs here; running them does not. ``api``, ``commands``, ``ext``
and the rest of ``dispatch`` may import it; it imports events, errors and configuration only.
"""

from discordha.dispatch.handlers.registry import Handler, HandlerRegistry, by_claim, check_ordering

__all__ = ["Handler", "HandlerRegistry", "by_claim", "check_ordering"]
