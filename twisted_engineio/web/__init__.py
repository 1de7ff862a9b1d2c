"""twisted.web: the resource, and the Site of our own port."""
