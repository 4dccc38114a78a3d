"""Voice: the calls that queue sounds, and the worker that plays them.

- ``facade``: the five calls, as ``DiscordHA`` has them.
- ``worker``: takes commands; ``player``: one guild's; ``seat``: its place in a channel;
  ``connection``: discord.py's voice client, fenced.
- ``mixer``: what is heard, frame by frame; ``tracks``: where frames come from; ``codec``: Opus and ffmpeg.

``coordination.voice_queue`` is the queue in etcd.
"""

__all__ = ()
