"""What happened while no replica was connected: fetched from Discord, and brought to its handlers.

How Discord is asked belongs here, and when, and how events get from a shard's leader to all its hosts. What
etcd keeps of it does not: see ``discordha.coordination.gaps``. ``replica`` and the rooms above it import this
package.
"""
