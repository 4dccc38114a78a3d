"""The voice servers of the local Discord: the voice gateway over TLS, and the UDP port for sound.

Code belongs here if it concerns the bot's voice connections. What other users do in voice channels is in
``world``. Only the server's other modules import this folder.
"""

__all__ = ()
