"""
Hours in minutes: thousands of sessions at once, and a count of every message.

``python -m soak`` starts ``twistd engineio`` with an application of its own, and opens
5,000 sessions in all ways that there are: polling, JSONP, server-sent events and
WebSocket, revision 3 and 4. They talk, move from one transport to another in
mid-stream, come and go, read slowly, and die in every way. Each message has a number
and a checksum. Both sides write down what they sent and heard, in the order in which
they heard it, and the verdict is read off these ledgers and off the server's figures
afterwards: nothing lost, doubled or reordered, memory and timers flat, nothing left.

Floors, imports point down::

    __main__     the command line
    run          the two processes and the order of events       plot   the picture
    crowd        sessions that come and go    house    the server's process
    client       one session from outside     application   the server's side
    carriers     the four transports          verdict  what the ledgers prove
    carrier      what they have in common
    connection   HTTP answers and frames      figures  samples, and a line through them
    plan         what a session will do       words    numbered messages
    attacks      clients that attack          filling  what they are sent
    floods       what an attack costs an honest client: ``python -m soak.floods``
"""
