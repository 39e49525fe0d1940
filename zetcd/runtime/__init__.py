"""Effects that know nothing of zetcd's protocols: clocks, files, mailboxes, LMDB, processes.

How it works
    The cores decide and the actors wait; what an actor waits on lives here. Everything has a small
    protocol (`Clock`, `Mailbox`, `FileSystem`, `Backend`) with one real implementation and one in memory,
    so that the same actor classes run as processes in production and on one thread in a simulation.

Not implemented
    Shared memory between actors: a message is copied into and out of a socket buffer.
"""
