"""Slash commands, context menus, buttons, selects and modals, as plain functions on handler threads.

Code belongs here if it declares what handles an interaction, runs it, answers Discord, or registers the
commands. Which replica runs an interaction is the dispatcher's business, not this room's. ``leader`` and
the rooms above it may import it.
"""

from discordha.commands.components import Components
from discordha.commands.declared import Command
from discordha.commands.interactions import Interactions
from discordha.commands.persistent import PersistentViews
from discordha.commands.sync import CommandSync
from discordha.commands.tree import Tree

__all__ = ["Command", "CommandSync", "Components", "Interactions", "PersistentViews", "Tree"]
