"""zetcd: etcd's job in Python, a cluster of actor processes joined by ZeroMQ."""

__version__ = "0.1.0"
