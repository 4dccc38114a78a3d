"""The way of an event through a replica: admitted, routed, claimed, run, marked. See ``core``."""

from discordha.dispatch.dispatcher import Dispatcher
from discordha.dispatch.items import ClaimStore, Item, LeaderPath, Preference, State

__all__ = ["ClaimStore", "Dispatcher", "Item", "LeaderPath", "Preference", "State"]
