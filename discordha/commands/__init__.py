"""Slash commands, context menus, buttons, selects and modals, as plain functions on handler threads.

``tree`` holds the commands, ``components`` the custom ids, ``persistent`` the views that every replica knows,
``interactions`` runs what handles an interaction, ``trampoline`` hands plain functions from discord.py's
coroutines to the handler thread, ``answers`` makes one answer of what is said in time, late, or again,
``sync`` tells Discord which commands there are.
"""

from discordha.commands.components import Components
from discordha.commands.declared import Command
from discordha.commands.interactions import Interactions
from discordha.commands.persistent import PersistentViews
from discordha.commands.sync import CommandSync
from discordha.commands.tree import Tree

__all__ = ["Command", "CommandSync", "Components", "Interactions", "PersistentViews", "Tree"]
