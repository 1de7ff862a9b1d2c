"""
The core without sockets: what a call costs, and how many there are.

``python -m pytest benchmarks/micro`` measures (with pytest-benchmark) over Twisted's
StringTransport, so that no system call and no other process has a part in it.
"""
