"""The handle of a local Discord, in the test's own process: what users do, what the bot did, and faults.

Code belongs here if a test calls it or gets it back. How the local Discord answers the bot is in
``discord_server``, which runs in a process of its own. The rest of the test kit and tests may import it.
"""

__all__ = ()
