"""Highly available Discord bots: several replicas of one bot, each event handled once."""

from discordha._version import __version__

__all__ = ["__version__"]
