"""
The same work for three Engine.IO servers, and what it costs each of them.

``python -m benchmarks`` starts this project's server, ``engine.io`` from npm and
``python-engineio`` under uvicorn, one at a time, each alone on one core with the load
on another, and writes a table and plots into ``build/bench/``. What counts is the
server's CPU time per message: it says how many users fit on a machine, and, unlike
a rate, it hardly depends on who else was busy.

Floors, imports point down::

    __main__    the command line
    suite       rounds, interleaved          report, plots   what is shown of it
    workloads   what is asked of a server    targets         what we promised
    clients     sessions from the outside    servers         the three servers
    loop        one epoll                    meter           CPU, memory, cores
    wire        bytes                        install         fetches the peers

``micro/`` is apart from all that: microbenchmarks of the core, for pytest-benchmark.
"""
