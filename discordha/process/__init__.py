"""Signals, long-lived threads, timers and the name of this process.

How the process takes signals, forks, and owns its long-lived threads belongs here. What a thread works on
belongs to the part that starts it. Every room but ``errors`` may import this package.
"""

__all__ = ()
