"""The way of an event through a replica: admitted, routed, claimed, run, marked. See ``core``."""

from discordha.dispatcher.core import Dispatcher
from discordha.dispatcher.items import ClaimStore, Item, LeaderPath, Preference, State

__all__ = ["ClaimStore", "Dispatcher", "Item", "LeaderPath", "Preference", "State"]
