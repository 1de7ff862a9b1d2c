"""HTTP/1.1 connections of our own port, and what bounds them."""
