"""What an operator uses: health, metrics, logs, the command line, and the demo.

Code belongs here if it shows or steers a bot for its operator. A replica's own state and decisions do not.
``health``, ``http``, ``metrics`` and ``logs`` stand below ``telemetry``, and ``fleet``, ``overview`` and
``page`` below ``limits``, so the rooms above these may import them. Only entry points import the rest.
"""

__all__ = ()
