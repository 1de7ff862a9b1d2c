"""One file for each kind of wire that carries a session, all ``Transport``s."""
