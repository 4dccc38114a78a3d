"""What an operator uses: health, metrics, logs, the command line, and the demo.

Code belongs here if it shows or steers a bot for its operator. A replica's own state and decisions do not.
``bot`` and ``replica`` may import ``health``, ``metrics`` and ``logs``; only entry points import the rest.
"""

__all__ = ()
