"""Real etcd processes on loopback: one member or a cluster, with TLS, authentication, kill, pause and
restart.

Code belongs here if it starts etcd or looks into it. It speaks etcd's HTTP interface, not the library's
client. The rest of the test kit and tests may import it.
"""

__all__ = ()
