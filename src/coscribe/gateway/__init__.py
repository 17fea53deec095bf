"""The Realtime Gateway: holds sockets, authenticates, routes, delivers. Never mutates a document."""
